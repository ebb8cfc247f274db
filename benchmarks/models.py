"""A model for measuring speed: the basic features alone, which take about a millisecond, and 100 full-depth trees.

What it knows does not matter, so its labels are drawn by lot: that makes its trees as deep as real ones.
"""

from pathlib import Path

import cv2
import numpy as np
from sklearn.ensemble import RandomForestClassifier

from benchmarks import pictures
from returnsd.bundle import calibrated
from returnsd.forest import Forest
from returnsd.vision.decode import DecodeLimits, decode
from returnsd.vision.extractor import FEATURE_VERSION, Extractor
from training.export import forest_arrays, write_bundle

_PICTURES = 3000
_CATEGORIES = 21
_TREES = 100
_CALIBRATED = {"method": "temperature", "temperature": 1.0, "smoothing": 0.001}


def basic(folder: Path) -> Path:
    """Train the bundle into <folder>/basic; return its directory."""
    cv2.setNumThreads(1)
    palette = (np.arange(4096).reshape(16, 16, 16) * 48 // 4096).astype(np.uint8)
    settings = {"version": FEATURE_VERSION, "colours": 48}
    extractor = Extractor({"palette": palette}, settings)
    rows = np.stack([extractor(decode(data, DecodeLimits())) for data in pictures.some(_PICTURES)])
    truth = np.random.default_rng(1).integers(0, _CATEGORIES, len(rows))
    model = RandomForestClassifier(_TREES, min_samples_leaf=2, random_state=1, n_jobs=1).fit(rows, truth)
    arrays = forest_arrays(model)
    forest = Forest(arrays, _CATEGORIES, rows.shape[1])
    card = {
        "name": "basic",
        "version": "1.0",
        "categories": [f"category {number}" for number in range(_CATEGORIES)],
        "features": {**settings, "count": len(extractor.names)},
        "calibration": _CALIBRATED,
    }
    said = calibrated(forest.predict_proba(rows[:500]), _CALIBRATED)
    write_bundle(folder / "basic", card, arrays, {"palette": palette}, None, said, truth[:500])
    return folder / "basic"

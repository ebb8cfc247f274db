"""A tiny real model on drawn pictures: trained, exported and loaded by the code that makes the shipped ones."""

import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from returnsd.bundle import calibrated
from returnsd.forest import Forest
from returnsd.vision.decode import DecodeLimits, decode
from returnsd.vision.extractor import FEATURE_VERSION, Extractor
from training.export import forest_arrays, write_bundle

CATEGORIES = ("dots", "noise", "stripes")
"""Stripes are easy to tell; half of the noise is drawn as dots, so that dots stay doubtful."""

_COLOURS = 16
_TRAINING, _CALIBRATION = 60, 80
_CALIBRATED = {"method": "temperature", "temperature": 0.8, "smoothing": 0.001}


def tiny_picture(category: str, seed: int) -> NDArray[np.uint8]:
    """Return a (100, 100, 3) BGR picture of that category."""
    dice = np.random.default_rng([seed, zlib.crc32(category.encode())])
    picture = np.full((100, 100, 3), 255, np.uint8)
    colour = [int(c) for c in dice.integers(0, 200, 3)]
    drawn = category if category != "noise" else str(dice.choice(["dots", "box"]))
    if drawn == "dots":
        for x, y in dice.integers(15, 85, (12, 2)):
            cv2.circle(picture, (int(x), int(y)), 5, colour, -1)
    elif drawn == "stripes":
        first = int(dice.integers(15, 22))
        for x in range(first, 85, 9):
            cv2.line(picture, (x, 15), (x, 85), colour, 3)
    else:
        cv2.rectangle(picture, (20, 25), (80, 75), colour, -1)
    if drawn == "box":
        picture = cv2.subtract(picture, dice.integers(0, 90, picture.shape, dtype=np.uint8))
    return picture


def tiny_jpeg(category: str, seed: int) -> bytes:
    """Return the same as the bytes of a JPEG file."""
    return bytes(cv2.imencode(".jpg", tiny_picture(category, seed), [cv2.IMWRITE_JPEG_QUALITY, 92])[1])


def tiny_bundle(folder: Path, categories: tuple[str, ...] = CATEGORIES, name: str = "tiny") -> Path:
    """Train a tiny bundle into <folder>/<name>; return its directory."""
    cells = np.arange(4096).reshape(16, 16, 16) * _COLOURS // 4096
    arrays = {"palette": cells.astype(np.uint8)}
    settings = {"version": FEATURE_VERSION, "colours": _COLOURS}
    extractor = Extractor(arrays, settings)
    settings["count"] = len(extractor.names)

    def seen(seeds: range) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        pictures = [tiny_jpeg(category, seed) for category in categories for seed in seeds]
        rows = [extractor(decode(picture, DecodeLimits())) for picture in pictures]
        return np.stack(rows), np.repeat(np.arange(len(categories)), len(seeds))

    rows, truth = seen(range(10_000, 10_000 + _TRAINING))
    model = RandomForestClassifier(20, min_samples_leaf=2, random_state=1, n_jobs=1).fit(rows, truth)
    forest = forest_arrays(model)
    rows, truth = seen(range(20_000, 20_000 + _CALIBRATION))
    probabilities = calibrated(Forest(forest, len(categories), rows.shape[1]).predict_proba(rows), _CALIBRATED)
    card = {
        "name": name,
        "version": "1.0",
        "categories": list(categories),
        "features": settings,
        "calibration": _CALIBRATED,
    }
    write_bundle(folder / name, card, forest, arrays, None, probabilities, truth)
    return folder / name

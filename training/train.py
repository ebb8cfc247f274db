"""From features to a bundle: scikit-learn's forest, calibrated on validation pictures, written for the service."""

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from returnsd.bundle import Bundle, calibrated
from returnsd.forest import Forest
from training.calibrate import choose_temperature
from training.export import forest_arrays, write_bundle
from training.extract import Store
from training.labels import DataError
from training.prepare import Entry

MODEL = "random_forest_model.joblib"


@dataclass(frozen=True, slots=True)
class Sides:
    """Features and truth of the splits that training uses: (n, features) rows and (n,) category numbers."""

    rows: Mapping[str, NDArray[np.float32]]
    truth: Mapping[str, NDArray[np.int64]]
    categories: tuple[str, ...]


def sides(entries: Sequence[Entry], store: Store, splits: Sequence[str]) -> Sides:
    """Read the rows of some splits; pictures that failed are passed over."""
    categories = tuple(sorted({entry.label for entry in entries if entry.split}))
    number = {label: position for position, label in enumerate(categories)}
    if len(categories) < 2:
        raise DataError("one category only: there is nothing to tell apart")
    rows, truth = {}, {}
    for split in splits:
        members = [entry for entry in entries if entry.split == split and entry.sha256 in store.place]
        rows[split] = store.rows([entry.sha256 for entry in members])
        truth[split] = np.array([number[entry.label] for entry in members], np.int64)
    return Sides(rows, truth, categories)


def train(
    data: Sides,
    learnt: Mapping[str, NDArray[Any]],
    settings: Mapping[str, Any],
    directory: Path,
    parameters: Mapping[str, Any],
    about: Mapping[str, Any],
) -> Bundle:
    """Fit, calibrate and write a bundle into `directory`, with scikit-learn's model beside it.

    :param parameters: of RandomForestClassifier. :param about: what else the card tells; name and version at least.
    """
    model = RandomForestClassifier(**parameters).fit(data.rows["train"], data.truth["train"])
    arrays = forest_arrays(model)
    forest = Forest(arrays, len(data.categories), data.rows["train"].shape[1])
    calibration = choose_temperature(forest.predict_proba(data.rows["validation"]), data.truth["validation"])
    probabilities = calibrated(forest.predict_proba(data.rows["calibration"]), calibration)
    card = {
        **about,
        "categories": list(data.categories),
        "features": dict(settings),
        "forest": {key: value for key, value in parameters.items() if key != "n_jobs"},
        "calibration": calibration,
        "libraries": libraries(),
    }
    bundle = write_bundle(directory, card, arrays, learnt, probabilities, data.truth["calibration"])
    joblib.dump(model, directory.parent / MODEL, compress=3)
    return bundle


def libraries() -> dict[str, str]:
    """Return the versions that a bundle's figures depend on."""
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "scikit-learn": sklearn.__version__,
    }


def data_fingerprint(entries: Sequence[Entry]) -> str:
    """Return a name for what was learnt from: content, label and split of every picture."""
    lines = sorted(f"{entry.sha256} {entry.label} {entry.split}" for entry in entries if entry.split)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

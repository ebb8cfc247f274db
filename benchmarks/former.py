"""The former way, rebuilt for comparison: one picture at a time, 101 features by scikit-image, a pickled forest.

The former system itself is not at hand. What is known of it: 101 features, 153 to 183 ms a picture on one core of
a machine like ours, nearly all of it for co-occurrence matrices of 256 grey levels, and 13 ms more for the forest.
This one is of the same kind and size; how long it takes here is measured in the same run.
"""

import csv
import shutil
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
from numpy.typing import NDArray
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern
from sklearn.ensemble import RandomForestClassifier

_DISTANCES = (1, 2, 3, 4, 5)
_ANGLES = (0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
_PROPERTIES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation", "ASM")
_TREES = 200


def features(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return 101 features of a BGR picture: 30 of colour, 60 of co-occurrence, 10 LBP, 1 of edges."""
    image = cv2.resize(image, (224, 224))
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    colour = []
    for channel in cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2HSV)):
        colour += [channel.mean(), channel.std(), *np.histogram(channel, bins=8, range=(0, 256), density=True)[0]]
    matrix = graycomatrix(grey, _DISTANCES, _ANGLES, levels=256, symmetric=True, normed=True)
    by_angle = [graycoprops(matrix, name) for name in _PROPERTIES]
    texture = np.concatenate([[p.mean(axis=1), np.ptp(p, axis=1)] for p in by_angle], axis=None)
    patterns = local_binary_pattern(grey, 8, 1, "uniform")
    histogram = np.histogram(patterns, bins=10, range=(0, 10), density=True)[0]
    edges = (cv2.Canny(grey, 100, 200) > 0).mean()
    return np.concatenate([colour, texture, histogram, [edges]])


def _read(path: Path) -> NDArray[Any]:
    image = cv2.imread(str(path))
    assert image is not None
    return image


def train(pictures: list[Path], folder: Path) -> Path:
    """Leave a pickled forest as the former system did; what it knows does not matter for its speed."""
    rows = np.stack([features(_read(path)) for path in pictures])
    dice = np.random.default_rng(1)
    many = np.repeat(rows, 40, axis=0) + dice.normal(0, 0.1, (len(rows) * 40, rows.shape[1]))
    forest = RandomForestClassifier(_TREES, n_jobs=1, random_state=1).fit(many, dice.integers(0, 21, len(many)))
    joblib.dump(forest, folder / "model.joblib")
    return folder / "model.joblib"


def run(inbox: Path, folder: Path, model: Path) -> int:
    """Judge every file of the inbox the former way; return how many."""
    forest = joblib.load(model)
    done = 0
    for path in sorted(inbox.iterdir()):
        row = features(_read(path))
        probabilities = forest.predict_proba(row[np.newaxis])[0]
        with (folder / "results.csv").open("a", newline="") as file:
            csv.writer(file).writerow([path.name, int(probabilities.argmax()), float(probabilities.max())])
        shutil.move(path, folder / "processed" / path.name)
        done += 1
    return done

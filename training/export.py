"""From a scikit-learn forest to a bundle: flat arrays, a card, a known picture. The service reads nothing else."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from returnsd.bundle import CARD, FORMAT, MEMORY, Bundle, calibrated, forest_inputs
from returnsd.forest import Forest
from returnsd.memory import Memory
from returnsd.vision.decode import DecodeLimits, decode
from returnsd.vision.extractor import Extractor

_NOTHING = 1e-6  # of a sample


def forest_arrays(model: RandomForestClassifier) -> dict[str, NDArray[Any]]:
    """Return the arrays of returnsd.forest.ARRAYS for a forest trained on float16 values.

    Leaves hold whole samples; of a forest with class weights, what its samples weigh.
    """
    parts: dict[str, list[NDArray[Any]]] = {name: [] for name in ("feature", "threshold", "size", "class", "count")}
    nodes = []
    for estimator in model.estimators_:
        tree = estimator.tree_
        order = _breadth_first(tree.children_left, tree.children_right)
        splits = tree.children_left[order] >= 0
        counts = tree.value[order][~splits][:, 0, :] * tree.weighted_n_node_samples[order][~splits][:, np.newaxis]
        leaf, category = np.nonzero(counts > _NOTHING)
        nodes.append(len(order))
        parts["feature"].append(np.where(splits, tree.feature[order], -1).astype(np.int16))
        parts["threshold"].append(floor16(tree.threshold[order][splits]))
        parts["size"].append(np.bincount(leaf, minlength=len(counts)))
        parts["class"].append(category)
        parts["count"].append(counts[leaf, category])
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return {
        "nodes": np.array(nodes, np.int32),
        "feature": joined["feature"],
        "threshold": joined["threshold"],
        "leaf_size": joined["size"].astype(np.uint8 if len(model.classes_) < 256 else np.uint16),
        "leaf_class": joined["class"].astype(np.uint8 if len(model.classes_) <= 256 else np.uint16),
        "leaf_count": _smallest(joined["count"]),
    }


def _smallest(counts: NDArray[np.float64]) -> NDArray[Any]:
    """Return counts as whole numbers if that is what they are, else as float32."""
    whole = np.rint(counts)
    if np.abs(counts - whole).max() > 1e-3:
        return counts.astype(np.float32)
    return whole.astype(np.uint8 if whole.max() < 256 else np.uint32)


def floor16(thresholds: NDArray[np.float64]) -> NDArray[np.float16]:
    """Return the largest float16 at or below each threshold: the same decision for every float16 feature."""
    clipped = np.clip(thresholds, -65504, 65504)
    near = clipped.astype(np.float16)
    down = np.nextafter(near, np.float16(-np.inf))
    return np.where(near.astype(np.float64) > clipped, down, near).astype(np.float16)


def _breadth_first(left: NDArray[Any], right: NDArray[Any]) -> NDArray[np.int64]:
    """Return the nodes level by level, so that the k-th one that splits has its children at 2k + 1 and 2k + 2."""
    levels = [np.array([0])]
    while len(levels[-1]):
        parents = levels[-1][left[levels[-1]] >= 0]
        levels.append(np.column_stack([left[parents], right[parents]]).ravel())
    return np.concatenate(levels)


def write_bundle(
    directory: Path,
    card: Mapping[str, Any],
    forest: Mapping[str, NDArray[Any]],
    features: Mapping[str, NDArray[Any]],
    memory: Mapping[str, NDArray[Any]] | None,
    probabilities: NDArray[np.float64],
    truth: NDArray[np.int64],
    pilot: tuple[NDArray[np.float64], NDArray[np.int64]] | None = None,
) -> Bundle:
    """Write a bundle, whole or not at all, and load it; an older one of that name is replaced.

    :param card: all of the card but `format` and `files`. :param memory: see returnsd.memory.
    :param probabilities: (n, categories) of the calibration pictures, after calibration; `truth` (n,) theirs.
    :param pilot: the same of validation pictures: they tell where to begin to look for a threshold.
    """
    draft = directory.with_name(f".{directory.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    np.savez_compressed(draft / "forest.npz", **dict[str, Any](forest))
    np.savez_compressed(draft / "features.npz", **dict[str, Any](features))
    if memory is not None:
        np.savez_compressed(draft / MEMORY, **dict[str, Any](memory))
    calibration = {"": (probabilities, truth)} | ({} if pilot is None else {"pilot_": pilot})
    arrays: dict[str, NDArray[Any]] = {}
    for prefix, (said, true) in calibration.items():
        arrays |= {f"{prefix}probabilities": said.astype(np.float32), f"{prefix}truth": true.astype(np.uint16)}
    np.savez_compressed(draft / "calibration.npz", **dict[str, Any](arrays))
    picture = known_picture()
    (draft / "known.png").write_bytes(picture)
    seen = Extractor(features, card["features"])(decode(picture, DecodeLimits()))
    categories = len(card["categories"])
    inputs = forest_inputs(None if memory is None else Memory(memory, categories), seen[np.newaxis])
    known = Forest(forest, categories, inputs.shape[1]).predict_proba(inputs)
    np.savez_compressed(draft / "known.npz", probabilities=calibrated(known, card["calibration"])[0])
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(draft.iterdir())}
    text = json.dumps({"format": FORMAT, **card, "files": files}, indent=2, ensure_ascii=False)
    (draft / CARD).write_text(text + "\n", encoding="utf-8")
    Bundle.load(draft)
    older = directory.with_name(f".{directory.name}.older")
    shutil.rmtree(older, ignore_errors=True)
    if directory.exists():
        os.rename(directory, older)  # aside first: at no time is the only bundle half deleted
    os.rename(draft, directory)
    shutil.rmtree(older, ignore_errors=True)
    return Bundle.load(directory)


def known_picture() -> bytes:
    """Return the PNG that every bundle is tested by: a drawn cup on white with some texture."""
    y, x = np.mgrid[0:100, 0:100]
    picture = np.full((100, 100, 3), 255, np.uint8)
    cv2.rectangle(picture, (28, 30), (68, 80), (150, 90, 40), -1)
    cv2.ellipse(picture, (68, 55), (12, 14), 0, -90, 90, (120, 70, 30), 4)
    texture = (8 * np.sin(x / 3.0) * np.cos(y / 5.0)).astype(np.int16)[:, :, np.newaxis]
    inside = (picture.min(axis=2) < 250)[:, :, np.newaxis]
    picture = np.clip(picture.astype(np.int16) + texture * inside, 0, 255).astype(np.uint8)
    return bytes(cv2.imencode(".png", picture)[1])

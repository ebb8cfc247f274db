"""From rows to a bundle: a memory, scikit-learn's forest over what it answers, calibration, all for the service.

What the memory pulls towards is learnt on training pictures and kept in the work folder by content: an interrupted
training goes on from there. The forest is trained on answers out of fold, so that it meets them as it will on
pictures that no one has seen.
"""

import hashlib
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
import sklearn
from numpy.typing import NDArray

from returnsd.bundle import Bundle, calibrated, forest_inputs
from returnsd.forest import Forest, Probabilities
from returnsd.memory import Memory
from returnsd.vision.extractor import Extractor
from training import calibrate, evaluate, kernel
from training.directions import directions
from training.export import forest_arrays, write_bundle
from training.extract import Store
from training.grow import grow
from training.labels import DataError
from training.learn import Kind
from training.prepare import Entry

MODEL = "random_forest_model.joblib"
_AT_ONCE = 512
_SAMPLE = 12_000


@dataclass(frozen=True, slots=True)
class Side:
    """The pictures of one split: their names in the store, and their (n,) categories by number."""

    names: list[str]
    truth: NDArray[np.int64]
    paths: list[str]


def categories_of(entries: Sequence[Entry]) -> tuple[str, ...]:
    """Return the categories of a manifest; DataError if there is nothing to tell apart."""
    categories = tuple(sorted({entry.label for entry in entries if entry.split}))
    if len(categories) < 2:
        raise DataError("one category only: there is nothing to tell apart")
    return categories


def side(entries: Sequence[Entry], store: Store, split: str) -> Side:
    """Return a split's pictures; those that could not be described are passed over."""
    number = {label: position for position, label in enumerate(categories_of(entries))}
    members = [entry for entry in entries if entry.split == split and entry.sha256 in store.place]
    if not members:
        raise DataError(
            f"no picture of the {split} split has features: run `python -m training extract`; if the"
            f" manifest has no {split} pictures at all, `prepare` first"
        )
    truth = np.array([number[entry.label] for entry in members], np.int64)
    return Side([entry.sha256 for entry in members], truth, [entry.path for entry in members])


def check_all_known(training: Side, categories: Sequence[str]) -> None:
    """DataError if of some category no training picture could be described: it could not be learnt."""
    missing = sorted(set(categories) - {categories[number] for number in training.truth})
    if missing:
        raise DataError(
            f"no training picture of {', '.join(missing)} has features: see failed.csv, prepare and extract again"
        )


def features(extractor: Extractor, store: Store, names: Sequence[str]) -> NDArray[np.float32]:
    """Return what the forest sees of stored pictures: (n, features)."""
    found = np.empty((len(names), len(extractor.names)), np.float32)
    for start in range(0, len(names), _AT_ONCE):
        found[start : start + _AT_ONCE] = extractor.weigh(store.rows(names[start : start + _AT_ONCE]))
    return found


@dataclass(frozen=True, slots=True)
class Seen:
    """A finished way of seeing: its arrays and settings, what is remembered, and what the forest is trained on.

    `training` is (n, inputs): no picture's own label is in what it says.
    """

    arrays: dict[str, NDArray[Any]]
    settings: dict[str, Any]
    memory: dict[str, NDArray[Any]] | None
    training: NDArray[np.float32]


def learn_to_see(
    kind: Kind,
    learnt: Mapping[str, NDArray[Any]],
    settings: Mapping[str, Any],
    store: Store,
    training: Side,
    categories: int,
    cache: Path,
    seed: int,
) -> Iterator[str | Seen]:
    """Yield what is learnt next, in words; at last what was learnt."""
    extractor = Extractor(learnt, settings)
    arrays = dict(learnt)
    sample = np.sort(np.random.default_rng(seed).permutation(len(training.names))[:_SAMPLE])
    for name, count in kind.near.items():
        yield f"directions: {name}"
        rows = store.rows([training.names[i] for i in sample], extractor.columns([name]))
        arrays |= directions(name, rows, count, kind.shares[name], seed)
    finished = {**settings, "near": list(kind.near)}
    extractor = Extractor(arrays, finished)
    finished["count"] = len(extractor.names)
    vectors = features(extractor, store, training.names)
    if not kind.near:
        yield Seen(arrays, finished, None, vectors)
        return
    yield "what is remembered"
    found = _remembered(vectors[:, -extractor.directions :], kind, training, categories, cache, seed)
    yield Seen(arrays, finished, found.arrays(), _as_unseen(vectors, found, categories))


def _remembered(
    vectors: NDArray[np.float32], kind: Kind, training: Side, categories: int, cache: Path, seed: int
) -> kernel.Remembered:
    """Return what is remembered of directions, learnt now or kept from an earlier training."""
    digest = hashlib.sha256(repr((kind.penalty, seed, categories)).encode())
    digest.update(" ".join(training.names).encode() + training.truth.tobytes() + vectors.tobytes())
    kept = cache / f"{digest.hexdigest()[:12]}.npz"
    if kept.exists():
        return kernel.load(kept)
    found = kernel.fit(vectors, training.truth, categories, kind.penalty, seed)
    kernel.save(found, kept)
    return found


def _as_unseen(vectors: NDArray[np.float32], found: kernel.Remembered, categories: int) -> NDArray[np.float32]:
    """Return what the forest sees of training pictures: what it would if they were not remembered."""
    memory = Memory(found.arrays(), categories)
    seen = forest_inputs(memory, vectors)
    own = np.flatnonzero(found.own >= 0)
    points = vectors[own, -memory.dimensions :]
    seen[own] = memory.of_remembered(points, found.own[own], found.out_of_fold[own])
    return seen


def train(
    seen: Seen,
    store: Store,
    sides: Mapping[str, Side],
    categories: Sequence[str],
    directory: Path,
    parameters: Mapping[str, Any],
    about: Mapping[str, Any],
) -> Bundle:
    """Fit, calibrate and write a bundle into `directory`, with scikit-learn's model beside it.

    :param sides: `train`, `validation` and `calibration`. :param parameters: of RandomForestClassifier.
    :param about: what else the card tells; name and version at least.
    """
    model = grow(parameters, seen.training, sides["train"].truth)
    arrays = forest_arrays(model)
    forest = Forest(arrays, len(categories), seen.training.shape[1])
    extractor = Extractor(seen.arrays, seen.settings)
    memory = None if seen.memory is None else Memory(seen.memory, len(categories))

    seen_of = {split: features(extractor, store, sides[split].names) for split in ("validation", "calibration")}
    said = {split: forest.predict_proba(forest_inputs(memory, rows)) for split, rows in seen_of.items()}
    calibration = calibrate.choose(said["validation"], sides["validation"].truth)
    probabilities = calibrated(said["calibration"], calibration)
    pilot = calibrated(said["validation"], calibration), sides["validation"].truth
    card = {
        **about,
        "categories": list(categories),
        "features": seen.settings,
        "forest": {key: value for key, value in parameters.items() if key not in ("n_jobs", "verbose")},
        "calibration": calibration,
        "metrics": {"validation": metrics(*pilot)},
        "reference": reference(seen_of["calibration"]),
        "libraries": libraries(),
    }
    if parameters.get("oob_score"):
        card["forest"]["out_of_bag_accuracy"] = round(float(model.oob_score_), 4)
    bundle = write_bundle(
        directory, card, arrays, seen.arrays, seen.memory, probabilities, sides["calibration"].truth, pilot
    )
    draft = directory.parent / f".{MODEL}.draft"
    joblib.dump(model, draft, compress=3)
    draft.rename(directory.parent / MODEL)
    return bundle


def metrics(probabilities: Probabilities, truth: NDArray[np.int64]) -> dict[str, float | int]:
    """Return the figures that the card tells, of (n, categories) probabilities and (n,) categories."""
    figures = asdict(evaluate.figures_of(probabilities, truth, None))
    told = {name: value for name, value in figures.items() if value is not None and name != "archived"}
    return {name: round(value, 4) for name, value in told.items()}


def reference(rows: NDArray[np.float32]) -> dict[str, list[float]]:
    """Return the mean and deviation of each of (n, features): what arrives later is compared with them."""
    measures = {"mean": rows.mean(axis=0, dtype=np.float64), "deviation": rows.std(axis=0, dtype=np.float64)}
    return {name: [float(f"{value:.4g}") for value in values] for name, values in measures.items()}


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

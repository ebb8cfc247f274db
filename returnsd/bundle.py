"""A model with all it needs, as a directory: a card, arrays without pickle, and one known picture to test it by.

Loading verifies every file by its SHA-256 and every array by its form. A bundle says with calibrated probabilities
what a vector of features shows; what follows from that is policy.
"""

import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from returnsd import policy
from returnsd.errors import BundleError
from returnsd.forest import Forest, Probabilities
from returnsd.memory import Memory

T = TypeVar("T")

FORMAT = 1
EMBEDDED = Path(__file__).parent / "bundles"
CARD = "card.json"
FILES = ("forest.npz", "features.npz", "calibration.npz", "known.png", "known.npz")
MEMORY = "memory.npz"
"""A file that not every bundle has."""

KNOWN_TOLERANCE = 0.02
"""How far a probability of the known picture may be off: processors differ in the last bits, models do not."""

_MOST_BYTES = 200 << 20


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the model said of pictures that the forest was not trained on, after calibration; each (n,)."""

    confidence: NDArray[np.float64]
    correct: NDArray[np.bool_]
    true_probability: NDArray[np.float64]
    probabilities: Probabilities
    truth: NDArray[np.int64]

    @classmethod
    def of(cls, probabilities: Probabilities, truth: NDArray[np.int64]) -> "Calibration":
        """Return what follows from (n, categories) probabilities and the (n,) true categories."""
        return cls(
            confidence=probabilities.max(axis=1, initial=0.0),
            correct=probabilities.argmax(axis=1) == truth if len(truth) else np.empty(0, np.bool_),
            true_probability=probabilities[np.arange(len(truth)), truth],
            probabilities=probabilities,
            truth=truth,
        )

    def merged(self, groups: Sequence[Sequence[int]]) -> "Calibration":
        """Return the same with the categories of each group taken together under the first of them."""
        truth = self.truth.copy()
        for first, *others in groups:
            truth[np.isin(truth, others)] = first
        return Calibration.of(policy.merged(self.probabilities, groups), truth)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A loaded bundle."""

    directory: Path
    card: Mapping[str, Any]
    id: str
    categories: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]
    forest: Forest
    memory: Memory | None
    calibration: Calibration
    pilot: Calibration
    known_picture: bytes
    known_probabilities: Probabilities

    @classmethod
    def load(cls, directory: Path) -> "Bundle":
        """Read and verify a bundle; BundleError names the file and the remedy."""
        card_bytes = _read(directory, CARD)
        card = _parse_card(directory, card_bytes)
        names = (*FILES, MEMORY) if MEMORY in card["files"] else FILES
        files = {name: _verified(directory, name, card) for name in names}
        categories = tuple(card["categories"])
        features = card["features"]["count"]
        known = _arrays(directory, "known.npz", files, ("probabilities",))["probabilities"]
        if known.shape != (len(categories),) or known.dtype.kind != "f":
            raise BundleError(f"{directory / 'known.npz'} does not fit the card: get the bundle again")
        memory = _parsed(directory, MEMORY, files, lambda arrays: Memory(arrays, len(categories)))
        seen = features if memory is None else memory.size
        forest = _parsed(directory, "forest.npz", files, lambda arrays: Forest(arrays, len(categories), seen))
        assert forest is not None  # verified to be there
        return cls(
            directory=directory,
            card=card,
            id=f"{card['name']}-{card['version']}+{hashlib.sha256(card_bytes).hexdigest()[:8]}",
            categories=categories,
            groups=_groups(directory, card, categories),
            forest=forest,
            memory=memory,
            calibration=_calibration(directory, files, len(categories)),
            pilot=_calibration(directory, files, len(categories), "pilot_"),
            known_picture=files["known.png"],
            known_probabilities=known,
        )

    def predict_proba(self, rows: NDArray[np.float32]) -> Probabilities:
        """Return (n, categories) calibrated probabilities for (n, features) rows; each row sums to 1."""
        probabilities = self.forest.predict_proba(forest_inputs(self.memory, rows))
        return calibrated(probabilities, self.card["calibration"])

    def threshold(self, target_accuracy: float) -> float | None:
        """Return the lowest confidence at which the accuracy is certified; None if there is none."""
        return _certified(self.calibration, self.pilot, target_accuracy)

    def group_threshold(self, target_accuracy: float) -> float | None:
        """Return the lowest probability at which a group of categories is certified; None if there is none."""
        if not self.groups:
            return None
        return _certified(self.calibration.merged(self.groups), self.pilot.merged(self.groups), target_accuracy)

    def check_known(self, features: NDArray[np.float32]) -> None:
        """BundleError if this machine's features of the known picture lead to other probabilities than known."""
        found = self.predict_proba(features[np.newaxis])[0]
        worst = float(np.abs(found - self.known_probabilities).max())
        if worst > KNOWN_TOLERANCE:
            raise BundleError(
                f"{self.directory}: this machine sees the known picture differently (by {worst:.3f}):"
                " install the library versions of constraints.txt, or train the bundle again here"
            )


def _certified(calibration: Calibration, pilot: Calibration, target_accuracy: float) -> float | None:
    return policy.choose_threshold(
        calibration.confidence, calibration.correct, target_accuracy, pilot=(pilot.confidence, pilot.correct)
    )


def forest_inputs(memory: Memory | None, rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what the forest sees of (n, features) rows: themselves, or a memory's answers to how they end."""
    return rows if memory is None else memory(rows[:, -memory.dimensions :])


def calibrated(probabilities: Probabilities, settings: Mapping[str, Any]) -> Probabilities:
    """Return probabilities made to mean what they say, rows summing to 1; `settings` come from validation data.

    `temperature` (Guo et al., 2017): p becomes (p + smoothing) ** (1 / temperature). `isotonic` (Zadrozny, Elkan,
    2002): p becomes what a rising curve through the points (`x`, `y`) says. Both are normalised.
    """
    if settings.get("method") == "isotonic":
        powers = np.interp(probabilities, settings["x"], settings["y"]) + float(settings["smoothing"])
    else:
        powers = (probabilities + float(settings["smoothing"])) ** (1.0 / float(settings["temperature"]))
    rows: Probabilities = powers / powers.sum(axis=1, keepdims=True)
    return rows


# --- finding bundles


def list_bundles(search: Sequence[Path]) -> list[Path]:
    """Return the directories of all bundles in these folders, then the embedded ones; a name counts once."""
    found: dict[str, Path] = {}
    for folder in (*search, EMBEDDED):
        for card in sorted(folder.glob(f"*/{CARD}")):
            found.setdefault(card.parent.name, card.parent)
    return list(found.values())


def find_bundle(name_or_path: str, search: Sequence[Path]) -> Path:
    """Return the directory of a bundle given by path, or by name; BundleError lists the names there are."""
    if "/" in name_or_path:
        if (Path(name_or_path) / CARD).exists():
            return Path(name_or_path)
        raise BundleError(f"{name_or_path}: there is no bundle (no {CARD}): give the directory that training left")
    known = {path.name: path for path in list_bundles(search)}
    if name_or_path not in known:
        places = ", ".join(str(folder) for folder in search)
        raise BundleError(f"no bundle is called {name_or_path!r}: there are {', '.join(known)}; looked in {places}")
    return known[name_or_path]


# --- reading with suspicion


def _read(directory: Path, name: str) -> bytes:
    path = directory / name
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise BundleError(f"{path} is too large to be part of a bundle")
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read ({error.strerror}): get the bundle again") from error


def _parse_card(directory: Path, data: bytes) -> Mapping[str, Any]:
    path = directory / CARD
    try:
        card = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is no card of a bundle: {error}") from error
    if not isinstance(card, dict) or "format" not in card:
        raise BundleError(f"{path} is no card of a bundle: it names no format")
    if card["format"] != FORMAT:
        raise BundleError(
            f"{path}: format {card['format']}, this returnsd reads {FORMAT}: use the returnsd that made it"
        )
    if faults := [key for key in _CARD if key not in card]:
        raise BundleError(f"{path} lacks {', '.join(faults)}: get the bundle again")
    for key, (wanted, fits) in _CARD.items():
        if not fits(card[key]):
            raise BundleError(f"{path}: {key} must be {wanted}")
    if not _calibrates(card["calibration"], len(card["categories"])):
        raise BundleError(f"{path}: calibration makes no probabilities: get the bundle again")
    return card


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and value != ""


def _are_categories(value: object) -> bool:
    # each names a folder of the archive
    if not isinstance(value, list) or not all(_is_text(name) and len(name.encode()) <= 255 for name in value):
        return False
    return len(value) > 0 and len(set(value)) == len(value) and not {".", ".."} & set(value)


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict)


def _has_count(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("count"), int) and value["count"] > 0


def _calibrates(settings: Mapping[str, Any], classes: int) -> bool:
    try:
        with np.errstate(all="ignore"):
            found = calibrated(np.eye(classes), settings)
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return False
    return found.shape == (classes, classes) and bool(np.isfinite(found).all() and found.min() >= 0)


_CARD: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "name": ("text", _is_text),
    "version": ("text", _is_text),
    "categories": ("different names, at least one, each fit for a folder", _are_categories),
    "features": ("settings with the count of features", _has_count),
    "calibration": ("settings", _is_mapping),
    "files": ("the SHA-256 of each file", _is_mapping),
}


def _groups(directory: Path, card: Mapping[str, Any], categories: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """Return the groups of categories that nearly coincide, by number."""
    number = {category: position for position, category in enumerate(categories)}
    groups = [list(group) for group in card.get("groups", [])]
    members = [category for group in groups for category in group]
    if len(set(members)) != len(members) or not set(members) <= set(categories) or any(len(g) < 2 for g in groups):
        raise BundleError(f"{directory / CARD}: groups must be of two or more categories, each in one at most")
    return tuple(tuple(number[category] for category in group) for group in groups)


def _verified(directory: Path, name: str, card: Mapping[str, Any]) -> bytes:
    data = _read(directory, name)
    if hashlib.sha256(data).hexdigest() != card["files"].get(name):
        raise BundleError(f"{directory / name} is damaged (its SHA-256 is not the card's): get the bundle again")
    return data


def _arrays(
    directory: Path, name: str, files: Mapping[str, bytes], wanted: Sequence[str]
) -> dict[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(files[name]), allow_pickle=False) as stored:
            arrays = {key: np.asarray(stored[key]) for key in stored.files}  # bytes, where it is no array
    except Exception as error:  # zip, zlib and NumPy have many words for damage
        raise BundleError(f"{directory / name} holds no plain arrays ({error}): get the bundle again") from error
    missing = [key for key in wanted if key not in arrays]
    if missing:
        raise BundleError(f"{directory / name} lacks {', '.join(missing)}: get the bundle again")
    return arrays


def _parsed(
    directory: Path, name: str, files: Mapping[str, bytes], parse: Callable[[dict[str, NDArray[Any]]], T]
) -> T | None:
    if name not in files:
        return None
    try:
        return parse(_arrays(directory, name, files, ()))
    except BundleError as error:
        raise BundleError(f"{directory / name}: {error}") from error


def _calibration(directory: Path, files: Mapping[str, bytes], classes: int, prefix: str = "") -> Calibration:
    names = (f"{prefix}probabilities", f"{prefix}truth")
    arrays = _arrays(directory, "calibration.npz", files, names if not prefix else ())
    probabilities, truth = (arrays.get(name) for name in names)
    if probabilities is None or truth is None:  # a bundle may be without a pilot
        probabilities, truth = np.empty((0, classes)), np.empty(0, np.int64)
    if not _fits(probabilities, truth, classes):
        raise BundleError(f"{directory / 'calibration.npz'} does not fit the card: get the bundle again")
    return Calibration.of(probabilities.astype(np.float64), truth.astype(np.int64))


def _fits(probabilities: NDArray[Any], truth: NDArray[Any], classes: int) -> bool:
    if probabilities.dtype.kind != "f" or truth.dtype.kind not in "iu" or truth.ndim != 1:
        return False
    if probabilities.shape != (len(truth), classes) or not np.isfinite(probabilities).all():
        return False
    return not len(truth) or 0 <= int(truth.min()) <= int(truth.max()) < classes

"""What the forest's inputs are good for: how much each feature and family matters, and what is lost without it.

Two measures of importance, each with its weakness. Impurity (Breiman, 2001) is what splits on an input gained in
training; it favours inputs of many different values. Permutation is what is lost on pictures the forest was not
trained on when an input's values are dealt out anew among them; of inputs that say the same, none seems to matter.
Where a memory stands between what is looked at and the forest, families of what is looked at are permuted before
the memory is asked. What families cost is in `training.costs`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from returnsd.bundle import Bundle
from returnsd.vision.extractor import Extractor
from training.calibrate import log_loss
from training.costs import MEMORY_FAMILIES, Cost
from training.labels import DataError

_ALIKE = 1e-6
_CHECKED = 20

Rows = NDArray[np.float32]
Truth = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the forest sees of a picture: each input's name, and where each family lies."""

    names: tuple[str, ...]
    families: Mapping[str, slice]


@dataclass(frozen=True, slots=True)
class Worth:
    """What some inputs are worth: their share of all impurity gains, and what is lost when they are permuted.

    `accuracy_lost` and `loss_gained` (log-loss) are means over some deals, `accuracy_spread` their deviation. What
    is only looked at has no impurity.
    """

    name: str
    inputs: int
    impurity: float | None
    accuracy_lost: float
    accuracy_spread: float
    loss_gained: float


def inputs_of(bundle: Bundle, extractor: Extractor) -> Inputs:
    """Return the forest's inputs: the features, or what the memory answers to them."""
    if bundle.memory is None:
        return Inputs(extractor.names, extractor.families)
    count = len(bundle.categories)
    families = {name: slice(n * count, (n + 1) * count) for n, name in enumerate(MEMORY_FAMILIES)}
    return Inputs(tuple(f"{name}_{category}" for name in families for category in bundle.categories), families)


def load_model(path: Path, bundle: Bundle, rows: Rows) -> RandomForestClassifier:
    """Read scikit-learn's forest that the bundle was made from; DataError if it is that of another bundle."""
    try:
        model = joblib.load(path)
    except Exception as error:  # joblib has many words for damage
        raise DataError(f"{path} cannot be read ({error}): run `python -m training train` again") from error
    if not isinstance(model, RandomForestClassifier) or not _says_the_same(model, bundle, rows[:_CHECKED]):
        raise DataError(f"{path} is not the forest of {bundle.id}: train that bundle again")
    return model


def _says_the_same(model: RandomForestClassifier, bundle: Bundle, rows: Rows) -> bool:
    if (model.n_features_in_, len(model.classes_)) != (rows.shape[1], len(bundle.categories)):
        return False
    return bool(np.abs(model.predict_proba(rows) - bundle.forest.predict_proba(rows)).max() < _ALIKE)


def worths(
    model: RandomForestClassifier, inputs: Inputs, rows: Rows, truth: Truth, seed: int, repeats: int
) -> Iterator[Worth]:
    """Yield what each family is worth, then what each single input is."""
    parts: dict[str, Sequence[int]] = {
        name: range(family.start, family.stop) for name, family in inputs.families.items()
    }
    yield from worth(model, rows, truth, parts, seed, repeats)
    yield from worth(model, rows, truth, {name: [i] for i, name in enumerate(inputs.names)}, seed, repeats)


def worth(
    model: RandomForestClassifier,
    rows: Rows,
    truth: Truth,
    parts: Mapping[str, Sequence[int]],
    seed: int,
    repeats: int,
) -> Iterator[Worth]:
    """Yield what each of these parts of the inputs is worth, on (n, inputs) rows of known pictures."""
    gains = model.feature_importances_
    for name, columns in parts.items():
        of_it = list(columns)
        # what no tree asks for can be dealt out as one likes
        deals = repeats if gains[of_it].any() else 0
        lost = _lost(lambda dealt: _figures(model, dealt, truth), rows, of_it, seed, deals)
        yield Worth(name, len(columns), float(gains[of_it].sum()), *lost)


def sights_of(extractor: Extractor) -> dict[str, slice]:
    """Return the families of what a bundle looks at, and where they lie in a row of blocks."""
    found = {name: family for name, family in extractor.families.items() if not name.startswith("near_")}
    return found | {name: block for name, block in extractor.blocks.items() if name != "basic"}


def sights(
    bundle: Bundle, extractor: Extractor, rows: Rows, truth: Truth, seed: int, repeats: int
) -> Iterator[Worth]:
    """Yield what each family of what is looked at is worth, on (n, width) rows of blocks of known pictures."""

    def figures(dealt: Rows) -> tuple[float, float]:
        probabilities = bundle.predict_proba(extractor.weigh(dealt))
        return float((probabilities.argmax(axis=1) == truth).mean()), log_loss(probabilities, truth)

    for name, family in sights_of(extractor).items():
        columns = list(range(family.start, family.stop))
        yield Worth(name, len(columns), None, *_lost(figures, rows, columns, seed, repeats))


def _lost(
    figures: Callable[[Rows], tuple[float, float]], rows: Rows, columns: list[int], seed: int, repeats: int
) -> tuple[float, float, float]:
    """Return what is lost when these columns are dealt out anew: accuracy, its deviation, and log-loss gained."""
    accuracy, loss = figures(rows)
    dice = np.random.default_rng(seed)
    found = []
    for _ in range(repeats):
        dealt = rows.copy()
        dealt[:, columns] = rows[dice.permutation(len(rows))][:, columns]
        found.append(figures(dealt))
    lost = [accuracy - one for one, _ in found] or [0.0]
    gained = [one - loss for _, one in found] or [0.0]
    return float(np.mean(lost)), float(np.std(lost)), float(np.mean(gained))


def refitted(
    training: Rows,
    training_truth: Truth,
    rows: Rows,
    truth: Truth,
    families: Mapping[str, slice],
    parameters: Mapping[str, Any],
) -> Iterator[tuple[str, float]]:
    """Yield the accuracy of a new forest on all inputs (by the name ""), then on all but each family."""
    for name in ("", *families):
        left_out = families[name] if name else slice(0, 0)
        kept = np.delete(np.arange(training.shape[1]), left_out)
        model = RandomForestClassifier(**parameters).fit(training[:, kept], training_truth)
        yield name, _figures(model, rows[:, kept], truth)[0]


def as_json(
    bundle_id: str,
    pictures: int,
    families: Sequence[Worth],
    features: Sequence[Worth],
    looked_at: Sequence[Worth],
    refits: Mapping[str, float],
    cost: tuple[Mapping[str, Cost], Sequence[Cost]],
) -> dict[str, Any]:
    """Return what a program may want of an analysis."""
    return {
        "bundle": bundle_id,
        "pictures": pictures,
        "families": [asdict(one) for one in families],
        "inputs": [asdict(one) for one in features],
        "looked_at": [asdict(one) for one in looked_at],
        "accuracy_refitted_without": dict(refits),
        "costs_ms": {name: {"own": one.own_ms, "saved": one.saved_ms} for name, one in cost[0].items()},
        "steps_ms": {one.name: one.own_ms for one in cost[1]},
    }


def _figures(model: RandomForestClassifier, rows: Rows, truth: Truth) -> tuple[float, float]:
    probabilities = model.predict_proba(rows)
    return float((probabilities.argmax(axis=1) == truth).mean()), log_loss(probabilities, truth)

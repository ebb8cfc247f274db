"""What the plots of an evaluation show, as numbers: trade-offs over all thresholds, not only the chosen one."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_curve

from returnsd import policy
from returnsd.forest import Probabilities
from training.evaluate import Interval, auc, wilson

_POINTS = 200


@dataclass(frozen=True, slots=True)
class Roc:
    """A category against all others: the share of others called so, of those that are so, and the area below."""

    category: str
    false_alarms: NDArray[np.float64]
    found: NDArray[np.float64]
    area: float


@dataclass(frozen=True, slots=True)
class Bin:
    """Pictures of about one confidence: its mean, how many were right, and that share's 95 % interval."""

    confidence: float
    accuracy: float
    interval: Interval
    count: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """Archiving the surest pictures: what share of all (n,), how many of them are right, with 95 % intervals."""

    share: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shortlist:
    """Shortlists at one promise: how many categories are on one in the mean, and how often the right one is."""

    promised: float
    size: float
    coverage: float
    interval: Interval


def roc_curves(probabilities: Probabilities, truth: NDArray[np.int64], categories: Sequence[str]) -> list[Roc]:
    """Return the ROC curve of every category that some pictures are of, and some are not."""
    curves = []
    for number, category in enumerate(categories):
        area = auc(probabilities[:, number], truth == number)
        if area is not None:
            false_alarms, found, _ = roc_curve(truth == number, probabilities[:, number])
            kept = _spread(len(found))
            curves.append(Roc(category, false_alarms[kept], found[kept], area))
    return curves


def reliability(confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = 12) -> list[Bin]:
    """Return equally filled bins of rising confidence."""
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return [
        Bin(
            float(confidence[part].mean()),
            float(correct[part].mean()),
            wilson(int(correct[part].sum()), len(part)),
            len(part),
        )
        for part in parts
    ]


def coverage(confidence: NDArray[np.float64], correct: NDArray[np.bool_]) -> Coverage:
    """Return what archiving ever more pictures, the surest first, costs in accuracy."""
    order = np.argsort(-confidence, kind="stable")
    hits = np.cumsum(correct[order])
    kept = _spread(len(order))
    bounds = np.array([wilson(int(hits[k]), int(k) + 1) for k in kept])
    return Coverage((kept + 1) / len(order), hits[kept] / (kept + 1), bounds[:, 0], bounds[:, 1])


def shortlists(
    true_probability: NDArray[np.float64],
    probabilities: Probabilities,
    truth: NDArray[np.int64],
    promises: Sequence[float],
) -> list[Shortlist]:
    """Return what lists are like at each promised coverage.

    :param true_probability: of the calibration pictures, from which the service picks who is listed.
    :param probabilities: (n, categories) of the pictures that the lists are measured on, and `truth` (n,) theirs.
    """
    found = []
    for promised in promises:
        listed = probabilities >= policy.shortlist_floor(true_probability, promised)
        listed[np.arange(len(truth)), probabilities.argmax(axis=1)] = True  # a list is never empty
        hits = int(listed[np.arange(len(truth)), truth].sum())
        found.append(
            Shortlist(promised, float(listed.sum(axis=1).mean()), hits / len(truth), wilson(hits, len(truth)))
        )
    return found


def worst(confidence: NDArray[np.float64], correct: NDArray[np.bool_], most: int) -> NDArray[np.intp]:
    """Return the numbers of the wrong pictures that the model was surest of, the worst first."""
    wrong = np.flatnonzero(~correct)
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:most]


def _spread(count: int) -> NDArray[np.intp]:
    """Return at most _POINTS numbers below count, spread evenly, first and last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, _POINTS)).round().astype(np.intp))

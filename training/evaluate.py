"""How good a bundle is, on pictures that neither training nor calibration has seen, and how sure that is.

Shares come with Wilson's 95 % confidence intervals, other figures with those of a bootstrap over the pictures
with a fixed seed. What is drawn from the same numbers is in `training.curves`.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.metrics import f1_score

from returnsd import policy
from returnsd.bundle import Bundle
from returnsd.forest import Probabilities
from training.calibrate import expected_calibration_error, log_loss

Interval = tuple[float, float]

DRAWS = 400
_Z = 1.959964  # 95 % of a normal distribution lie within so many deviations
_FEW = 500  # test pictures: below, figures are uncertain by more than four points


@dataclass(frozen=True, slots=True)
class Figures:
    """What a bundle is worth on `count` pictures; shares are 0 to 1."""

    count: int
    accuracy: float
    macro_f1: float
    top_3: float
    log_loss: float
    calibration_error: float
    archived: float
    archived_accuracy: float | None
    macro_auc: float | None


@dataclass(frozen=True, slots=True)
class CategoryFigures:
    """The same of one category, on its `count` pictures; what cannot be told is None.

    Precision: of those called so, how many are. Recall: of those that are, how many are called so.
    """

    category: str
    count: int
    precision: float | None
    precision_interval: Interval
    recall: float | None
    recall_interval: Interval
    f1: float | None
    archived: float | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All there is to tell: figures, their 95 % intervals, by category, and with grouped categories as one.

    `confusion` (categories, categories) counts pictures: rows are true, columns are said.
    """

    figures: Figures
    intervals: Mapping[str, Interval]
    threshold: float | None
    by_category: tuple[CategoryFigures, ...]
    confusion: NDArray[np.int64]
    grouped: Figures | None
    grouped_intervals: Mapping[str, Interval]
    probabilities: Probabilities
    truth: NDArray[np.int64]


def measure(
    bundle: Bundle, rows: NDArray[np.float32], truth: NDArray[np.int64], target_accuracy: float
) -> tuple[Figures, Probabilities]:
    """Return the figures of (n, features) rows with their (n,) true categories, and the probabilities."""
    probabilities = bundle.predict_proba(rows)
    return figures_of(probabilities, truth, bundle.threshold(target_accuracy)), probabilities


def evaluate(
    bundle: Bundle, rows: NDArray[np.float32], truth: NDArray[np.int64], target_accuracy: float, seed: int = 1
) -> Evaluation:
    """Return all there is to tell of (n, features) rows with their (n,) true categories."""
    figures, probabilities = measure(bundle, rows, truth, target_accuracy)
    threshold = bundle.threshold(target_accuracy)
    grouped, grouped_intervals = None, {}
    if bundle.groups:
        together, true_groups = policy.merged(probabilities, bundle.groups), group_truth(truth, bundle.groups)
        certain = bundle.group_threshold(target_accuracy)
        grouped = figures_of(together, true_groups, certain)
        grouped_intervals = intervals(grouped, together, true_groups, seed)
    return Evaluation(
        figures=figures,
        intervals=intervals(figures, probabilities, truth, seed),
        threshold=threshold,
        by_category=_by_category(bundle.categories, probabilities, truth, threshold),
        confusion=_confusion(truth, probabilities.argmax(axis=1), len(bundle.categories)),
        grouped=grouped,
        grouped_intervals=grouped_intervals,
        probabilities=probabilities,
        truth=truth,
    )


def figures_of(probabilities: Probabilities, truth: NDArray[np.int64], threshold: float | None) -> Figures:
    """Return the figures of (n, categories) probabilities when archiving from a threshold up (None: never)."""
    best = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    rank = (probabilities > probabilities[np.arange(len(truth)), truth][:, np.newaxis]).sum(axis=1)
    archived = confidence >= threshold if threshold is not None else np.zeros(len(truth), bool)
    correct = best == truth
    return Figures(
        count=len(truth),
        accuracy=float(correct.mean()),
        macro_f1=float(f1_score(truth, best, average="macro")),
        top_3=float((rank < 3).mean()),
        log_loss=log_loss(probabilities, truth),
        calibration_error=expected_calibration_error(confidence, correct),
        archived=float(archived.mean()),
        archived_accuracy=float(correct[archived].mean()) if archived.any() else None,
        macro_auc=macro_auc(probabilities, truth),
    )


def group_truth(truth: NDArray[np.int64], groups: tuple[tuple[int, ...], ...]) -> NDArray[np.int64]:
    """Return the true categories with those of a group called by its first, as policy.merged does."""
    true_groups = truth.copy()
    for first, *others in groups:
        true_groups[np.isin(truth, others)] = first
    return true_groups


def macro_auc(probabilities: Probabilities, truth: NDArray[np.int64]) -> float | None:
    """Return the mean area under the ROC curves, each category against all others; None where there are none."""
    areas = [
        area for c in range(probabilities.shape[1]) if (area := auc(probabilities[:, c], truth == c)) is not None
    ]
    return float(np.mean(areas)) if areas else None


def auc(values: NDArray[np.float64], positive: NDArray[np.bool_]) -> float | None:
    """Return how often a positive has a higher value than a negative (Mann-Whitney); None if one is missing."""
    count = int(positive.sum())
    if count in (0, len(positive)):
        return None
    ranks = float(rankdata(values)[positive].sum())
    return (ranks - count * (count + 1) / 2) / (count * (len(positive) - count))


# --- how sure a figure is


def wilson(hits: int, count: int) -> Interval:
    """Return the 95 % confidence interval of a share, of which `hits` of `count` were seen (Wilson, 1927)."""
    if count == 0:
        return 0.0, 1.0
    share = hits / count
    middle = share + _Z**2 / (2 * count)
    half = _Z * np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    low, high = ((middle + sign * half) / (1 + _Z**2 / count) for sign in (-1, 1))
    return max(0.0, float(low)), min(1.0, float(high))


def remarks(figures: Figures, bundle: Bundle, target_accuracy: float) -> list[str]:
    """Return what the figures do not allow to say, a sentence each; none if there is nothing to warn of."""
    said = []
    if figures.count < _FEW:
        low, high = wilson(round(figures.accuracy * figures.count), figures.count)
        said.append(
            f"{figures.count} test pictures tell little: the accuracy on others may well be"
            f" anywhere from {low:.0%} to {high:.0%}. Label more pictures before you rely on it."
        )
    if figures.archived == 0.0:
        fewest = policy.fewest_proofs(target_accuracy)
        there = len(bundle.calibration.truth)
        why = (
            f"A certificate takes at least {fewest} calibration pictures, all right; there are {there}."
            if there < fewest
            else f"Of the {there} calibration pictures, too few of those that it is surest of are right."
        )
        said.append(f"Nothing is certified at {target_accuracy:.0%}, so everything goes to review. {why}")
    return said


def margin(share: float, count: int) -> float:
    """Return half the width of the 95 % confidence interval of a share of `count` pictures."""
    low, high = wilson(round(share * count), count)
    return (high - low) / 2


def bootstrap(
    figure: Callable[[NDArray[np.intp]], float | None], count: int, seed: int, draws: int = DRAWS
) -> Interval:
    """Return the 95 % interval of a figure over as many pictures drawn again, with putting back (Efron, 1979).

    :param figure: of the pictures with these numbers; None where it cannot be told.
    """
    dice = np.random.default_rng(seed)
    found = [value for _ in range(draws) if (value := figure(dice.integers(0, count, count))) is not None]
    if not found:
        return 0.0, 1.0
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def intervals(
    figures: Figures, probabilities: Probabilities, truth: NDArray[np.int64], seed: int
) -> dict[str, Interval]:
    """Return the 95 % confidence interval of each figure by its name."""
    count = figures.count
    best, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    loss = -np.log(np.maximum(probabilities[np.arange(count), truth], 1e-12))
    archived = round(figures.archived * count)
    right = round((figures.archived_accuracy or 0.0) * archived)
    half = _Z * float(loss.std()) / count**0.5
    few = DRAWS // 4  # an area takes long
    return {
        "accuracy": wilson(round(figures.accuracy * count), count),
        "macro_f1": bootstrap(lambda drawn: _macro_f1(truth[drawn], best[drawn]), count, seed),
        "top_3": wilson(round(figures.top_3 * count), count),
        "log_loss": (figures.log_loss - half, figures.log_loss + half),
        "calibration_error": bootstrap(
            lambda drawn: expected_calibration_error(confidence[drawn], best[drawn] == truth[drawn]), count, seed
        ),
        "archived": wilson(archived, count),
        "archived_accuracy": wilson(right, archived),
        "macro_auc": bootstrap(lambda drawn: macro_auc(probabilities[drawn], truth[drawn]), count, seed, few),
    }


def _macro_f1(truth: NDArray[np.int64], best: NDArray[np.int64]) -> float:
    """Return scikit-learn's macro-F1 in a hundredth of its time."""
    size = int(max(truth.max(), best.max())) + 1
    counts = _confusion(truth, best, size)
    both = counts.sum(axis=0) + counts.sum(axis=1)
    return float((2 * np.diag(counts)[both > 0] / both[both > 0]).mean())


def _confusion(truth: NDArray[np.int64], best: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    return np.bincount(truth * size + best, minlength=size * size).reshape(size, size)


def _by_category(
    categories: tuple[str, ...], probabilities: Probabilities, truth: NDArray[np.int64], threshold: float | None
) -> tuple[CategoryFigures, ...]:
    best, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    found = []
    for number, category in enumerate(categories):
        is_so, said_so = truth == number, best == number
        count, said, hits = int(is_so.sum()), int(said_so.sum()), int((is_so & said_so).sum())
        sure = 0 if threshold is None else int((confidence[is_so] >= threshold).sum())
        found.append(
            CategoryFigures(
                category=category,
                count=count,
                precision=hits / said if said else None,
                precision_interval=wilson(hits, said),
                recall=hits / count if count else None,
                recall_interval=wilson(hits, count),
                f1=2 * hits / (count + said) if count + said else None,
                archived=sure / count if count else None,
            )
        )
    return tuple(found)


def as_json(evaluation: Evaluation, bundle: Bundle, target_accuracy: float) -> dict[str, Any]:
    """Return what a program may want of an evaluation."""
    return {
        "bundle": bundle.id,
        "target_accuracy": target_accuracy,
        "threshold": evaluation.threshold,
        "figures": asdict(evaluation.figures),
        "intervals_95": dict(evaluation.intervals),
        "grouped": None if evaluation.grouped is None else asdict(evaluation.grouped),
        "grouped_intervals_95": dict(evaluation.grouped_intervals),
        "groups": [[bundle.categories[number] for number in group] for group in bundle.groups],
        "by_category": [asdict(one) for one in evaluation.by_category],
        "categories": list(bundle.categories),
        "confusion": evaluation.confusion.tolist(),
    }

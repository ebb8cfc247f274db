"""What each remembered picture pulls others towards: kernel ridge regression, honest about its own pictures.

One against all, +1 for the category and -1 / (categories - 1) for the others, with the kernel of returnsd.memory.
The forest must learn from scores as they are of pictures that the regression has not seen; so training pictures get
scores out of fold, exactly and without fitting again for each fold (Golub, Heath, Wahba, 1979: residuals left out
follow from the inverse).
"""

import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, lapack

from returnsd import disk
from returnsd.memory import kernel, quantised, unit_of

FOLDS = 20
MOST_POINTS = 26_000
"""More pictures are not remembered: time and memory grow with the square of their number, 2.7 GB for so many."""

_STEPS = 30_000  # the largest pull in whole units
_AT_ONCE = 1024

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Remembered:
    """Which of (n, d) training pictures are remembered, and what each pulls towards.

    `own` (n,): each one's point, -1 for none. `points` (m, d) int8 and `starts` (categories,), by category; `pulls`
    (m, categories) int16 in whole `pull_unit` (1,). `out_of_fold` (n, categories): scores of pictures that are
    remembered, without themselves and their fold; of others zeros.
    """

    own: NDArray[np.int64]
    points: NDArray[np.int8]
    starts: NDArray[np.int32]
    pulls: NDArray[np.int16]
    pull_unit: Matrix
    out_of_fold: Matrix

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what returnsd.memory.Memory wants."""
        return {name: getattr(self, name) for name in ("points", "starts", "pulls", "pull_unit")}


def fit(
    directions: Matrix,
    truth: NDArray[np.int64],
    categories: int,
    penalty: float,
    seed: int,
    most_points: int = MOST_POINTS,
) -> Remembered:
    """Remember (n, d) directions of unit length with their (n,) categories.

    :param penalty: of the squared norm; larger is smoother.
    """
    chosen = _chosen(truth, most_points, seed)
    order = chosen[np.argsort(truth[chosen], kind="stable")]
    own = np.full(len(truth), -1, np.int64)
    own[order] = np.arange(len(order))
    points, true = quantised(directions[order]), truth[order]
    targets = np.full((len(order), categories), -1.0 / max(1, categories - 1), np.float32)
    targets[np.arange(len(order)), true] = 1.0
    dual, left_out = _solve(_kernel_of(points), targets, np.float32(penalty), _folds(true, seed))
    unit = np.float32(max(float(np.abs(dual).max()), 1e-9) / _STEPS)
    out_of_fold = np.zeros((len(truth), categories), np.float32)
    out_of_fold[order] = left_out
    return Remembered(
        own=own,
        points=points,
        starts=np.searchsorted(true, np.arange(categories)).astype(np.int32),
        pulls=np.rint(dual / unit).astype(np.int16),
        pull_unit=np.array([unit], np.float32),
        out_of_fold=out_of_fold,
    )


def _chosen(truth: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """Return which pictures are remembered, in their order: all, or a sample with each category in it."""
    if len(truth) <= most:
        return np.arange(len(truth))
    deal = np.random.default_rng(seed).permutation(len(truth))
    _, firsts = np.unique(truth[deal], return_index=True)
    rest = np.setdiff1d(np.arange(len(deal)), firsts)
    return np.sort(deal[np.concatenate([firsts, rest])[:most]])


def _kernel_of(points: NDArray[np.int8]) -> Matrix:
    """Return the (m, m) kernel between all points."""
    whole = points.astype(np.float32)
    whole /= np.float32(unit_of(points.shape[1]))
    found = np.empty((len(points), len(points)), np.float32)
    for start in range(0, len(points), _AT_ONCE):
        found[start : start + _AT_ONCE] = kernel(whole[start : start + _AT_ONCE] @ whole.T)
    return found


def _folds(truth: NDArray[np.int64], seed: int) -> list[NDArray[np.int64]]:
    """Return which pictures are left out together: as many of each category in every fold, or nearly.

    Were some categories rarer without a fold, all of its scores would tell so, and whose they are.
    """
    deal = np.random.default_rng(seed).permutation(len(truth))
    dealt = deal[np.argsort(truth[deal], kind="stable")]
    count = min(FOLDS, len(truth))
    return [np.sort(dealt[first::count]) for first in range(count)]


def _solve(
    gram: Matrix, targets: Matrix, penalty: np.float32, folds: list[NDArray[np.int64]]
) -> tuple[Matrix, Matrix]:
    """Return (gram + penalty)^-1 targets, and the fitted values of each fold without it; `gram` is used up."""
    count = len(gram)
    gram[np.diag_indices(count)] += penalty
    factor, fault = lapack.spotrf(gram.T, lower=1, overwrite_a=1)
    inverse, fault_too = lapack.spotri(factor, lower=1, overwrite_c=1)
    assert fault == fault_too == 0  # the penalty makes it positive definite
    dual = np.asarray(blas.ssymm(1.0, inverse, targets, lower=1), np.float32)
    left_out = np.empty_like(targets)
    for fold in folds:
        lower = np.tril(inverse[np.ix_(fold, fold)])  # a fold is sorted, so its lower half is of the lower half
        block = lower + np.tril(lower, -1).T
        left_out[fold] = targets[fold] - np.linalg.solve(block, dual[fold])
    return dual, left_out


def save(remembered: Remembered, path: Path) -> None:
    """Keep what was learnt, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, **{one.name: getattr(remembered, one.name) for one in fields(remembered)})
    disk.replace(path, buffer.getvalue())


def load(path: Path) -> Remembered:
    """Read what was kept."""
    with np.load(path, allow_pickle=False) as kept:
        return Remembered(**{one.name: kept[one.name] for one in fields(Remembered)})

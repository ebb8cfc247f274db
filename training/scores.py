"""Linear maps of long vectors: scores by ridge regression, honest about training pictures; directions by PCA.

One against all, +1 for the category and -1 / (categories - 1) for the others. The forest must learn from scores
as they are on pictures that the regression has not seen; so training pictures get scores out of fold, exactly and
without fitting again for each fold (Golub, Heath, Wahba, 1979: residuals left out follow from the hat matrix).
"""

import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas, cho_factor, cho_solve, lapack, solve_triangular
from sklearn.utils.extmath import randomized_svd

from returnsd import disk
from returnsd.vision.scores import standardised
from training.learn import SIZES

FOLDS = 5
_FLAT = 1e-4  # an input that differs less says nothing

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Ridge:
    """What was learnt: `mean` and `scale` (d,), `weights` (d, categories); and `out_of_fold` (n, categories)."""

    mean: Matrix
    scale: Matrix
    weights: Matrix
    out_of_fold: Matrix

    def arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """Return what returnsd.vision.scores.Linear wants of a score."""
        return as_map(f"score_{name}", self.mean, self.scale, self.weights)


def as_map(name: str, mean: Matrix, scale: Matrix, weights: Matrix) -> dict[str, NDArray[Any]]:
    """Return the arrays of a linear map for a bundle, as small as they may be."""
    return {f"{name}_mean": mean, f"{name}_scale": scale, f"{name}_weights": weights.astype(np.float16)}


def directions(name: str, rows: Matrix, count: int, seed: int) -> dict[str, NDArray[Any]]:
    """Return the map of (n, d) rows to the `count` values in which they differ most (PCA).

    Fisher vectors have a length already and are compared as they are; other inputs are put on one scale first.
    """
    mean = rows.mean(axis=0)
    scale = np.ones_like(mean) if name in SIZES else 1.0 / np.maximum(rows.std(axis=0), _FLAT)
    x = standardised(rows, mean, scale)
    _, _, found = randomized_svd(x, min(count, *x.shape), n_iter=3, random_state=seed)
    return as_map(f"near_{name}", mean, scale, found.T)


def fit(rows: Matrix, truth: NDArray[np.int64], categories: int, penalty: float, seed: int) -> Ridge:
    """Fit a ridge regression on (n, d) rows and their (n,) categories.

    :param penalty: of the squared weights, for each row; larger is smoother.
    """
    mean = rows.mean(axis=0)
    scale = 1.0 / np.maximum(rows.std(axis=0), _FLAT)
    x = standardised(rows, mean, scale)
    y = np.full((len(truth), categories), -1.0 / max(1, categories - 1), np.float32)
    y[np.arange(len(truth)), truth] = 1.0
    deal = np.random.default_rng(seed).permutation(len(truth))
    folds = [np.sort(fold) for fold in np.array_split(deal, min(FOLDS, len(truth)))]
    solve = _many_inputs if x.shape[1] >= x.shape[0] else _many_rows
    weights, out_of_fold = solve(x, y, np.float32(penalty * len(truth)), folds)
    return Ridge(mean, scale, np.asarray(weights, np.float32), out_of_fold)


def _many_rows(x: Matrix, y: Matrix, penalty: np.float32, folds: list[NDArray[np.int64]]) -> tuple[Matrix, Matrix]:
    """Solve in the space of the inputs: (X'X + penalty) W = X'Y."""
    gram = blas.ssyrk(1.0, x.T, lower=1)
    gram[np.diag_indices(len(gram))] += penalty
    factor = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    weights = cho_solve(factor, x.T @ y, check_finite=False)
    residual = y - x @ weights
    out_of_fold = np.empty_like(y)
    for fold in folds:
        half = solve_triangular(factor[0], x[fold].T, lower=True, check_finite=False)
        left = np.eye(len(fold), dtype=np.float32) - half.T @ half
        out_of_fold[fold] = y[fold] - np.linalg.solve(left, residual[fold])
    return weights, out_of_fold


def _many_inputs(
    x: Matrix, y: Matrix, penalty: np.float32, folds: list[NDArray[np.int64]]
) -> tuple[Matrix, Matrix]:
    """Solve in the space of the rows: W = X' (XX' + penalty)^-1 Y."""
    gram = blas.ssyrk(1.0, x.T, trans=1, lower=1)
    gram[np.diag_indices(len(gram))] += penalty
    factor, fault = lapack.spotrf(gram, lower=1, overwrite_a=1)
    inverse, fault_too = lapack.spotri(factor, lower=1, overwrite_c=1)
    assert fault == fault_too == 0  # the penalty makes it positive definite
    dual = blas.ssymm(1.0, inverse, y, lower=1)
    out_of_fold = np.empty_like(y)
    for fold in folds:
        lower = np.tril(inverse[np.ix_(fold, fold)])  # a fold is sorted, so its lower half is of the lower half
        block = lower + np.tril(lower, -1).T
        out_of_fold[fold] = y[fold] - np.linalg.solve(block, dual[fold])
    return x.T @ dual, out_of_fold


def save(ridge: Ridge, path: Path) -> None:
    """Keep what was learnt, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, **{one.name: getattr(ridge, one.name) for one in fields(ridge)})
    disk.replace(path, buffer.getvalue())


def load(path: Path) -> Ridge:
    """Read what was kept."""
    with np.load(path, allow_pickle=False) as kept:
        return Ridge(**{one.name: kept[one.name] for one in fields(Ridge)})

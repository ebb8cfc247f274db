"""What the model remembers: where its training pictures lie, and what each one pulls a new picture towards.

A point is a direction of unit length in a space where alike pictures lie near each other, kept as small whole
numbers. Asked about a direction, the memory scores each category, by the sum of what all points pull towards it,
weighed by how near they are (kernel ridge regression with a Gaussian kernel; Saunders, Gammerman, Vovk, 1998;
`training.kernel` learns it), and sees how near its nearest point is. It answers with each category's lead over the
best other one, in both: a tree asks about one number at a time, and what counts is the difference. All products are
of whole numbers and exact, so a picture's answer does not depend on its neighbours in a batch. Pure: arrays in,
arrays out.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from returnsd.errors import BundleError

ARRAYS = ("points", "starts", "pulls", "pull_unit")
"""points (n, d) int8, by category; starts (categories,): where each category's points begin; pulls (n, categories)
int16, in whole pull_unit (1,) float32."""

REACH = 1.5
"""How fast a point's pull falls with its distance: exp(REACH * (cosine - 1))."""

Rows = NDArray[np.float32]

_LEVELS = 3.0  # deviations of a point's values in whole numbers; what is lost by that is a hundredth of its length
_FINE = 2048.0  # the whole number that stands for 1.0 in a direction that is asked about
_MOST_DIMENSIONS = 1 << 12  # up to there, sums of products stay exact in float32
_MOST_POINTS = 1 << 17  # up to there, sums of pulls stay exact in float64
_WEIGHT = float(1 << 20)
_AT_ONCE = 64


class Memory:
    """Points by category, ready to be compared with."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], categories: int) -> None:
        """Check the arrays (see ARRAYS); BundleError names what is wrong with them."""
        missing = [name for name in ARRAYS if name not in arrays]
        if missing:
            raise BundleError(f"the memory lacks {', '.join(missing)}: get the bundle again")
        points, starts, pulls = arrays["points"], arrays["starts"].astype(np.int64), arrays["pulls"]
        ends = np.append(starts[1:], len(points))
        whole = points.ndim == 2 and points.dtype == np.int8 and points.shape[1] <= _MOST_DIMENSIONS
        whole = whole and len(points) <= _MOST_POINTS
        whole = whole and pulls.dtype == np.int16 and pulls.shape == (len(points), categories)
        whole = whole and arrays["pull_unit"].shape == (1,) and bool(np.isfinite(arrays["pull_unit"]).all())
        if not whole or len(starts) != categories or (ends <= starts).any() or (categories and starts[0] != 0):
            raise BundleError("the memory is damaged: get the bundle again")
        self._points = np.ascontiguousarray(points.T, np.float32)
        self._nearness = np.float32(1 / (_FINE * unit_of(points.shape[1])))
        self._starts = starts
        self._pulls = pulls.astype(np.float64)
        self._pull_unit = float(arrays["pull_unit"][0]) / _WEIGHT

    @property
    def dimensions(self) -> int:
        """How many values a direction has."""
        return len(self._points)

    @property
    def size(self) -> int:
        """How many values an answer has."""
        return 2 * len(self._starts)

    def __call__(self, directions: Rows) -> Rows:
        """Return (n, size) of (n, dimensions) directions: leads by category, of scores and of nearest cosines."""
        return self._answers(directions, None, None)

    def of_remembered(self, directions: Rows, own: NDArray[np.int64], scores: Rows) -> Rows:
        """Return the same of pictures that are remembered, as if they were not.

        :param own: (n,) the point that is the picture itself, or -1. :param scores: (n, categories) without it.
        """
        return self._answers(directions, own, scores)

    def _answers(self, directions: Rows, own: NDArray[np.int64] | None, scores: Rows | None) -> Rows:
        whole = np.rint(np.clip(directions, -1.0, 1.0) * np.float32(_FINE)).astype(np.float32)
        found = np.empty((len(whole), self.size), np.float32)
        for start in range(0, len(whole), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            near = whole[part] @ self._points
            near *= self._nearness
            if own is not None:
                itself = np.flatnonzero(own[part] >= 0)
                near[itself, own[part][itself]] = -1.0
            pulled = self._pulled(near) if scores is None else scores[part]
            nearest = np.maximum.reduceat(near, self._starts, axis=1)
            found[part] = np.concatenate([leads(pulled), leads(nearest)], axis=1)
        return found.astype(np.float16).astype(np.float32)

    def _pulled(self, near: Rows) -> NDArray[np.float64]:
        weights = np.rint(kernel(near) * np.float32(_WEIGHT)).astype(np.float64)
        sums: NDArray[np.float64] = weights @ self._pulls
        return sums * self._pull_unit


def kernel(cosines: Rows) -> Rows:
    """Return how much points at these cosines count: 1 for the same direction, less the farther they are."""
    return np.asarray(np.exp((cosines - np.float32(1.0)) * np.float32(REACH)), np.float32)


def leads(values: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return by how much each of (n, categories) values is above the largest of the others; below: negative."""
    if values.shape[1] < 2:
        return values
    ranked = np.partition(values, -2, axis=1)
    second, first = ranked[:, -2:-1], ranked[:, -1:]
    return values - np.where(values == first, second, first)


def unit_of(dimensions: int) -> float:
    """Return the whole number that stands for 1.0 in a point of so many values."""
    return float(round(_LEVELS * dimensions**0.5))


def quantised(directions: Rows) -> NDArray[np.int8]:
    """Return (n, d) directions as the nearest small whole numbers."""
    whole = np.rint(directions * np.float32(unit_of(directions.shape[1])))
    return np.asarray(np.clip(whole, -127, 127), np.int8)

"""What the model remembers: where its training pictures lie, and so how near a new one is to each category.

A point is a direction of unit length in a space where alike pictures lie near each other, kept as small whole
numbers. All products are of whole numbers and exact, so a picture's answer does not depend on its neighbours in a
batch. Pure: arrays in, arrays out.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from returnsd.errors import BundleError

ARRAYS = ("points", "starts")
"""points (n, d) int8, by category; starts (categories,): where each category's points begin."""

UNIT = 300
"""The whole number that stands for 1.0; what is above 127 / 300 is cut off."""

SHARPNESS = (20.0, 60.0)
"""How fast a point's weight falls with its distance: the neighbourhood, and near-copies."""

Rows = NDArray[np.float32]

_AT_ONCE = 64
_ABSENT = 1e-12


class Memory:
    """Points by category, ready to be compared with."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], categories: int) -> None:
        """Check the arrays (see ARRAYS); BundleError names what is wrong with them."""
        missing = [name for name in ARRAYS if name not in arrays]
        if missing:
            raise BundleError(f"the memory lacks {', '.join(missing)}: get the bundle again")
        points, starts = arrays["points"], arrays["starts"].astype(np.int64)
        ends = np.append(starts[1:], len(points))
        if points.ndim != 2 or points.dtype != np.int8 or len(starts) != categories or (ends <= starts).any():
            raise BundleError("the memory is damaged: get the bundle again")
        if categories and starts[0] != 0:
            raise BundleError("the memory is damaged: get the bundle again")
        self._points = np.ascontiguousarray(points.T, np.float32)
        self._starts = starts

    @property
    def dimensions(self) -> int:
        """How many values a direction has."""
        return len(self._points)

    @property
    def size(self) -> int:
        """How many values an answer has."""
        return (1 + len(SHARPNESS)) * len(self._starts)

    def __call__(
        self, directions: NDArray[np.float32], own: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Return (n, size) of (n, dimensions) directions: by category, the nearest cosine, and two densities.

        :param own: (n,) the point that is the picture itself and does not count, for pictures that are remembered.
        """
        whole = quantised(directions).astype(np.float32)
        found = np.empty((len(whole), self.size), np.float32)
        for start in range(0, len(whole), _AT_ONCE):
            near = whole[start : start + _AT_ONCE] @ self._points
            near *= np.float32(1 / UNIT**2)
            if own is not None:
                near[np.arange(len(near)), own[start : start + _AT_ONCE]] = -1.0
            parts = [np.maximum.reduceat(near, self._starts, axis=1)]
            near -= 1.0
            for sharpness in SHARPNESS:
                crowd = np.add.reduceat(np.exp(near * np.float32(sharpness)), self._starts, axis=1)
                parts.append(np.log(crowd + np.float32(_ABSENT)))
            found[start : start + _AT_ONCE] = np.concatenate(parts, axis=1)
        return found.astype(np.float16).astype(np.float32)


def quantised(directions: Rows) -> NDArray[np.int8]:
    """Return directions as the nearest small whole numbers."""
    return np.clip(np.rint(directions * UNIT), -127, 127).astype(np.int8)


def arrays_of(
    directions: Rows, truth: NDArray[np.int64], categories: int
) -> tuple[dict[str, NDArray[Any]], NDArray[np.int64]]:
    """Return the arrays that remember (n, d) directions and their (n,) categories, and each one's place in them."""
    order = np.argsort(truth, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    starts = np.searchsorted(truth[order], np.arange(categories)).astype(np.int32)
    return {"points": quantised(directions[order]), "starts": starts}, place

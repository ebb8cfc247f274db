"""Linear scores: one number a category from a long vector, for the forest to weigh.

Inputs are standardised and clipped, so that a picture unlike any other cannot shout.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from returnsd.errors import BundleError

CLIP = 5.0
"""How many deviations from its mean an input counts at most."""

Vector = NDArray[np.float32]


class LinearScores:
    """One learnt set of scores."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], name: str) -> None:
        """Take what was learnt.

        :param arrays: under `score_<name>_`: `mean` and `scale` (d,) of the inputs, `weights` (d, categories).
        """
        self._mean, self._scale, self._weights = (
            np.ascontiguousarray(arrays[f"score_{name}_{part}"], np.float32)
            for part in ("mean", "scale", "weights")
        )
        if self._weights.ndim != 2 or not len(self._mean) == len(self._scale) == len(self._weights):
            raise BundleError(f"the bundle's scores {name!r} are damaged: get the bundle again")

    @property
    def inputs(self) -> int:
        """How many values they are made from."""
        return len(self._mean)

    @property
    def size(self) -> int:
        """How many scores there are: one a category."""
        return int(self._weights.shape[1])

    def __call__(self, values: Vector) -> Vector:
        """Return the (categories,) scores of one vector (d,), or (n, categories) of (n, d)."""
        return np.asarray(standardised(values, self._mean, self._scale) @ self._weights, np.float32)


def standardised(values: Vector, mean: Vector, scale: Vector) -> Vector:
    """Return (values - mean) * scale, clipped: what the weights are learnt on and applied to."""
    scaled = values - mean
    scaled *= scale
    return np.clip(scaled, -CLIP, CLIP, out=scaled)

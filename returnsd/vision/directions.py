"""Linear maps from long vectors to short ones, by which pictures are compared.

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

_PARTS = ("mean", "scale", "weights", "gains")


class Linear:
    """One learnt map."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], name: str) -> None:
        """Take what was learnt.

        :param arrays: under `<name>_`: `mean` and `scale` (d,) of the inputs, `weights` (d, outputs) as small whole
            numbers, and `gains` (outputs,), what one of them stands for.
        """
        self._mean, self._scale, weights, gains = (
            np.ascontiguousarray(arrays[f"{name}_{part}"], np.float32) for part in _PARTS
        )
        fits = weights.ndim == 2 and gains.shape == weights.shape[1:]
        if not fits or not self._mean.shape == self._scale.shape == weights.shape[:1]:
            raise BundleError(f"the bundle's map {name!r} is damaged: get the bundle again")
        self._weights = weights * gains

    @property
    def inputs(self) -> int:
        """How many values it is made from."""
        return len(self._mean)

    @property
    def size(self) -> int:
        """How many values come out."""
        return int(self._weights.shape[1])

    def __call__(self, values: Vector) -> Vector:
        """Return the (outputs,) of one vector (d,), or (n, outputs) of (n, d)."""
        return np.asarray(standardised(values, self._mean, self._scale) @ self._weights, np.float32)


def standardised(values: Vector, mean: Vector, scale: Vector) -> Vector:
    """Return (values - mean) * scale, clipped: what the weights are learnt on and applied to."""
    scaled = values - mean
    scaled *= scale
    return np.clip(scaled, -CLIP, CLIP, out=scaled)


def unit(values: Vector) -> Vector:
    """Return each row's direction: the same, of length 1."""
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    return np.asarray(values / np.maximum(length, 1e-6), np.float32)

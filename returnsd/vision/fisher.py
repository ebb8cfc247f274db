"""Fisher vectors: how a picture's local descriptors differ from those of all pictures.

Perronnin, Sanchez, Mensink (2010), improved Fisher kernel: descriptors reduced by PCA, softly assigned to a mixture
of Gaussians with diagonal covariances; means of the first and second order deviations, signed square root, unit
length.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

_FARTHEST = -40.0  # the logarithm of a share, as if it were none


class FisherVector:
    """One learnt mixture, ready to describe pictures."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], prefix: str) -> None:
        """Take what was learnt.

        :param arrays: under `<prefix>_`: `pca_mean` (d,), `pca` (d, p), `place_scale` (5,), and of k Gaussians over
            p + 5 values: `weights` (k,), `means` and `deviations` (k, p + 5).
        """
        get = {name: np.asarray(arrays[f"{prefix}_{name}"], np.float32) for name in _NAMES}
        self._pca = np.ascontiguousarray(get["pca"])
        self._shift = get["pca_mean"] @ self._pca
        self._scale = get["place_scale"]
        self._means, self._inverse = get["means"], 1.0 / get["deviations"]
        self._weights = get["weights"]
        # log density of x under each Gaussian = density @ (x, x^2, 1)
        precision = self._inverse**2
        constant = np.log(self._weights) + np.log(self._inverse).sum(1) - 0.5 * (self._means**2 * precision).sum(1)
        density = np.concatenate([self._means * precision, -0.5 * precision, constant[:, np.newaxis]], axis=1)
        self._density = np.ascontiguousarray(density, np.float32)

    @property
    def size(self) -> int:
        """How many values a vector has."""
        return 2 * self._means.size

    def reduced(self, described: Matrix, placed: Matrix, out: Matrix | None = None) -> Matrix:
        """Return (n, p + 5): descriptors after PCA, with their places and colours."""
        found = np.empty((len(described), self._means.shape[1]), np.float32) if out is None else out
        np.subtract(described @ self._pca, self._shift, out=found[:, : len(self._shift)])
        np.multiply(placed, self._scale, out=found[:, len(self._shift) :])
        return found

    def __call__(self, described: Matrix, placed: Matrix) -> Matrix:
        """Return the (size,) vector of (n, d) descriptors and their (n, 5) places; zeros for none."""
        if not len(described):
            return np.zeros(self.size, np.float32)
        width = self._means.shape[1]
        moments = np.empty((len(described), 2 * width + 1), np.float32)
        x = self.reduced(described, placed, out=moments[:, :width])
        np.multiply(x, x, out=moments[:, width : 2 * width])
        moments[:, -1] = 1.0
        shares = self._density @ moments.T  # a Gaussian a row: what is done by square then goes along memory
        shares -= shares.max(axis=0)
        # beyond lie denormal numbers, with which some processors calculate thirty times as long
        np.exp(np.maximum(shares, _FARTHEST, out=shares), out=shares)
        shares *= 1.0 / (shares.sum(axis=0) * np.float32(len(x)))
        sums = shares @ moments
        s1, s2, s0 = sums[:, :width], sums[:, width:-1], sums[:, -1:]
        root = np.sqrt(self._weights)[:, np.newaxis]
        first = (s1 - s0 * self._means) * self._inverse / root
        second = (s2 - 2 * s1 * self._means + s0 * self._means**2) * self._inverse**2 - s0
        second /= np.float32(np.sqrt(2)) * root
        vector = np.concatenate([first.ravel(), second.ravel()])
        vector = np.sign(vector) * np.sqrt(np.abs(vector))
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)


_NAMES = ("pca_mean", "pca", "place_scale", "weights", "means", "deviations")

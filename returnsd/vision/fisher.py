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
        # log density of x under each Gaussian = x^2 @ quadratic + x @ linear + constant
        precision = self._inverse**2
        self._quadratic = np.ascontiguousarray(-0.5 * precision.T)
        self._linear = np.ascontiguousarray((self._means * precision).T)
        self._constant = (
            np.log(self._weights) + np.log(self._inverse).sum(1) - 0.5 * (self._means**2 * precision).sum(1)
        )

    @property
    def size(self) -> int:
        """How many values a vector has."""
        return 2 * self._means.size

    def reduced(self, described: Matrix, placed: Matrix) -> Matrix:
        """Return (n, p + 5): descriptors after PCA, with their places and colours."""
        return np.concatenate([described @ self._pca - self._shift, placed * self._scale], axis=1)

    def __call__(self, described: Matrix, placed: Matrix) -> Matrix:
        """Return the (size,) vector of (n, d) descriptors and their (n, 5) places; zeros for none."""
        if not len(described):
            return np.zeros(self.size, np.float32)
        x = self.reduced(described, placed)
        squares = x * x
        shares = squares @ self._quadratic
        shares += x @ self._linear
        shares += self._constant
        shares -= shares.max(axis=1, keepdims=True)
        np.exp(shares, out=shares)
        shares /= shares.sum(axis=1, keepdims=True)
        count = np.float32(len(x))
        s0 = shares.sum(axis=0)[:, np.newaxis] / count
        s1 = shares.T @ x / count
        s2 = shares.T @ squares / count
        root = np.sqrt(self._weights)[:, np.newaxis]
        first = (s1 - s0 * self._means) * self._inverse / root
        second = (s2 - 2 * s1 * self._means + s0 * self._means**2) * self._inverse**2 - s0
        second /= np.float32(np.sqrt(2)) * root
        vector = np.concatenate([first.ravel(), second.ravel()])
        vector = np.sign(vector) * np.sqrt(np.abs(vector))
        return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)


_NAMES = ("pca_mean", "pca", "place_scale", "weights", "means", "deviations")

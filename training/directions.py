"""By what pictures are compared: of each block of values, those directions in which pictures differ most.

Principal components, in which what differs much counts for less than its share (halfway to whitening: each is
divided by the square root of its deviation), because what is common among pictures tells little of what is in them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.extmath import randomized_svd

from returnsd.vision.directions import standardised
from training.learn import SIZES

_FLAT = 1e-4  # an input that differs less says nothing
_NOTHING = 1e-6
_PICTURES_EACH = 6  # among fewer pictures for each direction, all are equally far from each other

Matrix = NDArray[np.float32]


def directions(name: str, rows: Matrix, count: int, share: float, seed: int) -> dict[str, NDArray[Any]]:
    """Return the map of a block's (n, d) rows to at most `count` values: what vision.directions.Linear wants.

    Fisher vectors have a length already and are compared as they are; other inputs are put on one scale first.

    :param share: of the block in the squared length of all blocks together, on average.
    """
    mean = rows.mean(axis=0)
    scale = np.ones_like(mean) if name in SIZES else 1.0 / np.maximum(rows.std(axis=0), _FLAT)
    x = standardised(rows, mean, scale)
    count = min(count, max(1, len(x) // _PICTURES_EACH), x.shape[1])
    _, _, components = randomized_svd(x, count, n_iter=3, random_state=seed)
    values = x @ components.T
    gains = 1.0 / np.sqrt(np.maximum(values.std(axis=0), _NOTHING))
    length = float(np.square(values * gains).sum(axis=1).mean())
    weights = components.T * gains * np.sqrt(share / max(length, _NOTHING))
    return as_map(f"near_{name}", mean, scale, weights)


def as_map(name: str, mean: Matrix, scale: Matrix, weights: Matrix) -> dict[str, NDArray[Any]]:
    """Return the arrays of a linear map for a bundle, as small as they may be."""
    gains = np.maximum(np.abs(weights).max(axis=0), _NOTHING) / 127.0
    whole = np.rint(weights / gains).astype(np.int8)
    return {
        f"{name}_mean": mean,
        f"{name}_scale": scale,
        f"{name}_weights": whole,
        f"{name}_gains": gains.astype(np.float32),
    }

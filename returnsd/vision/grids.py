"""What is where: long vectors of coarse grids over the picture, made to be compared as a whole.

Histograms of oriented gradients (Dalal, Triggs, 2005) at three cell sizes, palette histograms by region, and a
small picture.
"""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from returnsd.vision.features import DIRECTIONS, SIDE, Views

_REGIONS = 3
_SMALL = 12
_FINEST = 12


def grids(views: Views, colour_of_pixel: NDArray[np.uint8], colours: int) -> NDArray[np.float32]:
    """Return the (n,) vector of one picture; `colour_of_pixel` (100, 100) is each pixel's palette colour."""
    twelve = _sums(views.maps)
    six = _joined(twelve)
    small = cv2.resize(views.lab, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    mask = cv2.resize(views.mask, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return np.concatenate(
        [
            _oriented(six),
            _oriented(_joined(six)),
            _oriented(twelve[:, :, : DIRECTIONS // 2] + twelve[:, :, DIRECTIONS // 2 :]),  # without sign
            _by_region(colour_of_pixel, colours),
            small.ravel(),
            mask.ravel(),
        ],
        dtype=np.float32,
    )


def _sums(maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (12, 12, DIRECTIONS): the mean of each direction's map in each cell of the finest grid."""
    share = _area_weights(_FINEST)
    rows = (share @ maps.reshape(SIDE, -1)).reshape(_FINEST, SIDE, DIRECTIONS)
    return np.asarray(np.matmul(share, rows), np.float32)


def _joined(sums: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the means of 2x2 cells."""
    rows = sums[0::2] + sums[1::2]
    return (rows[:, 0::2] + rows[:, 1::2]) * np.float32(0.25)


def _oriented(sums: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return square roots of shares of (cells, cells, directions), each with its 3x3 neighbours' energy."""
    energy = cv2.boxFilter(sums.sum(axis=2), cv2.CV_32F, (3, 3), normalize=True, borderType=cv2.BORDER_REPLICATE)
    shares = sums / (np.asarray(energy)[:, :, np.newaxis] + 2.0)
    root: NDArray[np.float32] = np.sqrt(shares).ravel()
    return root


def _by_region(colour_of_pixel: NDArray[np.uint8], colours: int) -> NDArray[np.float32]:
    """Return square roots of the palette's shares in 3x3 regions."""
    region = _region_offsets(colours)
    counts = np.bincount((colour_of_pixel + region).ravel(), minlength=_REGIONS**2 * colours)
    shares: NDArray[np.float32] = np.sqrt(counts / np.float32(SIDE**2 / _REGIONS**2)).astype(np.float32)
    return shares


@cache
def _area_weights(cells: int) -> NDArray[np.float32]:
    """Return (cells, 100): the share of each pixel in each cell along one axis, rows summing to 1."""
    edges = np.linspace(0, SIDE, cells + 1)
    pixel = np.arange(SIDE)
    overlap = np.minimum(edges[1:, np.newaxis], pixel + 1) - np.maximum(edges[:-1, np.newaxis], pixel)
    weights: NDArray[np.float32] = (np.maximum(overlap, 0) * cells / SIDE).astype(np.float32)
    return weights


@cache
def _region_offsets(colours: int) -> NDArray[np.int32]:
    band = np.minimum(np.arange(SIDE) * _REGIONS // SIDE, _REGIONS - 1).astype(np.int32)
    offsets: NDArray[np.int32] = (band[:, np.newaxis] * _REGIONS + band[np.newaxis]) * colours
    return offsets

"""Local descriptors: what small squares all over the picture look like, at several sizes.

Gradient descriptors after Lowe (2004), dense and without rotation: 4x4 cells of 8 directions. Colour descriptors
after Clinchant et al. (2007): 4x4 cells of the mean and deviation of Lab. Cells are sums over an integral picture,
so that a size costs the same whatever it is.
"""

import math
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from returnsd.vision.features import SIDE, Views

STEP = 4
DIRECTIONS = 8
_CELLS = 4
_FLAT = 20.0  # summed gradient magnitude below which a square shows nothing
_CLIP = 0.2

Matrix = NDArray[np.float32]


def gradients(views: Views, sizes: tuple[int, ...]) -> tuple[Matrix, Matrix]:
    """Return (n, 128) descriptors of the squares that are not flat, and (n, 5) where they lie and their mean Lab.

    :param sizes: of one cell in pixels; a square has 4x4 cells.
    """
    integral = _integral(_direction_maps(views))
    lab = cv2.integral(views.lab)
    described, placed = [], []
    for size in sizes:
        cells = _cell_sums(integral, size)
        norm = np.sqrt(np.einsum("nd,nd->n", cells, cells))
        kept = norm > _FLAT * size
        unit = cells[kept] / norm[kept, np.newaxis]
        np.clip(unit, 0.0, _CLIP, out=unit)
        unit /= np.maximum(unit.sum(axis=1, keepdims=True), 1e-6)
        described.append(np.sqrt(unit, out=unit))  # square roots of shares: Hellinger's distance
        placed.append(_places(lab, size)[kept])
    return np.concatenate(described), np.concatenate(placed)


def colours(views: Views, sizes: tuple[int, ...]) -> tuple[Matrix, Matrix]:
    """Return (n, 96) descriptors, mean and deviation of Lab in 4x4 cells, and (n, 5) as `gradients` does."""
    lab = views.lab.astype(np.float32) / 255.0
    maps = np.concatenate([lab, lab * lab], axis=2).transpose(2, 0, 1)
    integral = _integral(maps)
    whole = cv2.integral(views.lab)
    described, placed = [], []
    for size in sizes:
        sums = _cell_sums(integral, size).reshape(-1, _CELLS * _CELLS, 6) / (size * size)
        mean = sums[:, :, :3]
        deviation = np.sqrt(np.maximum(sums[:, :, 3:] - mean * mean, 0.0))
        cells = np.concatenate([mean, deviation], axis=2).reshape(len(sums), -1)
        busy = deviation.sum(axis=(1, 2)) > 0.3
        described.append(cells[busy])
        placed.append(_places(whole, size)[busy])
    return np.concatenate(described), np.concatenate(placed)


def _direction_maps(views: Views) -> Matrix:
    """Return (8, 100, 100): each pixel's gradient magnitude shared between the two nearest directions."""
    position = views.direction.ravel() * (DIRECTIONS / (2 * math.pi))
    lower = position.astype(np.int32)
    share = position - lower
    magnitude = views.magnitude.ravel()
    pixel = _pixels()
    maps = np.zeros(DIRECTIONS * SIDE * SIDE, np.float32)
    maps[(lower % DIRECTIONS) * (SIDE * SIDE) + pixel] = magnitude * (1 - share)
    maps[((lower + 1) % DIRECTIONS) * (SIDE * SIDE) + pixel] = magnitude * share
    return maps.reshape(DIRECTIONS, SIDE, SIDE)


@cache
def _pixels() -> NDArray[np.int32]:
    return np.arange(SIDE * SIDE, dtype=np.int32)


def _integral(maps: Matrix) -> NDArray[np.float64]:
    """Return (101, 101, channels) sums of all above and left."""
    sums = np.zeros((SIDE + 1, SIDE + 1, len(maps)))
    for channel, one in enumerate(maps):
        sums[:, :, channel] = cv2.integral(one, sdepth=cv2.CV_64F)
    return sums


@cache
def _edges(size: int) -> NDArray[np.intp]:
    """Return (squares, 5): where the cells of each square along one axis begin and end."""
    first = np.arange(0, SIDE - _CELLS * size + 1, STEP)
    return first[:, np.newaxis] + size * np.arange(_CELLS + 1)


def _cell_sums(integral: NDArray[np.float64], size: int) -> Matrix:
    """Return (squares, 4 * 4 * channels) sums of the cells of every square."""
    edges = _edges(size)
    count, channels = len(edges), integral.shape[2]
    rows = integral[edges]  # (squares, 5, 101, channels)
    bands = rows[:, 1:] - rows[:, :-1]
    corners = bands[:, :, edges]  # (squares, 4, squares, 5, channels)
    cells = corners[:, :, :, 1:] - corners[:, :, :, :-1]
    return cells.transpose(0, 2, 1, 3, 4).astype(np.float32).reshape(count * count, -1)


def _places(lab: NDArray[np.int32], size: int) -> Matrix:
    """Return (squares, 5): the middle of each square, -0.5 to 0.5, and its mean Lab, 0 to 1."""
    edges = _edges(size)
    first, last = edges[:, 0], edges[:, -1]
    sums = lab[last][:, last] - lab[first][:, last] - lab[last][:, first] + lab[first][:, first]
    mean = sums.reshape(-1, 3) / np.float32(255 * (_CELLS * size) ** 2)
    middle = (first + last) / (2 * SIDE) - 0.5
    y, x = np.meshgrid(middle, middle, indexing="ij")
    return np.column_stack([x.ravel(), y.ravel(), mean]).astype(np.float32)

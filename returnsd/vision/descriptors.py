"""Local descriptors: what small squares all over the picture look like, at several sizes.

Gradient descriptors after Lowe (2004), dense and without rotation: 4x4 cells of 8 directions. Colour descriptors
after Clinchant et al. (2007): 4x4 cells of the mean and deviation of Lab. Cells are box-filtered, so that
a size costs the same whatever it is.
"""

import math
from functools import cache
from typing import Any

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
    maps, sums = direction_maps(views), _sums(views.lab)
    described, placed = [], []
    for size in sizes:
        cells = _cells(maps, size)
        norm = np.sqrt(np.einsum("nd,nd->n", cells, cells))
        kept = np.flatnonzero(norm > _FLAT * size)
        unit = cells[kept]
        unit *= (1.0 / norm[kept])[:, np.newaxis]
        np.clip(unit, 0.0, _CLIP, out=unit)
        unit *= (1.0 / np.maximum(unit.sum(axis=1), 1e-6))[:, np.newaxis]
        described.append(np.sqrt(unit, out=unit))  # square roots of shares: Hellinger's distance
        placed.append(_places(sums, size)[kept])
    return np.concatenate(described), np.concatenate(placed)


def colours(views: Views, sizes: tuple[int, ...]) -> tuple[Matrix, Matrix]:
    """Return (n, 96) descriptors, mean and deviation of Lab in 4x4 cells, and (n, 5) as `gradients` does."""
    lab = views.lab.astype(np.float32) / 255.0
    maps, sums = np.concatenate([lab, lab * lab], axis=2), _sums(views.lab)
    described, placed = [], []
    for size in sizes:
        statistics = _statistics(maps, size)
        taken = np.take(statistics, _corners(size), axis=0)
        busy = np.flatnonzero(taken[:, :, 3:].sum(axis=(1, 2)) > 0.3)
        described.append(taken[busy].reshape(len(busy), _CELLS * _CELLS * 6))
        placed.append(_places(sums, size)[busy])
    return np.concatenate(described), np.concatenate(placed)


def _statistics(maps: Matrix, size: int) -> Matrix:
    """Return (pixels, 6): mean and deviation of Lab in the cell that begins at each pixel where cells begin."""
    sums: Matrix = np.asarray(cv2.boxFilter(maps, cv2.CV_32F, (size, size), anchor=(0, 0)), np.float32)
    step = math.gcd(STEP, size)
    found = np.zeros((SIDE, SIDE, 6), np.float32) if step > 1 else sums
    mean, squares = sums[::step, ::step, :3], sums[::step, ::step, 3:]
    deviation = np.sqrt(np.maximum(squares - mean * mean, 0.0))
    found[::step, ::step, :3] = mean
    found[::step, ::step, 3:] = deviation
    return np.asarray(found.reshape(SIDE * SIDE, 6), np.float32)


def direction_maps(views: Views) -> Matrix:
    """Return (100, 100, 8): each pixel's gradient magnitude shared between the two nearest directions."""
    position = views.direction.ravel() * (DIRECTIONS / (2 * math.pi))
    lower = position.astype(np.int32)
    share = position - lower
    magnitude = views.magnitude.ravel()
    pixel = _pixels()
    maps = np.zeros(SIDE * SIDE * DIRECTIONS, np.float32)
    maps[pixel + lower % DIRECTIONS] = magnitude * (1 - share)
    maps[pixel + (lower + 1) % DIRECTIONS] = magnitude * share
    return maps.reshape(SIDE, SIDE, DIRECTIONS)


@cache
def _pixels() -> NDArray[np.int32]:
    return np.arange(0, SIDE * SIDE * DIRECTIONS, DIRECTIONS, dtype=np.int32)


@cache
def _corners(size: int) -> NDArray[np.intp]:
    """Return (squares, 16): the pixel where each cell of each square begins."""
    first = np.arange(0, SIDE - _CELLS * size + 1, STEP)
    axis = first[:, np.newaxis] + size * np.arange(_CELLS)
    return (axis[:, np.newaxis, :, np.newaxis] * SIDE + axis[np.newaxis, :, np.newaxis, :]).reshape(-1, 16)


def _cells(maps: NDArray[Any], size: int) -> Matrix:
    """Return (squares, 4 * 4 * channels) sums of the cells of every square."""
    sums = cv2.boxFilter(maps, cv2.CV_32F, (size, size), anchor=(0, 0), normalize=False)
    taken: Matrix = np.take(sums.reshape(SIDE * SIDE, -1), _corners(size), axis=0)
    return taken.reshape(len(taken), -1)


def _places(sums: NDArray[Any], size: int) -> Matrix:
    """Return (squares, 5): the middle of each square, -0.5 to 0.5, and its mean Lab, 0 to 1.

    :param sums: the picture's integral image (Crow, 1984): (101 * 101, 3) sums of Lab above and left of a pixel.
    """
    middles, corners = _squares(size)
    top_left, top_right, bottom_left, bottom_right = corners
    side = _CELLS * size
    places = np.empty((len(middles), 5), np.float32)
    places[:, :2] = middles
    inside = sums[bottom_right] - sums[top_right] - sums[bottom_left] + sums[top_left]
    np.multiply(inside, np.float32(1 / (255 * side * side)), out=places[:, 2:])
    return places


def _sums(lab: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(cv2.integral(lab)).reshape((SIDE + 1) ** 2, 3)


@cache
def _squares(size: int) -> tuple[Matrix, list[NDArray[np.intp]]]:
    """Return the middle of each square (squares, 2), and where its four corners lie in an integral image."""
    side = _CELLS * size
    first = _corners(size)[:, 0]
    x, y = first % SIDE, first // SIDE
    middles = np.stack([(x + side / 2) / SIDE - 0.5, (y + side / 2) / SIDE - 0.5], axis=1).astype(np.float32)
    width = SIDE + 1
    return middles, [(y + down) * width + x + right for down in (0, side) for right in (0, side)]

"""Local descriptors: what small squares all over the picture look like, at several sizes.

Gradient descriptors after Lowe (2004), dense and without rotation: 4x4 cells of 8 directions. Colour descriptors
after Clinchant et al. (2007): 4x4 cells of the mean and deviation of Lab. All sizes are made from the same sums of
2x2 pixels, and only where cells begin.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from returnsd.vision.features import SIDE, Views

STEP = 4
_CELLS = 4
_GRID = 2  # pixels between the places where sums of cells are known; sizes and the step are its multiples
_FLAT = 20.0  # summed gradient magnitude, for each pixel of a cell's side, below which a square shows nothing
_BUSY = 0.3  # summed deviation of Lab in all cells below which a square shows nothing
_CLIP = 0.2

Matrix = NDArray[np.float32]


def fits(size: int) -> bool:
    """Say whether cells may be of that size, in pixels."""
    return size % _GRID == 0 and 0 < _CELLS * size <= SIDE


def gradients(views: Views, sizes: tuple[int, ...]) -> tuple[Matrix, Matrix]:
    """Return (n, 128) descriptors of the squares that are not flat, and (n, 5) where they lie and their mean Lab.

    :param sizes: of one cell in pixels, even; a square has 4x4 cells.
    """
    halved = _halved(views.maps)
    cells = _taken([_sums(halved, size) for size in sizes], sizes)
    norm = np.sqrt(np.einsum("nd,nd->n", cells, cells))
    kept = np.flatnonzero(norm > _flat(sizes))
    unit = cells[kept]
    unit *= (1.0 / norm[kept])[:, np.newaxis]
    np.minimum(unit, np.float32(_CLIP), out=unit)
    unit *= (1.0 / np.maximum(unit.sum(axis=1), 1e-6))[:, np.newaxis]
    return np.sqrt(unit, out=unit), _places(views, sizes)[kept]  # roots of shares: Hellinger's distance


def colours(views: Views, sizes: tuple[int, ...]) -> tuple[Matrix, Matrix]:
    """Return (n, 96) descriptors, mean and deviation of Lab in 4x4 cells, and (n, 5) as `gradients` does."""
    lab = views.lab.astype(np.float32)
    lab *= np.float32(1 / 255)
    halved, squared = _halved(lab), _halved(lab * lab)
    cells = _taken([_statistics(halved, squared, size) for size in sizes], sizes)
    kept = np.flatnonzero(cells @ _DEVIATIONS > _BUSY)
    return cells[kept], _places(views, sizes)[kept]


_DEVIATIONS = np.tile(np.repeat(np.array([0, 1], np.float32), 3), _CELLS**2)


def _halved(maps: NDArray[Any]) -> Matrix:
    """Return (50, 50, channels) sums of 2x2 pixels."""
    rows = maps[0::2] + maps[1::2]
    return np.asarray(rows[:, 0::2] + rows[:, 1::2], np.float32)


def _sums(halved: Matrix, size: int) -> Matrix:
    """Return (places, places, channels): the sum of the cell that begins at each second pixel."""
    count = size // _GRID
    rows = halved[: len(halved) - count + 1].copy()
    for shift in range(1, count):
        rows += halved[shift : len(rows) + shift]
    sums = rows[:, : len(rows)].copy()
    for shift in range(1, count):
        sums += rows[:, shift : sums.shape[1] + shift]
    return sums


def _statistics(halved: Matrix, squared: Matrix, size: int) -> Matrix:
    """Return (places, places, 6): mean and deviation of Lab in the cell that begins at each second pixel."""
    share = np.float32(1 / size**2)
    mean, variance = _sums(halved, size) * share, _sums(squared, size) * share
    variance -= mean * mean
    deviation = np.sqrt(np.maximum(variance, 0.0, out=variance), out=variance)
    return np.concatenate([mean, deviation], axis=2)


def _taken(grids: Sequence[Matrix], sizes: tuple[int, ...]) -> Matrix:
    """Return (squares, 16 * channels): the cells of every square of every size, from the values of all cells."""
    channels = grids[0].shape[2]
    first = _first(sizes)
    found = np.empty((first[-1], _CELLS**2, channels), np.float32)
    for number, (values, size) in enumerate(zip(grids, sizes, strict=True)):
        part = found[first[number] : first[number + 1]]
        np.take(values.reshape(-1, channels), _corners(size), axis=0, out=part, mode="clip")
    return found.reshape(len(found), -1)


def _places(views: Views, sizes: tuple[int, ...]) -> Matrix:
    """Return (squares, 5): the middle of each square, -0.5 to 0.5, and its mean Lab, 0 to 1."""
    first = _first(sizes)
    places = np.empty((first[-1], 5), np.float32)
    sums = np.asarray(cv2.integral(views.lab))  # (101, 101, 3) sums of all above and left (Crow, 1984)
    for number, size in enumerate(sizes):
        part = places[first[number] : first[number + 1]]
        part[:, :2] = _middles(size)
        side = _CELLS * size
        top, bottom = sums[: SIDE + 1 - side : STEP], sums[side::STEP]
        right, left = slice(side, None, STEP), slice(0, SIDE + 1 - side, STEP)
        inside = bottom[:, right] - top[:, right] - bottom[:, left] + top[:, left]
        np.multiply(inside.reshape(-1, 3), np.float32(1 / (255 * side * side)), out=part[:, 2:])
    return places


@cache
def _first(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return where the squares of each size begin, and where the last ones end."""
    counts = [((SIDE - _CELLS * size) // STEP + 1) ** 2 for size in sizes]
    return tuple(int(number) for number in np.cumsum([0, *counts]))


@cache
def _flat(sizes: tuple[int, ...]) -> Matrix:
    """Return for each square of each size the norm up to which it is flat."""
    return np.repeat(np.array(sizes, np.float32) * np.float32(_FLAT), np.diff(_first(sizes)))


@cache
def _corners(size: int) -> NDArray[np.intp]:
    """Return (squares, 16): the place where each cell of each square begins."""
    first = np.arange(0, SIDE - _CELLS * size + 1, STEP) // _GRID
    axis = first[:, np.newaxis] + size // _GRID * np.arange(_CELLS)
    width = SIDE // _GRID - size // _GRID + 1
    return (axis[:, np.newaxis, :, np.newaxis] * width + axis[np.newaxis, :, np.newaxis, :]).reshape(-1, 16)


@cache
def _middles(size: int) -> Matrix:
    """Return (squares, 2): the middle of each square, across and down."""
    middle = (np.arange(0, SIDE - _CELLS * size + 1, STEP) + _CELLS * size / 2) / SIDE - 0.5
    down, across = np.meshgrid(middle, middle, indexing="ij")
    return np.stack([across.ravel(), down.ravel()], axis=1).astype(np.float32)

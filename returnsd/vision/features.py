"""The basic features: hand-made measures of colour, texture and shape on a 100x100 canvas.

Each is computed from views of the picture that are made once and shared. Deterministic to the bit on one machine.
The colour palette is learnt and comes with the bundle.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from returnsd.errors import BundleError

SIDE = 100
DIRECTIONS = 8
TURNS = 384
_GRID = 5
_WHITE = 240
_STRONG_EDGE = 200.0
_MOST = 65_000.0  # float16 ends at 65,504

Image = NDArray[Any]
"""Of uint8; its type is as loose as OpenCV's own."""

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Views:
    """The conversions of one canvas that several families look at, each (100, 100).

    `cells` is each pixel's cell of the 16x16x16 cube of B, G, R; `mask` is 255 where the foreground is; `turn` says
    where each pixel's gradient points to, in TURNS of a circle; `maps` (100, 100, DIRECTIONS) is its magnitude
    shared between the two nearest directions.
    """

    cells: Image
    lab: Image
    hue: Image
    saturation: Image
    value: Image
    grey: Image
    magnitude: NDArray[Any]
    turn: NDArray[np.intp]
    maps: Vector
    mask: Image

    @classmethod
    def of(cls, canvas: Image) -> "Views":
        """Convert a (100, 100, 3) BGR canvas once."""
        hue, saturation, value = cv2.split(cv2.cvtColor(canvas, cv2.COLOR_BGR2HSV))
        grey = cv2.cvtColor(canvas, cv2.COLOR_BGR2GRAY)
        gx = cv2.Sobel(grey, cv2.CV_32F, 1, 0)
        gy = cv2.Sobel(grey, cv2.CV_32F, 0, 1)
        magnitude, direction = cv2.cartToPolar(gx, gy)
        blue, green, red = (np.asarray(channel, np.uint8) for channel in cv2.split(canvas))
        darkest = cv2.min(cv2.min(blue, green), red)
        mask = cv2.threshold(darkest, _WHITE - 1, 255, cv2.THRESH_BINARY_INV)[1]
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _KERNEL)
        lab = cv2.cvtColor(canvas, cv2.COLOR_BGR2LAB)
        cells = ((blue >> 4).astype(np.uint16) << 8) | (green & 0xF0) | (red >> 4)
        turn = (direction * np.float32(TURNS / (2 * math.pi))).astype(np.intp)
        np.minimum(turn, TURNS - 1, out=turn)  # 2 pi itself, by rounding
        maps = np.take(_shares(), turn, axis=0, mode="clip")  # "clip" only because it is faster
        maps *= magnitude[:, :, np.newaxis]
        return cls(cells, lab, hue, saturation, value, grey, magnitude, turn, maps, mask)


@cache
def _shares() -> Vector:
    """Return (TURNS, DIRECTIONS): what each direction gets of a gradient that points to the middle of a turn."""
    position = (np.arange(TURNS) + 0.5) * DIRECTIONS / TURNS
    away = np.abs(position[:, np.newaxis] - np.arange(DIRECTIONS))
    shares = np.maximum(0.0, 1.0 - np.minimum(away, DIRECTIONS - away))
    return np.asarray(shares, np.float32)


class Basic:
    """The basic features under a palette of colours."""

    def __init__(self, palette: NDArray[np.uint8], colours: int) -> None:
        """Take the palette: (16, 16, 16) the colour, below `colours`, of each cell of B, G, R."""
        self._palette = np.ascontiguousarray(palette, np.uint8).ravel()
        self.colours = colours
        if self._palette.size != 4096 or int(self._palette.max()) >= colours:
            raise BundleError("the bundle's palette is damaged: get the bundle again")
        self.families, self.names = _layout(colours)

    def __call__(self, views: Views, colour_of_pixel: Image) -> Vector:
        """Return the (n,) float32 features, named by `names`; see colour_of_pixel for the second."""
        parts = [
            *self._colour(views, colour_of_pixel),
            thumbnail(views),
            cv2.resize(views.magnitude, (_GRID, _GRID), interpolation=cv2.INTER_AREA).ravel() / 255.0,
            directions(views),
            local_binary_patterns(views.grey),
            shape(views.mask),
            whole(views),
        ]
        return np.concatenate(parts, dtype=np.float32)

    def colour_of_pixel(self, views: Views) -> Image:
        """Return (100, 100): each pixel's colour of the palette."""
        return np.take(self._palette, views.cells)

    def _colour(self, views: Views, colour_of_pixel: Image) -> list[NDArray[Any]]:
        """Palette, hue, saturation and value histograms, square roots of shares; and the palette's entropy."""
        colours = self.colours
        counts = cv2.calcHist([colour_of_pixel], [0], views.mask, [colours], [0, colours]).ravel()
        share = counts / max(1.0, float(counts.sum()))
        entropy = -float((share * np.log2(np.maximum(share, 1e-9))).sum())
        coloured = cv2.calcHist([views.hue, views.saturation], [0, 1], None, [12, 16], [0, 180, 0, 256])
        hue = coloured @ _SATURATION_OF_BIN
        pixels = np.float32(SIDE**2)
        return [
            np.sqrt(share),
            np.sqrt(hue / max(1.0, float(hue.sum()))),
            np.sqrt(cv2.calcHist([views.saturation], [0], None, [8], [0, 256]).ravel() / pixels),
            np.sqrt(cv2.calcHist([views.value], [0], None, [8], [0, 256]).ravel() / pixels),
            np.array([entropy]),
        ]


_KERNEL = np.ones((3, 3), np.uint8)
_SATURATION_OF_BIN = np.arange(8, 256, 16, dtype=np.float32)


def canvas(image: Image) -> Image:
    """Return the picture on a white (100, 100, 3) canvas: whole, centred, never enlarged, its shape kept."""
    height, width = image.shape[:2]
    if (height, width) == (SIDE, SIDE):
        return image
    scale = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
    left, top = (SIDE - size[0]) // 2, (SIDE - size[1]) // 2
    on_white = np.full((SIDE, SIDE, 3), 255, np.uint8)
    on_white[top : top + size[1], left : left + size[0]] = small
    return on_white


def thumbnail(views: Views) -> NDArray[np.float32]:
    """Return the mean Lab colour in a 5x5 grid."""
    small = cv2.resize(views.lab, (_GRID, _GRID), interpolation=cv2.INTER_AREA)
    return small.astype(np.float32).ravel() / 255.0


def directions(views: Views) -> NDArray[np.float64]:
    """Return the magnitude-weighted shares of 12 gradient directions."""
    weights = np.bincount(views.turn.ravel(), views.magnitude.ravel(), minlength=TURNS)
    weights = weights.reshape(12, -1).sum(axis=1)
    shares: NDArray[np.float64] = weights / max(1.0, float(weights.sum()))
    return shares


def _uniform_codes() -> NDArray[np.intp]:
    """Return the bin of each of 256 codes: 58 with at most two changes around the circle, one for the rest."""
    bins = np.full(256, 58, np.intp)
    uniform = [c for c in range(256) if (c ^ ((c >> 1) | ((c & 1) << 7))).bit_count() <= 2]
    bins[uniform] = np.arange(58)
    return bins


_UNIFORM = _uniform_codes()
_NEIGHBOURS = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))


def local_binary_patterns(grey: Image) -> NDArray[np.float64]:
    """Return the shares of 59 uniform local binary patterns (Ojala, Pietikainen, Maenpaa, 2002), radius 1."""
    centre = np.ascontiguousarray(grey[1:-1, 1:-1])
    height, width = centre.shape
    code = np.zeros(centre.shape, np.uint8)
    for bit, (row, column) in enumerate(_NEIGHBOURS):
        above = cv2.compare(grey[row : row + height, column : column + width], centre, cv2.CMP_GE)
        code |= np.asarray(above, np.uint8) & (1 << bit)
    codes = cv2.calcHist([code], [0], None, [256], [0, 256]).ravel()
    counts = np.bincount(_UNIFORM, codes, minlength=59)
    shares: NDArray[np.float64] = counts / counts.sum()
    return shares


def shape(mask: Image) -> NDArray[np.float64]:
    """Return 42 measures of the foreground: size, place, moments, outline, borders and profiles."""
    area = cv2.countNonZero(mask)
    moments = cv2.moments(mask, binaryImage=True)
    hu = [
        ((value < 0) - (value > 0)) * math.log10(abs(value) + 1e-12)
        for value in cv2.HuMoments(moments).ravel().tolist()
    ]
    centre = (moments["m10"] / area, moments["m01"] / area) if area else (SIDE / 2, SIDE / 2)
    left, top, width, height = cv2.boundingRect(mask)
    rows, columns = (_profile(mask, axis) for axis in (1, 0))
    tenths = [cv2.reduce(of.reshape(10, 10), 1, cv2.REDUCE_AVG).ravel().tolist() for of in (rows, columns)]
    return np.array(
        [
            area / SIDE**2, width / SIDE, height / SIDE, width / max(1, height),
            centre[0] / SIDE, centre[1] / SIDE, left / SIDE, top / SIDE, *hu, *outline(mask),
            1 - rows[0], 1 - rows[-1], 1 - columns[0], 1 - columns[-1],
            *tenths[0], *tenths[1],
        ]
    )  # fmt: skip


def _profile(mask: Image, axis: int) -> Vector:
    """Return the (100,) shares of foreground along an axis."""
    return np.asarray(cv2.reduce(mask, axis, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel() / 255.0, np.float32)


def outline(mask: Image) -> tuple[float, float, float, float, float]:
    """Return area, perimeter, circularity and solidity of the largest part, and how many parts there are."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return (0.0, 0.0, 0.0, 0.0, 0.0)
    areas = [cv2.contourArea(contour) for contour in contours]
    largest = max(range(len(areas)), key=areas.__getitem__)
    area, perimeter = areas[largest], cv2.arcLength(contours[largest], True)
    hull = cv2.contourArea(cv2.convexHull(contours[largest]))
    circularity = 4 * math.pi * area / perimeter**2 if perimeter else 0.0
    return (area / SIDE**2, perimeter / (4 * SIDE), circularity, area / hull if hull else 0.0, len(contours) / 10)


def whole(views: Views) -> NDArray[np.float64]:
    """Return 13 measures of the whole picture: colour of the foreground, sharpness, symmetry, white."""
    mean, deviation = cv2.meanStdDev(views.lab, mask=views.mask)
    saturation = cv2.meanStdDev(views.saturation)
    sharpness = cv2.meanStdDev(cv2.Laplacian(views.grey, cv2.CV_32F))[1]
    flat = SIDE**2 * 255.0
    white = cv2.countNonZero(cv2.inRange(views.grey, 254, 255))
    edges = cv2.countNonZero(cv2.inRange(views.magnitude, _STRONG_EDGE, _MOST))
    return np.array(
        [
            *(mean.ravel() / 255), *(deviation.ravel() / 255),
            saturation[0][0, 0] / 255, saturation[1][0, 0] / 255, sharpness[0, 0] / 255,
            cv2.norm(views.grey, cv2.flip(views.grey, 1), cv2.NORM_L1) / flat,
            cv2.norm(views.grey, cv2.flip(views.grey, 0), cv2.NORM_L1) / flat,
            white / SIDE**2, edges / SIDE**2,
        ]
    )  # fmt: skip


def _layout(colours: int) -> tuple[dict[str, slice], tuple[str, ...]]:
    """Return where each family lies in the vector, and every feature's name."""
    sizes = {
        "palette": colours, "hue": 12, "saturation": 8, "value": 8, "entropy": 1, "thumbnail": 75, "edges": 25,
        "directions": 12, "patterns": 59, "shape": 44, "whole": 13,
    }  # fmt: skip
    return lay_out(sizes)


def lay_out(sizes: Mapping[str, int]) -> tuple[dict[str, slice], tuple[str, ...]]:
    """Return where each family of so many values lies in a vector, one after the other, and every value's name."""
    families: dict[str, slice] = {}
    names: list[str] = []
    for family, size in sizes.items():
        families[family] = slice(len(names), len(names) + size)
        names += [f"{family}_{number}" for number in range(size)]
    return families, tuple(names)

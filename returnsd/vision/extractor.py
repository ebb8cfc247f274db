"""One picture in, one vector of numbers out: what the forest sees.

A vector is the basic features, then a direction, made from long blocks of values (grids, Fisher vectors) that a
forest itself could not weigh, by which the model's memory tells what is near. Always finite, and rounded to
float16: thresholds can be stored as float16 without changing a decision. Which blocks there are, the bundle's card
says; what is learnt comes with the bundle.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from returnsd.errors import BundleError
from returnsd.vision import descriptors
from returnsd.vision.directions import Linear, unit
from returnsd.vision.features import SIDE, Basic, Image, Vector, Views, canvas, lay_out
from returnsd.vision.fisher import FisherVector
from returnsd.vision.grids import grids

FEATURE_VERSION = 2
"""Changes with every change that alters any value; a bundle of another version is refused."""

BLOCKS = ("basic", "grids", "gradients", "colours")
"""In the order in which they lie in a row: basic features, coarse grids, and two Fisher vectors."""

_MOST = 65_000.0  # float16 ends at 65,504


class Extractor:
    """Turns pictures into vectors with what a bundle has learnt."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> None:
        """Take what was learnt; BundleError if it does not fit together.

        :param arrays: `palette`, what FisherVector wants of each Fisher vector, and what Linear wants of each
            `near_<block>`.
        :param settings: `version`: FEATURE_VERSION at training; `colours`: of the palette; `blocks`: those
            of BLOCKS in use; `sizes`: the cell sizes of each Fisher vector's squares; `near`: the blocks that
            pictures are compared by.
        """
        if settings.get("version") != FEATURE_VERSION:
            raise BundleError(
                f"the bundle's features are of version {settings.get('version')}, this returnsd makes"
                f" {FEATURE_VERSION}: train it again, or use the returnsd that it was trained with"
            )
        self._basic = Basic(arrays["palette"], int(settings["colours"]))
        wanted = settings.get("blocks", ["basic"])
        self._sizes = {name: tuple(map(int, sizes)) for name, sizes in settings.get("sizes", {}).items()}
        for name, sizes in self._sizes.items():
            if not all(descriptors.fits(size) for size in sizes):
                raise BundleError(f"the bundle's squares of {name} do not fit a picture: get the bundle again")
        self._fisher = {name: FisherVector(arrays, name) for name in ("gradients", "colours") if name in wanted}
        widths = {"basic": len(self._basic.names)}
        if "grids" in wanted:
            views = Views.of(np.zeros((SIDE, SIDE, 3), np.uint8))
            widths["grids"] = len(self._block("grids", views, self._basic.colour_of_pixel(views)))
        widths |= {name: fisher.size for name, fisher in self._fisher.items()}
        self.blocks, _ = lay_out(widths)
        self._near = {name: self._linear(arrays, name) for name in settings.get("near", [])}
        compared = {f"near_{name}": near.size for name, near in self._near.items()}
        families, names = lay_out({"basic": widths["basic"], **compared})
        self.families = self._basic.families | {name: families[name] for name in compared}
        self.names = self._basic.names + names[widths["basic"] :]

    def _linear(self, arrays: Mapping[str, NDArray[Any]], block: str) -> Linear:
        linear = Linear(arrays, f"near_{block}")
        if linear.inputs != len(self.columns([block])):
            raise BundleError(f"the bundle's map 'near_{block}' does not fit {block}: get the bundle again")
        return linear

    @property
    def directions(self) -> int:
        """How many values the direction has, at the end of a vector."""
        return sum(near.size for near in self._near.values())

    @property
    def width(self) -> int:
        """How many values the row of a picture has."""
        return int(max(block.stop for block in self.blocks.values()))

    def columns(self, blocks: Sequence[str]) -> NDArray[np.intp]:
        """Return where the values of these blocks lie in a row."""
        return np.concatenate([np.arange(self.blocks[name].start, self.blocks[name].stop) for name in blocks])

    @classmethod
    def load(cls, directory: Path) -> "Extractor":
        """Read a bundle's feature settings and arrays; BundleError if they cannot be used."""
        try:
            settings = json.loads((directory / "card.json").read_text(encoding="utf-8"))["features"]
            with np.load(directory / "features.npz", allow_pickle=False) as arrays:
                return cls(dict(arrays), settings)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BundleError(f"{directory}: its features cannot be read: {error}") from error

    def __call__(self, image: Image) -> Vector:
        """Return the (n,) float32 features, each a float16 value, of a (height, width, 3) BGR picture."""
        return self.weigh(self.row(image))

    def row(self, image: Image) -> Vector:
        """Return the blocks of a picture, one after the other: what directions are learnt from."""
        views = Views.of(canvas(image))
        colour_of_pixel = self._basic.colour_of_pixel(views)
        blocks = [self._block(name, views, colour_of_pixel) for name in self.blocks]
        row = np.concatenate(blocks, dtype=np.float32)
        return finite(row)

    def weigh(self, row: Vector) -> Vector:
        """Return the features of a row of blocks (n,), or of many (m, n): float16 values."""
        parts = [row[..., self.blocks["basic"]]]
        if self._near:
            found = [near(row[..., self.blocks[name]]) for name, near in self._near.items()]
            parts.append(unit(np.concatenate(found, axis=-1)))
        return rounded(np.concatenate(parts, axis=-1))

    def _block(self, name: str, views: Views, colour_of_pixel: Image) -> Vector:
        if name == "basic":
            return self._basic(views, colour_of_pixel)
        if name == "grids":
            return grids(views, colour_of_pixel, self._basic.colours)
        describe = descriptors.gradients if name == "gradients" else descriptors.colours
        return self._fisher[name](*describe(views, self._sizes[name]))


def finite(values: Vector) -> Vector:
    """Return the values without infinities and what is no number; in place."""
    np.clip(values, -_MOST, _MOST, out=values)
    if np.isnan(values).any():
        values[np.isnan(values)] = 0.0
    return values


def rounded(values: Vector) -> Vector:
    """Return the nearest float16 values, as float32."""
    return finite(values).astype(np.float16).astype(np.float32)

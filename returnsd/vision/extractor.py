"""One picture in, one vector of numbers out: what the forest sees.

A vector is the basic features, then linear scores made from long blocks of values (grids, Fisher vectors) that the
forest itself could not weigh, then a direction by which the model's memory tells what is near. Always finite, and
rounded to float16, so that thresholds can be stored as float16 without changing a decision. Which blocks and scores
there are, the bundle's card says; what is learnt comes with the bundle.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from returnsd.errors import BundleError
from returnsd.vision import descriptors
from returnsd.vision.features import SIDE, Basic, Image, Vector, Views, canvas, lay_out
from returnsd.vision.fisher import FisherVector
from returnsd.vision.grids import grids
from returnsd.vision.scores import Linear, unit

FEATURE_VERSION = 1
"""Changes with every change that alters any value; a bundle of another version is refused."""

BLOCKS = ("basic", "grids", "gradients", "colours")
"""In the order in which they lie in a row: basic features, coarse grids, and two Fisher vectors."""

_MOST = 65_000.0  # float16 ends at 65,504


class Extractor:
    """Turns pictures into vectors with what a bundle has learnt."""

    def __init__(self, arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> None:
        """Take what was learnt; BundleError if it does not fit together.

        :param arrays: `palette`, and what FisherVector and Linear want of each Fisher vector, `score_<name>` and
            `near_<block>`.
        :param settings: `version`: FEATURE_VERSION at training; `colours`: of the palette; `blocks`: those
            of BLOCKS in use; `sizes`: the cell sizes of each Fisher vector's squares; `scores`: for each
            score's name, the blocks that it is made from; `near`: the blocks whose directions are compared, and
            `near_score` the score that is compared with them.
        """
        if settings.get("version") != FEATURE_VERSION:
            raise BundleError(
                f"the bundle's features are of version {settings.get('version')}, this returnsd makes"
                f" {FEATURE_VERSION}: train it again, or use the returnsd that it was trained with"
            )
        self._basic = Basic(arrays["palette"], int(settings["colours"]))
        wanted = settings.get("blocks", ["basic"])
        self._sizes = {name: tuple(map(int, sizes)) for name, sizes in settings.get("sizes", {}).items()}
        self._fisher = {name: FisherVector(arrays, name) for name in ("gradients", "colours") if name in wanted}
        widths = {"basic": len(self._basic.names)}
        if "grids" in wanted:
            widths["grids"] = len(self._block("grids", Views.of(np.zeros((SIDE, SIDE, 3), np.uint8))))
        widths |= {name: fisher.size for name, fisher in self._fisher.items()}
        self.blocks, _ = lay_out(widths)
        self._scores = {
            name: (self._linear(arrays, f"score_{name}", of), _span(self.columns(of)))
            for name, of in settings.get("scores", {}).items()
        }
        self._near = {
            name: (self._linear(arrays, f"near_{name}", [name]), self.blocks[name])
            for name in settings.get("near", [])
        }
        self._near_score = settings.get("near_score")
        sizes = {f"score_{name}": score.size for name, (score, _) in self._scores.items()}
        sizes |= {f"near_{name}": near.size for name, (near, _) in self._near.items()}
        if self._near_score is not None:
            sizes["near_score"] = self._scores[self._near_score][0].size
        families, names = lay_out({"basic": widths["basic"], **sizes})
        self.families = self._basic.families | {name: families[name] for name in sizes}
        self.names = self._basic.names + names[widths["basic"] :]

    def _linear(self, arrays: Mapping[str, NDArray[Any]], name: str, of: Sequence[str]) -> Linear:
        linear = Linear(arrays, name)
        if linear.inputs != len(self.columns(of)):
            raise BundleError(f"the bundle's map {name!r} does not fit {', '.join(of)}: get the bundle again")
        return linear

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
        """Return the blocks of a picture, one after the other: what scores are learnt from."""
        views = Views.of(canvas(image))
        row = np.concatenate([self._block(name, views) for name in self.blocks], dtype=np.float32)
        return finite(row)

    def weigh(self, row: Vector) -> Vector:
        """Return the features of a row of blocks (n,), or of many (m, n): float16 values."""
        scores = {name: score(row[..., columns]) for name, (score, columns) in self._scores.items()}
        return self.compose(row, scores)

    def compose(self, row: Vector, scores: Mapping[str, Vector]) -> Vector:
        """Return the features of rows of blocks whose scores are known already."""
        directions = [unit(near(row[..., columns])) for near, columns in self._near.values()]
        if self._near_score is not None:
            score = scores[self._near_score]
            directions.append(unit(score - score.mean(axis=-1, keepdims=True)))
        shared = np.float32(1 / max(1, len(directions)) ** 0.5)  # all of them together have length 1
        parts = [row[..., self.blocks["basic"]], *scores.values(), *(shared * part for part in directions)]
        return rounded(np.concatenate(parts, axis=-1))

    def _block(self, name: str, views: Views) -> Vector:
        if name == "basic":
            return self._basic(views)
        if name == "grids":
            return grids(views, self._basic.colour_of_pixel(views), self._basic.colours)
        describe = descriptors.gradients if name == "gradients" else descriptors.colours
        return self._fisher[name](*describe(views, self._sizes[name]))


def _span(columns: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Return columns as a slice where they lie side by side: that saves copying them."""
    first, last = int(columns[0]), int(columns[-1])
    return slice(first, last + 1) if last - first + 1 == len(columns) else columns


def finite(values: Vector) -> Vector:
    """Return the values without infinities and what is no number; in place."""
    np.nan_to_num(values, copy=False, nan=0.0, posinf=_MOST, neginf=-_MOST)
    return np.clip(values, -_MOST, _MOST, out=values)


def rounded(values: Vector) -> Vector:
    """Return the nearest float16 values, as float32."""
    return finite(values).astype(np.float16).astype(np.float32)

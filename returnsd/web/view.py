"""By what pictures are told to be alike: by what the forest says of them, or by what was seen in them. Pure.

Of two pictures whose probabilities point the same way, one key settles both more often than of two that merely look
alike. Measured on 1,500 retail pictures that training never saw (benchmarks/alike.py): by probabilities 46 % stand
in groups in which 75 % are of one category, and 86 % in the groups of eight and more; by the directions in which a
model's memory compares, 15 % in groups with 79 %. Of those that wait, groups of which the forest is sure are of one
category by 82 %, of others by half: so the others count as alike only where they look alike. With few categories
the probabilities tell too little apart: then directions are compared; and the basic features, where there is no
memory, or another model judged.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from returnsd.bundle import Bundle

Rows = NDArray[np.float32]

_ENOUGH_CATEGORIES = 8
_BASIC = 305  # features that lie at the beginning of every vector, with a palette of the usual size
_UNLIKELY = 0.01  # below it, how unlikely a category is tells nothing


@dataclass(frozen=True, slots=True)
class View:
    """How rows of features are looked at, and from which cosine on two of them are alike.

    Pictures are offered as alike only if the mean of their confidences is at least `sure`.
    """

    rows: Callable[[Rows], Rows]
    near: float
    sure: float = 0.0


def views_of(bundle: Bundle | None) -> tuple[View, ...]:
    """Return how to look at the features of pictures that a bundle judged; None is a bundle not at hand."""
    if bundle is None or len(bundle.categories) < _ENOUGH_CATEGORIES:
        return (_looks(bundle, near=0.4),)
    known = bundle

    def said(rows: Rows) -> Rows:
        return np.log(known.predict_proba(rows) + _UNLIKELY).astype(np.float32)

    return View(said, near=0.93, sure=0.8), _looks(bundle, near=0.5)


def _looks(bundle: Bundle | None, near: float) -> View:
    """Return how to compare what pictures look like; `near` is for directions."""
    if bundle is None or bundle.memory is None:
        return View(lambda rows: rows[:, :_BASIC], near=0.76)
    dimensions = bundle.memory.dimensions
    return View(lambda rows: rows[:, -dimensions:], near=near)

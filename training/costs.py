"""What each family of features costs: milliseconds on one core, measured on real pictures.

Families share work: all are made from the same views of a picture. So a cost is told twice: what is a family's own,
and what would be saved if it alone were left out. All that the memory answers is asked for at once, and costs that
together.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from returnsd.bundle import Bundle, forest_inputs
from returnsd.vision import features
from returnsd.vision.extractor import Extractor
from returnsd.vision.features import Basic, Image, Views, canvas

MEMORY_FAMILIES = ("memory_score", "memory_nearest")
"""What the memory answers, in its order: every category's lead in each."""

_ROUNDS = 3

_OF_VIEWS: Mapping[str, Callable[[Views], object]] = {
    "thumbnail": features.thumbnail,
    "directions": features.directions,
    "patterns": lambda views: features.local_binary_patterns(views.grey),
    "shape": lambda views: features.shape(views.mask),
    "whole": features.whole,
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Milliseconds a picture: a part's own, and what is saved without it; `words` says what the latter holds."""

    name: str
    own_ms: float
    saved_ms: float
    words: str = ""


def costs(
    bundle: Bundle, arrays: Mapping[str, NDArray[Any]], pictures: Sequence[Image]
) -> tuple[dict[str, Cost], list[Cost]]:
    """Return the cost of every family by its name, and the steps from a picture to its probabilities.

    :param arrays: of the bundle's features. :param pictures: (height, width, 3) BGR; some dozens.
    """
    settings = dict(bundle.card["features"])
    extractor = Extractor(arrays, settings)
    with threadpool_limits(1):
        threads = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            blocks = _blocks(arrays, settings, extractor, pictures)
            families = _basic(arrays, settings, pictures)
            steps = _steps(bundle, extractor, pictures, blocks)
        finally:
            cv2.setNumThreads(threads)
    families |= {name: Cost(name, ms, ms) for name, ms in blocks.items() if name != "basic"}
    if bundle.memory is not None:
        asked = sum(step.own_ms for step in steps if step.name in ("directions", "memory"))
        saved = asked + sum(blocks[name] for name in settings["near"] if name != "basic")
        words = "all that the memory answers, with the blocks made for it alone"
        families |= {name: Cost(name, asked, saved, words) for name in MEMORY_FAMILIES}
    return families, steps


def timed_ms(work: Callable[[Any], object], things: Sequence[Any]) -> float:
    """Return the milliseconds that work on one thing takes: the median over things of the best of some rounds."""
    took = []
    for thing in things:
        rounds = []
        for _ in range(_ROUNDS):
            began = time.perf_counter()
            work(thing)
            rounds.append(time.perf_counter() - began)
        took.append(min(rounds))
    return 1000.0 * float(np.median(took))


def _blocks(
    arrays: Mapping[str, NDArray[Any]],
    settings: Mapping[str, Any],
    extractor: Extractor,
    pictures: Sequence[Image],
) -> dict[str, float]:
    """Return what each block of values costs: rows with it against rows without."""
    plain = dict(settings) | {"near": []}
    basic = timed_ms(Extractor(arrays, plain | {"blocks": ["basic"]}).row, pictures)
    found = {"basic": basic}
    for name in extractor.blocks:
        if name != "basic":
            with_it = timed_ms(Extractor(arrays, plain | {"blocks": ["basic", name]}).row, pictures)
            found[name] = max(0.0, with_it - basic)
    return found


def _basic(
    arrays: Mapping[str, NDArray[Any]], settings: Mapping[str, Any], pictures: Sequence[Image]
) -> dict[str, Cost]:
    basic = Basic(arrays["palette"], int(settings["colours"]))
    views = [Views.of(canvas(picture)) for picture in pictures]
    found = {name: Cost(name, ms, ms) for name, work in _OF_VIEWS.items() for ms in (timed_ms(work, views),)}
    whole = timed_ms(lambda one: basic(one, basic.colour_of_pixel(one)), views)
    rest = max(0.0, whole - sum(cost.own_ms for cost in found.values()))
    together = [name for name in basic.families if name not in found]
    words = f"together with {', '.join(together)}"
    return found | {name: Cost(name, rest, rest, words) for name in together}


def _steps(
    bundle: Bundle, extractor: Extractor, pictures: Sequence[Image], blocks: Mapping[str, float]
) -> list[Cost]:
    views_ms = timed_ms(lambda picture: Views.of(canvas(picture)), pictures)
    rows = [extractor.row(picture) for picture in pictures]
    vectors = [extractor.weigh(row)[np.newaxis] for row in rows]
    inputs = [forest_inputs(bundle.memory, vector) for vector in vectors]
    steps = [
        ("views", views_ms, "a canvas of 100x100 pixels and its conversions, shared by all"),
        ("basic", max(0.0, blocks["basic"] - views_ms), "the basic features"),
        *((name, ms, "a block of values to compare by") for name, ms in blocks.items() if name != "basic"),
        ("directions", timed_ms(extractor.weigh, rows), "the direction in which the blocks point"),
    ]
    if bundle.memory is not None:
        answers = timed_ms(lambda vector: forest_inputs(bundle.memory, vector), vectors)
        steps.append(("memory", answers, "what is near among the remembered pictures, for one picture alone"))
    steps.append(("forest", timed_ms(bundle.forest.predict_proba, inputs), "the trees, for one picture alone"))
    return [Cost(name, ms, ms, words) for name, ms, words in steps]

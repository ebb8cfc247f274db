"""What can be said with certainty from counts: bounds of a share, and whether two samples differ. Pure."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from returnsd.policy import binomial_tail

_STEPS = 50


def share_bounds(hits: int, count: int, risk: float = 0.05) -> tuple[float, float]:
    """Return the Clopper-Pearson bounds of a share: with at least 1 - risk, the true one lies between them."""
    if count == 0:
        return 0.0, 1.0
    lowest = 0.0 if hits == 0 else _solve(lambda rate: 1.0 - binomial_tail(hits - 1, count, rate), risk / 2, True)
    highest = 1.0 if hits == count else _solve(lambda rate: binomial_tail(hits, count, rate), risk / 2, False)
    return lowest, highest


def _solve(tail: Callable[[float], float], wanted: float, rising: bool) -> float:
    """Return the rate at which a monotonic tail probability is the wanted one, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if (tail(middle) < wanted) == rising:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def differ(one: NDArray[np.float64], other: NDArray[np.float64], risk: float = 0.001) -> float | None:
    """Return how far two samples' distributions are apart (Kolmogorov-Smirnov), None if that may be chance."""
    if not len(one) or not len(other):
        return None
    points = np.concatenate([one, other])
    below = [np.searchsorted(np.sort(sample), points, side="right") / len(sample) for sample in (one, other)]
    apart = float(np.abs(below[0] - below[1]).max())
    by_chance = math.sqrt(-math.log(risk / 2) / 2) * math.sqrt((len(one) + len(other)) / (len(one) * len(other)))
    return apart if apart > by_chance else None

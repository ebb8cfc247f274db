"""Probabilities that mean what they say: a temperature or a rising curve, whichever validation pictures favour."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from returnsd.bundle import calibrated
from returnsd.forest import Probabilities

_TEMPERATURES = np.round(np.geomspace(0.3, 3.0, 60), 4)
_SMOOTHINGS = (0.0003, 0.001, 0.003, 0.01)
_FEWEST = 200  # pictures; fewer say nothing about a curve, nor whether a forest may be surer than it says


def log_loss(probabilities: Probabilities, truth: NDArray[np.int64]) -> float:
    """Return the mean of -log p(true category) over (n, categories) rows; lower is better."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(truth)), truth], 1e-12)).mean())


def expected_calibration_error(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int = 15
) -> float:
    """Return the mean gap between confidence and accuracy over equally filled bins (Nixon et al., 2019)."""
    order = np.argsort(confidence, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return float(sum(abs(confidence[part].sum() - correct[part].sum()) for part in parts) / len(confidence))


def choose(probabilities: Probabilities, truth: NDArray[np.int64]) -> dict[str, Any]:
    """Return the card's calibration settings: the method of the least log-loss on pictures it was not fitted on.

    :param probabilities: (n, categories) the forest's own, on validation pictures; half of them fit what the other
        half judges, both ways round, and the winner is fitted on all.
    """
    halves = np.arange(len(truth)) % 2 == 0

    def judged(fit: Callable[..., dict[str, Any]]) -> float:
        losses = [
            log_loss(calibrated(probabilities[~half], fit(probabilities[half], truth[half])), truth[~half])
            for half in (halves, ~halves)
        ]
        return sum(losses)

    best = min((temperature, isotonic), key=judged) if len(truth) >= _FEWEST else temperature
    return best(probabilities, truth)


def temperature(probabilities: Probabilities, truth: NDArray[np.int64]) -> dict[str, Any]:
    """Return the temperature and smoothing of the least log-loss; few pictures may not make a forest surer."""
    choices = [
        {"method": "temperature", "temperature": float(value), "smoothing": smoothing}
        for value in _TEMPERATURES[(1.0 if len(truth) < _FEWEST else 0.0) <= _TEMPERATURES]
        for smoothing in _SMOOTHINGS
    ]
    return min(choices, key=lambda settings: log_loss(calibrated(probabilities, settings), truth))


def isotonic(probabilities: Probabilities, truth: NDArray[np.int64]) -> dict[str, Any]:
    """Return the rising curve from what the forest says of any category to how often that is so."""
    hit = np.arange(probabilities.shape[1]) == truth[:, np.newaxis]
    curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(probabilities.ravel(), hit.ravel())
    x, y = (np.round(values, 6).tolist() for values in (curve.X_thresholds_, curve.y_thresholds_))
    choices = [{"method": "isotonic", "x": x, "y": y, "smoothing": smoothing} for smoothing in _SMOOTHINGS]
    return min(choices, key=lambda settings: log_loss(calibrated(probabilities, settings), truth))

"""Probabilities that mean what they say: a temperature, chosen on validation pictures by their log-loss."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from returnsd.bundle import calibrated
from returnsd.forest import Probabilities

_TEMPERATURES = np.round(np.geomspace(0.3, 3.0, 60), 4)
_SMOOTHINGS = (0.0003, 0.001, 0.003, 0.01)


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


def choose_temperature(probabilities: Probabilities, truth: NDArray[np.int64]) -> dict[str, Any]:
    """Return the card's calibration settings: the temperature and smoothing of the least log-loss.

    :param probabilities: (n, categories) the forest's own, on pictures it was not trained on.
    """
    choices = [
        {"method": "temperature", "temperature": float(temperature), "smoothing": smoothing}
        for temperature in _TEMPERATURES
        for smoothing in _SMOOTHINGS
    ]
    return min(choices, key=lambda settings: log_loss(calibrated(probabilities, settings), truth))

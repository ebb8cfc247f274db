"""How good a bundle is, on pictures that neither training nor calibration has seen."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from returnsd import policy
from returnsd.bundle import Bundle
from returnsd.forest import Probabilities
from training.calibrate import expected_calibration_error, log_loss


@dataclass(frozen=True, slots=True)
class Figures:
    """What a bundle is worth on `count` pictures; shares are 0 to 1."""

    count: int
    accuracy: float
    macro_f1: float
    top_3: float
    log_loss: float
    calibration_error: float
    archived: float
    archived_accuracy: float | None


def measure(
    bundle: Bundle, rows: NDArray[np.float32], truth: NDArray[np.int64], target_accuracy: float
) -> tuple[Figures, Probabilities]:
    """Return the figures of (n, features) rows with their (n,) true categories, and the probabilities."""
    probabilities = bundle.predict_proba(rows)
    best = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    rank = (probabilities > probabilities[np.arange(len(truth)), truth][:, np.newaxis]).sum(axis=1)
    calibration = bundle.calibration
    threshold = policy.choose_threshold(calibration.confidence, calibration.correct, target_accuracy)
    archived = confidence >= threshold if threshold is not None else np.zeros(len(truth), bool)
    correct = best == truth
    figures = Figures(
        count=len(truth),
        accuracy=float(correct.mean()),
        macro_f1=float(f1_score(truth, best, average="macro")),
        top_3=float((rank < 3).mean()),
        log_loss=log_loss(probabilities, truth),
        calibration_error=expected_calibration_error(confidence, correct),
        archived=float(archived.mean()),
        archived_accuracy=float(correct[archived].mean()) if archived.any() else None,
    )
    return figures, probabilities


def margin(share: float, count: int) -> float:
    """Return half the width of the 95 % confidence interval of a share of `count` pictures."""
    return float(1.96 * np.sqrt(max(share * (1 - share), 1e-9) / max(count, 1)))

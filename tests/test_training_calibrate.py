"""Calibration: probabilities come to mean what they say, by the method that other pictures favour."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import log_loss as scikit_log_loss

from returnsd import policy
from returnsd.bundle import calibrated
from training import calibrate

Probabilities = NDArray[np.float64]


def honest(count: int, categories: int = 5, seed: int = 1) -> tuple[Probabilities, NDArray[np.int64]]:
    """Return probabilities that mean what they say, and what was true."""
    dice = np.random.default_rng(seed)
    probabilities = dice.dirichlet(np.full(categories, 0.4), count)
    truth = (dice.random(count)[:, np.newaxis] > probabilities.cumsum(axis=1)).sum(axis=1)
    return probabilities, np.minimum(truth, categories - 1)


def timid(probabilities: Probabilities, power: float) -> Probabilities:
    """Return what a forest makes of them: the same order, less sure."""
    powers = probabilities**power
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def error(probabilities: Probabilities, truth: NDArray[np.int64]) -> float:
    return calibrate.expected_calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == truth)


def test_log_loss_is_scikit_learns() -> None:
    probabilities, truth = honest(300)

    found = calibrate.log_loss(probabilities, truth)

    assert found == pytest.approx(scikit_log_loss(truth, probabilities, labels=range(5)), rel=1e-3)


def test_a_probability_of_zero_for_the_truth_is_no_infinity() -> None:
    assert np.isfinite(calibrate.log_loss(np.array([[1.0, 0.0]]), np.array([1])))


def test_probabilities_that_mean_what_they_say_have_a_small_error() -> None:
    assert error(*honest(20_000)) < 0.015


def test_the_error_of_who_is_always_sure_is_how_often_he_is_wrong() -> None:
    correct = np.arange(1000) % 4 != 0

    assert calibrate.expected_calibration_error(np.ones(1000), correct) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("count", [1, 7, 15])
def test_few_pictures_have_an_error_too(count: int) -> None:
    assert 0 <= error(*honest(count)) <= 1


@pytest.mark.parametrize("power", [0.5, 0.7, 1.6])
def test_a_temperature_undoes_timidity_and_conceit(power: float) -> None:
    probabilities, truth = honest(6000)
    distorted = timid(probabilities, power)

    settings = calibrate.temperature(distorted, truth)

    assert settings["temperature"] == pytest.approx(power, rel=0.12)
    assert error(calibrated(distorted, settings), truth) < error(distorted, truth) / 2


def test_a_rising_curve_undoes_what_no_temperature_can() -> None:
    (probabilities, truth), (new, new_truth) = honest(8000, 2), honest(8000, 2, seed=2)
    bent, new_bent = 0.4 + 0.2 * probabilities, 0.4 + 0.2 * new

    settings = calibrate.choose(bent, truth)

    assert settings["method"] == "isotonic"
    by_temperature = calibrated(new_bent, calibrate.temperature(bent, truth))
    assert calibrate.log_loss(calibrated(new_bent, settings), new_truth) < calibrate.log_loss(
        by_temperature, new_truth
    )


def test_few_pictures_say_nothing_about_a_curve() -> None:
    probabilities, truth = honest(150)

    assert calibrate.choose(probabilities, truth)["method"] == "temperature"


def test_few_pictures_do_not_make_a_forest_surer_than_it_says() -> None:
    _, truth = honest(17)
    sure = np.eye(5)[truth] * 0.4 + 0.12  # always right, and not sure of it

    assert calibrate.choose(sure, truth)["temperature"] >= 1.0


def test_the_winner_is_better_than_nothing_on_other_pictures() -> None:
    probabilities, truth = honest(3000)
    new, new_truth = honest(3000, seed=2)

    settings = calibrate.choose(timid(probabilities, 0.6), truth)

    better = calibrated(timid(new, 0.6), settings)
    assert calibrate.log_loss(better, new_truth) < calibrate.log_loss(timid(new, 0.6), new_truth)


@given(st.integers(1, 40), st.integers(2, 6), st.integers(0, 10_000))
def test_whatever_was_seen_probabilities_come_out(count: int, categories: int, seed: int) -> None:
    dice = np.random.default_rng(seed)
    probabilities = np.round(dice.dirichlet(np.full(categories, 0.2), count), 1) + 1e-9
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    truth = dice.integers(0, categories, count)

    for method in (calibrate.temperature, calibrate.isotonic, calibrate.choose):
        settings: dict[str, Any] = method(probabilities, truth)
        found = calibrated(np.eye(categories), settings)
        assert np.isfinite(found).all()
        assert (found >= 0).all()
        np.testing.assert_allclose(found.sum(axis=1), 1)


# --- against MAPIE


class Said:
    """A classifier, as scikit-learn wants one, that says what was said of pictures by their numbers."""

    def __init__(self, probabilities: Probabilities) -> None:
        self.probabilities = probabilities
        self.classes_ = np.arange(probabilities.shape[1])
        self.n_features_in_ = 1

    def fit(self, rows: Any, truth: Any) -> "Said":
        return self

    def predict_proba(self, rows: Any) -> Probabilities:
        return np.asarray(self.probabilities[np.asarray(rows)[:, 0].astype(int)])

    def predict(self, rows: Any) -> NDArray[np.int64]:
        return np.asarray(self.predict_proba(rows).argmax(axis=1))

    def __sklearn_is_fitted__(self) -> bool:
        return True


@pytest.mark.parametrize("coverage", [0.5, 0.75, 0.9, 0.94])
@pytest.mark.parametrize("count", [50, 333, 2000])
def test_shortlists_are_those_of_mapies_split_conformal_prediction(coverage: float, count: int) -> None:
    classification = pytest.importorskip("mapie.classification", reason="needs MAPIE")
    if not hasattr(classification, "SplitConformalClassifier"):
        pytest.skip("needs MAPIE >= 1.0, which has SplitConformalClassifier")
    probabilities, truth = honest(count + 400, 7)
    numbers = np.arange(count + 400)[:, np.newaxis]
    theirs = classification.SplitConformalClassifier(
        Said(probabilities), confidence_level=coverage, conformity_score="lac", prefit=True
    )
    theirs.conformalize(numbers[:count], truth[:count])
    _, sets = theirs.predict_set(numbers[count:])

    floor = policy.shortlist_floor(probabilities[np.arange(count), truth[:count]], coverage)

    ours = probabilities[count:] >= floor
    # where a probability is the floor itself, rounding may decide
    clear = np.abs(probabilities[count:] - floor) > 1e-9
    assert (ours == sets[:, :, 0])[clear].all()
    assert clear.mean() > 0.99

"""Fisher vectors: by the book, whatever was learnt and however few squares there are."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from returnsd.vision.fisher import FisherVector

INPUTS, REDUCED, GAUSSIANS = 12, 4, 3

Rows = NDArray[np.float32]


def learnt(seed: int = 1) -> dict[str, NDArray[Any]]:
    """Return a mixture as training learns it."""
    dice = np.random.default_rng(seed)
    weights = dice.dirichlet(np.full(GAUSSIANS, 4.0))
    return {
        "x_pca_mean": dice.normal(0, 1, INPUTS).astype(np.float32),
        "x_pca": np.linalg.qr(dice.normal(0, 1, (INPUTS, INPUTS)))[0][:, :REDUCED].astype(np.float32),
        "x_place_scale": np.full(5, 2.0, np.float32),
        "x_weights": weights.astype(np.float32),
        "x_means": dice.normal(0, 1, (GAUSSIANS, REDUCED + 5)).astype(np.float32),
        "x_deviations": dice.uniform(0.5, 1.5, (GAUSSIANS, REDUCED + 5)).astype(np.float32),
    }


def squares(count: int, seed: int = 2) -> tuple[Rows, Rows]:
    dice = np.random.default_rng(seed)
    return dice.normal(0, 1, (count, INPUTS)).astype(np.float32), dice.normal(0, 0.3, (count, 5)).astype(np.float32)


def by_the_book(arrays: dict[str, NDArray[Any]], described: Rows, placed: Rows) -> NDArray[np.float64]:
    """Return the improved Fisher vector (Perronnin, Sanchez, Mensink, 2010), a square and a Gaussian at a time."""
    a = {name.removeprefix("x_"): values.astype(np.float64) for name, values in arrays.items()}
    first, second = np.zeros((2, GAUSSIANS, REDUCED + 5))
    for square, place in zip(described.astype(np.float64), placed.astype(np.float64), strict=True):
        x = np.concatenate([(square - a["pca_mean"]) @ a["pca"], place * a["place_scale"]])
        density = np.array(
            [
                weight * np.prod(np.exp(-0.5 * ((x - mean) / deviation) ** 2) / deviation)
                for weight, mean, deviation in zip(a["weights"], a["means"], a["deviations"], strict=True)
            ]
        )
        share = density / density.sum()
        for k in range(GAUSSIANS):
            away = (x - a["means"][k]) / a["deviations"][k]
            first[k] += share[k] * away / np.sqrt(a["weights"][k]) / len(described)
            second[k] += share[k] * (away**2 - 1) / np.sqrt(2 * a["weights"][k]) / len(described)
    vector = np.concatenate([first.ravel(), second.ravel()])
    vector = np.sign(vector) * np.sqrt(np.abs(vector))
    return np.asarray(vector / np.linalg.norm(vector))


@pytest.mark.parametrize("count", [1, 2, 50])
def test_a_vector_is_that_of_the_book(count: int) -> None:
    found = FisherVector(learnt(), "x")(*squares(count))

    np.testing.assert_allclose(found, by_the_book(learnt(), *squares(count)), atol=3e-3)


def test_no_squares_give_a_vector_of_zeros() -> None:
    fisher = FisherVector(learnt(), "x")

    found = fisher(np.empty((0, INPUTS), np.float32), np.empty((0, 5), np.float32))

    assert found.shape == (fisher.size,) == (2 * GAUSSIANS * (REDUCED + 5),)
    assert (found == 0).all()


@pytest.mark.parametrize("far", [1.0, 1e3, 1e6])
def test_squares_unlike_any_other_leave_it_finite_and_of_length_one(far: float) -> None:
    described, placed = squares(9)

    found = FisherVector(learnt(), "x")((described * np.float32(far)), placed)

    assert np.isfinite(found).all()
    assert np.linalg.norm(found) == pytest.approx(1, abs=1e-3)


def test_the_order_of_the_squares_does_not_matter() -> None:
    described, placed = squares(40)
    deal = np.random.default_rng(1).permutation(40)
    fisher = FisherVector(learnt(), "x")

    np.testing.assert_allclose(fisher(described, placed), fisher(described[deal], placed[deal]), atol=1e-4)


def test_the_same_squares_give_the_same_bytes() -> None:
    fisher = FisherVector(learnt(), "x")

    assert fisher(*squares(20)).tobytes() == fisher(*squares(20)).tobytes()

"""Directions: what differs most, halfway to whitening, in small whole numbers."""

import numpy as np
import pytest
from numpy.typing import NDArray

from returnsd.vision.directions import Linear, standardised
from training.directions import as_map, directions

Rows = NDArray[np.float32]

KINDS = ["gradients", "basic"]


def example(count: int = 300, values: int = 30) -> Rows:
    """Return rows that differ in three hidden ways, the first most, and in little else."""
    dice = np.random.default_rng(1)
    hidden = dice.normal(0, 1, (count, 3)) * [4.0, 2.0, 1.0]
    noise = dice.normal(0, 0.01, (count, values))
    return (hidden @ np.linalg.qr(dice.normal(0, 1, (values, 3)))[0].T + noise).astype(np.float32)


def learnt(name: str, rows: Rows, count: int, share: float = 0.5) -> Linear:
    return Linear(directions(name, rows, count, share, seed=1), f"near_{name}")


@pytest.mark.parametrize("name", KINDS)
def test_they_keep_all_that_differs(name: str) -> None:
    rows = example()
    arrays = directions(name, rows, 3, 0.5, seed=1)

    found = Linear(arrays, f"near_{name}")(rows)

    x = standardised(rows, arrays[f"near_{name}_mean"], arrays[f"near_{name}_scale"])
    again, *_ = np.linalg.lstsq(found, x, rcond=None)
    assert np.square(x - found @ again).sum() < 0.01 * np.square(x).sum()


@pytest.mark.parametrize("name", KINDS)
def test_what_differs_much_counts_for_less_than_its_share(name: str) -> None:
    values = learnt("gradients", example(), 3)(example())

    deviation = np.sort(values.std(axis=0))[::-1]
    # 4 : 2 : 1, divided by the roots of that
    np.testing.assert_allclose(deviation / deviation[-1], [2.0, 2**0.5, 1.0], rtol=0.15)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_blocks_share_is_its_squared_length_on_average(name: str, share: float) -> None:
    rows = example()

    values = learnt(name, rows, 3, share)(rows)

    assert np.square(values).sum(axis=1).mean() == pytest.approx(share, rel=0.03)


def test_there_are_no_more_directions_than_values_and_a_few_for_few_pictures() -> None:
    assert learnt("basic", example(6), 50).size == 1
    assert learnt("basic", example(60), 50).size == 10
    assert learnt("basic", example(60, 4), 50).size == 4


def test_pictures_that_do_not_differ_have_finite_directions() -> None:
    values = learnt("basic", np.ones((20, 5), np.float32), 3)(np.ones((4, 5), np.float32))

    assert np.isfinite(values).all()


def test_the_same_seed_gives_the_same_directions() -> None:
    first, again = (directions("basic", example(), 3, 0.5, seed=1) for _ in range(2))

    assert all((first[name] == again[name]).all() for name in first)


def test_small_whole_numbers_are_within_a_hundredth_of_the_largest_weight() -> None:
    weights = np.random.default_rng(1).normal(0, 1, (40, 3)).astype(np.float32) * np.float32([1, 10, 100])
    arrays = as_map("x", np.zeros(40, np.float32), np.ones(40, np.float32), weights)

    found = arrays["x_weights"] * arrays["x_gains"]

    assert arrays["x_weights"].dtype == np.int8
    assert (np.abs(found - weights) <= 0.005 * np.abs(weights).max(axis=0)).all()

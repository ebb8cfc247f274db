"""Linear scores: exact out of fold, whatever the shape, and the same again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import Ridge as ScikitRidge

from returnsd.vision.scores import Linear, standardised
from training import scores

Rows = NDArray[np.float32]

CATEGORIES = 3
# more pictures than inputs, as many, and fewer: two ways of solving meet in the middle
SHAPES = [(60, 7), (40, 40), (25, 70)]


def example(count: int, inputs: int, seed: int = 1) -> tuple[Rows, NDArray[np.int64]]:
    """Return rows of inputs on different scales, one of them constant, and categories that depend on them."""
    dice = np.random.default_rng(seed)
    truth = dice.integers(0, CATEGORIES, count)
    rows = dice.normal(0, 1, (count, inputs)).astype(np.float32)
    rows[:, 0] += truth
    rows *= 10.0 ** dice.integers(-2, 3, inputs).astype(np.float32)
    rows[:, -1] = 4.0
    return rows, truth


def left_out(rows: Rows, truth: NDArray[np.int64], penalty: float, seed: int) -> Rows:
    """Return the scores of each fold by a regression that was fitted anew without it."""
    x = standardised(rows, rows.mean(axis=0), 1.0 / np.maximum(rows.std(axis=0), 1e-4)).astype(np.float64)
    y = np.where(np.arange(CATEGORIES) == truth[:, np.newaxis], 1.0, -1.0 / (CATEGORIES - 1))
    found = np.empty_like(y)
    deal = np.random.default_rng(seed).permutation(len(truth))
    for fold in np.array_split(deal, scores.FOLDS):
        rest = np.setdiff1d(np.arange(len(truth)), fold)
        # scikit-learn's penalty is of the whole sum, and so is ours: it does not shrink with the fold left out
        model = ScikitRidge(alpha=penalty * len(truth), fit_intercept=False, solver="cholesky")
        found[fold] = model.fit(x[rest], y[rest]).predict(x[fold])
    return found.astype(np.float32)


@pytest.mark.parametrize(("count", "inputs"), SHAPES)
@pytest.mark.parametrize("penalty", [0.01, 1.0])
def test_scores_out_of_fold_are_those_of_fits_without_the_fold(count: int, inputs: int, penalty: float) -> None:
    rows, truth = example(count, inputs)

    found = scores.fit(rows, truth, CATEGORIES, penalty, seed=5).out_of_fold

    np.testing.assert_allclose(found, left_out(rows, truth, penalty, seed=5), atol=2e-3)


@settings(max_examples=30)
@given(st.integers(10, 50), st.integers(2, 60), st.integers(0, 1000))
def test_they_are_so_in_every_shape(count: int, inputs: int, seed: int) -> None:
    rows, truth = example(count, inputs, seed)

    found = scores.fit(rows, truth, CATEGORIES, 0.3, seed=seed).out_of_fold

    np.testing.assert_allclose(found, left_out(rows, truth, 0.3, seed=seed), atol=5e-3)


@pytest.mark.parametrize(("count", "inputs"), SHAPES)
def test_the_weights_are_scikit_learns(count: int, inputs: int) -> None:
    rows, truth = example(count, inputs)

    ridge = scores.fit(rows, truth, CATEGORIES, 0.1, seed=1)

    x = standardised(rows, ridge.mean, ridge.scale)
    y = np.where(np.arange(CATEGORIES) == truth[:, np.newaxis], 1.0, -0.5)
    expected = ScikitRidge(alpha=0.1 * count, fit_intercept=False).fit(x, y).coef_.T
    np.testing.assert_allclose(ridge.weights, expected, atol=1e-3)


def test_a_picture_out_of_fold_is_told_worse_than_one_that_was_learnt() -> None:
    rows, truth = example(30, 80)
    ridge = scores.fit(rows, truth, CATEGORIES, 0.001, seed=1)

    learnt = standardised(rows, ridge.mean, ridge.scale) @ ridge.weights

    assert (learnt.argmax(axis=1) == truth).mean() == 1.0
    assert (ridge.out_of_fold.argmax(axis=1) == truth).mean() < 0.9


@pytest.mark.parametrize("count", [2, 3, 4])
def test_fewer_pictures_than_folds_will_do(count: int) -> None:
    rows, _ = example(count, 6)

    ridge = scores.fit(rows, np.arange(count) % 2, 2, 1.0, seed=1)

    assert np.isfinite(ridge.out_of_fold).all()


def test_inputs_that_never_differ_say_nothing_and_do_no_harm() -> None:
    _, truth = example(20, 5)

    ridge = scores.fit(np.ones((20, 5), np.float32), truth, CATEGORIES, 1.0, seed=1)

    assert np.isfinite(ridge.weights).all()
    assert np.abs(ridge.weights).max() == 0


def test_the_same_seed_gives_the_same_scores_and_another_other_folds() -> None:
    rows, truth = example(40, 10)

    first, again, other = (scores.fit(rows, truth, CATEGORIES, 0.1, seed=seed) for seed in (1, 1, 2))

    assert (first.out_of_fold == again.out_of_fold).all()
    assert (first.weights == other.weights).all()
    assert (first.out_of_fold != other.out_of_fold).any()


def test_a_bundle_scores_with_what_was_learnt() -> None:
    rows, truth = example(60, 7)
    ridge = scores.fit(rows, truth, CATEGORIES, 0.01, seed=1)

    linear = Linear(ridge.arrays("all"), "score_all")

    expected = standardised(rows, ridge.mean, ridge.scale) @ ridge.weights
    np.testing.assert_allclose(linear(rows), expected, atol=1e-2)  # a bundle's weights are float16
    assert linear.size == CATEGORIES


def test_what_was_learnt_is_kept_and_read_back(tmp_path: Path) -> None:
    ridge = scores.fit(*example(20, 5), CATEGORIES, 0.1, seed=1)

    scores.save(ridge, tmp_path / "deep/a.npz")

    kept = scores.load(tmp_path / "deep/a.npz")
    for name in ("mean", "scale", "weights", "out_of_fold"):
        assert (getattr(kept, name) == getattr(ridge, name)).all()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.npz"]


def directions(name: str, rows: Rows, count: int) -> dict[str, NDArray[Any]]:
    return scores.directions(name, rows, count, seed=1)


@pytest.mark.parametrize("name", ["gradients", "basic"])
def test_directions_keep_most_of_what_differs(name: str) -> None:
    dice = np.random.default_rng(1)
    hidden = dice.normal(0, 1, (200, 2))
    rows = (hidden @ dice.normal(0, 1, (2, 30)) + dice.normal(0, 0.05, (200, 30))).astype(np.float32)

    arrays = directions(name, rows, 2)

    linear = Linear(arrays, f"near_{name}")
    assert linear.size == 2
    x = standardised(rows, arrays[f"near_{name}_mean"], arrays[f"near_{name}_scale"])
    assert linear(rows).var(axis=0).sum() > 0.95 * x.var(axis=0).sum()


def test_there_are_no_more_directions_than_pictures_or_values() -> None:
    rows = np.random.default_rng(1).normal(0, 1, (6, 30)).astype(np.float32)

    assert Linear(directions("basic", rows, 50), "near_basic").size == 6
    assert Linear(directions("basic", rows[:, :4], 50), "near_basic").size == 4

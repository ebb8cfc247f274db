"""What is remembered: pulls by the book, exact out of fold, whatever the number of pictures, and the same again."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.kernel_ridge import KernelRidge

from returnsd.memory import REACH, Memory, leads, unit_of
from training import kernel

Rows = NDArray[np.float32]

CATEGORIES, DIMENSIONS = 3, 24


def example(count: int = 60, seed: int = 1) -> tuple[Rows, NDArray[np.int64]]:
    """Return directions of length 1 that depend on their categories."""
    dice = np.random.default_rng(seed)
    truth = np.arange(count) % CATEGORIES
    rows = dice.normal(0, 1, (count, DIMENSIONS))
    rows[np.arange(count), truth] += 2.0
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), truth


def by_the_book(rows: Rows, truth: NDArray[np.int64], asked: Rows, penalty: float) -> NDArray[np.float64]:
    """Return scikit-learn's kernel ridge scores of what is asked."""

    def between(a: Rows, b: Rows) -> NDArray[np.float64]:
        return np.asarray(np.exp(REACH * (a.astype(np.float64) @ b.T.astype(np.float64) - 1.0)))

    targets = np.where(np.arange(CATEGORIES) == truth[:, np.newaxis], 1.0, -0.5)
    model = KernelRidge(alpha=penalty, kernel="precomputed").fit(between(rows, rows), targets)
    return np.asarray(model.predict(between(asked, rows)))


def points(found: kernel.Remembered) -> Rows:
    return np.asarray(found.points / np.float32(unit_of(DIMENSIONS)), np.float32)


@pytest.mark.parametrize("penalty", [0.05, 1.0])
def test_scores_are_those_of_kernel_ridge_regression(penalty: float) -> None:
    rows, truth = example()
    asked, _ = example(20, seed=9)
    found = kernel.fit(rows, truth, CATEGORIES, penalty, seed=1)

    said = Memory(found.arrays(), CATEGORIES)(asked)[:, :CATEGORIES]

    expected = leads(by_the_book(points(found), np.sort(truth), asked, penalty))
    np.testing.assert_allclose(said, expected, atol=4e-3)


@settings(max_examples=25, deadline=None)
@given(st.integers(6, 70), st.integers(0, 1000))
def test_scores_out_of_fold_are_those_of_fits_without_the_fold(count: int, seed: int) -> None:
    rows, truth = example(count, seed)

    found = kernel.fit(rows, truth, CATEGORIES, 0.2, seed)

    whole, true = points(found), np.sort(truth)
    expected = np.empty((count, CATEGORIES))
    for fold in kernel._folds(true, seed):
        rest = np.setdiff1d(np.arange(count), fold)
        expected[fold] = by_the_book(whole[rest], true[rest], whole[fold], 0.2)
    np.testing.assert_allclose(found.out_of_fold, expected[found.own], atol=5e-3)


@pytest.mark.parametrize("count", [2, 3, 25, 200])
def test_folds_hold_as_many_of_each_category_and_every_picture_once(count: int) -> None:
    truth = np.sort(np.arange(count) % CATEGORIES)

    folds = kernel._folds(truth, seed=1)

    assert sorted(np.concatenate(folds).tolist()) == list(range(count))
    held = np.array([np.bincount(truth[fold], minlength=CATEGORIES) for fold in folds])
    assert (held.max(axis=0) - held.min(axis=0) <= 1).all()


def test_each_ones_point_is_its_own() -> None:
    rows, truth = example()

    found = kernel.fit(rows, truth, CATEGORIES, 0.1, seed=1)

    assert sorted(found.own.tolist()) == list(range(60))
    assert found.starts.tolist() == [0, 20, 40]
    assert ((points(found)[found.own] * rows).sum(axis=1) > 0.9).all()
    assert (np.searchsorted(found.starts, found.own, side="right") - 1 == truth).all()


def test_of_too_many_pictures_some_of_every_category_are_remembered() -> None:
    rows, truth = example(90)
    truth[:] = 0
    truth[[50, 70]] = 1, 2

    found = kernel.fit(rows, truth, CATEGORIES, 0.1, seed=1, most_points=12)

    assert len(found.points) == 12
    assert (found.own >= 0).sum() == 12
    assert (found.own[[50, 70]] >= 0).all()
    assert (found.out_of_fold[found.own < 0] == 0).all()


def test_the_same_seed_gives_the_same_and_another_other_folds() -> None:
    first, again, other = (kernel.fit(*example(), CATEGORIES, 0.1, seed) for seed in (1, 1, 2))

    assert (first.out_of_fold == again.out_of_fold).all()
    assert (first.pulls == again.pulls).all()
    assert (first.pulls == other.pulls).all()
    assert (first.out_of_fold != other.out_of_fold).any()


def test_a_picture_out_of_fold_is_told_worse_than_one_that_is_remembered() -> None:
    rows, _ = example(40)
    truth = np.random.default_rng(5).integers(0, CATEGORIES, 40)  # nothing but memory can tell
    found = kernel.fit(rows, truth, CATEGORIES, 0.01, seed=1)

    said = Memory(found.arrays(), CATEGORIES)(rows)[:, :CATEGORIES]

    assert (said.argmax(axis=1) == truth).mean() > 0.9
    assert (found.out_of_fold.argmax(axis=1) == truth).mean() < 0.7


def test_what_was_learnt_is_kept_and_read_back(tmp_path: Path) -> None:
    found = kernel.fit(*example(), CATEGORIES, 0.1, seed=1)

    kernel.save(found, tmp_path / "deep/a.npz")

    kept = kernel.load(tmp_path / "deep/a.npz")
    for name in ("own", "points", "starts", "pulls", "pull_unit", "out_of_fold"):
        assert (getattr(kept, name) == getattr(found, name)).all()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.npz"]

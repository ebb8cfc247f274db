"""The memory: what is near, exactly, whoever else is asked about at the same time."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from returnsd.errors import BundleError
from returnsd.memory import ARRAYS, REACH, Memory, leads, quantised, unit_of
from training import kernel

CATEGORIES, DIMENSIONS = 3, 40

Rows = NDArray[np.float32]


def directions(count: int, seed: int = 1) -> Rows:
    """Return directions of length 1."""
    rows = np.random.default_rng(seed).normal(0, 1, (count, DIMENSIONS))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def example(count: int = 20) -> kernel.Remembered:
    """Return what is remembered of directions of all categories."""
    truth = np.random.default_rng(2).permutation(np.arange(count) % CATEGORIES)
    return kernel.fit(directions(count), truth, CATEGORIES, 0.1, seed=1)


def lead(values: NDArray[Any]) -> list[float]:
    """Return how far each value is above the best other one, the plain way."""
    return [value - max(np.delete(values, number)) for number, value in enumerate(values)]


def plainly(rows: Rows, found: kernel.Remembered, own: NDArray[np.int64] | None) -> NDArray[Any]:
    """Return the memory's answers by the words of its docstring."""
    points = found.points / unit_of(DIMENSIONS)
    pulls = found.pulls * float(found.pull_unit[0])
    ends = [*found.starts[1:], len(points)]
    answers = []
    for number, row in enumerate(rows):
        near = np.array([float(row @ point) for point in points])
        scores = np.exp(REACH * (near - 1.0)) @ pulls
        if own is not None:
            near[own[number]] = -1.0
        nearest = [near[start:end].max() for start, end in zip(found.starts, ends, strict=True)]
        answers.append([*lead(scores), *lead(np.array(nearest))])
    return np.array(answers)


def test_answers_are_leads_of_scores_and_of_the_nearest_by_category() -> None:
    found, asked = example(), directions(15, seed=9)

    said = Memory(found.arrays(), CATEGORIES)(asked)

    assert said.shape == (15, 2 * CATEGORIES)
    np.testing.assert_allclose(said, plainly(asked, found, None), rtol=2e-3, atol=2e-3)


def test_a_remembered_picture_does_not_see_itself() -> None:
    found, rows = example(), directions(20)
    memory = Memory(found.arrays(), CATEGORIES)
    scores = np.tile(np.array([0.25, 0.5, 0.0], np.float32), (20, 1))

    said = memory.of_remembered(rows, found.own, scores)

    assert (said[:, :CATEGORIES] == [-0.25, 0.25, -0.5]).all()
    expected = plainly(rows, found, found.own)[:, CATEGORIES:]
    np.testing.assert_allclose(said[:, CATEGORIES:], expected, rtol=2e-3, atol=2e-3)
    assert (said[:, CATEGORIES:] < memory(rows)[:, CATEGORIES:].max(axis=1, keepdims=True)).all()


def test_an_answer_is_the_same_alone_and_in_company() -> None:
    memory, asked = Memory(example(50).arrays(), CATEGORIES), directions(150, seed=3)

    together = memory(asked)

    alone = np.concatenate([memory(asked[number : number + 1]) for number in range(150)])
    assert (together == alone).all()


def test_answers_are_float16_values_and_finite_even_for_no_direction_at_all() -> None:
    asked = np.concatenate([directions(5), np.zeros((1, DIMENSIONS), np.float32), 100 * directions(2)])

    said = Memory(example().arrays(), CATEGORIES)(asked)

    assert np.isfinite(said).all()
    assert (said == said.astype(np.float16)).all()


def test_of_no_pictures_nothing_is_said() -> None:
    memory = Memory(example().arrays(), CATEGORIES)

    assert memory(np.empty((0, DIMENSIONS), np.float32)).shape == (0, 2 * CATEGORIES)


def test_it_tells_how_large_it_is() -> None:
    memory = Memory(example().arrays(), CATEGORIES)

    assert (memory.dimensions, memory.size) == (DIMENSIONS, 6)


@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=8))
def test_small_whole_numbers_are_as_near_as_they_can_be(values: list[float]) -> None:
    unit = unit_of(len(values))

    found = quantised(np.array([values], np.float32)).astype(np.float64) / unit

    inside = np.clip(np.array([values]), -127 / unit, 127 / unit)
    assert np.abs(found - inside).max() <= 0.5 / unit + 1e-6


def test_small_whole_numbers_keep_a_direction_to_a_hundredth() -> None:
    rows = directions(200)

    found = quantised(rows) / unit_of(DIMENSIONS)

    assert np.square(found - rows).sum(axis=1).mean() < 0.012


def test_a_category_of_one_picture_is_remembered() -> None:
    rows, truth = directions(3), np.array([2, 0, 1])
    found = kernel.fit(rows, truth, CATEGORIES, 0.1, seed=1)

    said = Memory(found.arrays(), CATEGORIES).of_remembered(rows, found.own, found.out_of_fold)

    assert found.own.tolist() == [2, 0, 1]
    assert np.isfinite(said).all()
    nearest = said[:, CATEGORIES:]
    others = [(rows[number] @ np.delete(rows, number, axis=0).T).max() for number in range(3)]
    # there is nothing of it but the picture itself
    np.testing.assert_allclose(nearest[np.arange(3), truth], -1 - np.array(others), atol=0.05)


def test_a_lead_is_over_the_best_other_category() -> None:
    found = leads(np.array([[3.0, 1.0, 2.5], [2.0, 2.0, 0.0]]))

    assert found.tolist() == [[0.5, -2.0, -0.5], [0.0, 0.0, -2.0]]
    assert leads(np.array([[3.0]])).tolist() == [[3.0]]  # there is no other


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_that_is_missing_is_named(name: str) -> None:
    arrays = example().arrays()
    arrays.pop(name)

    with pytest.raises(BundleError, match=f"the memory lacks {name}"):
        Memory(arrays, CATEGORIES)


@pytest.mark.parametrize(
    "damage",
    [
        {"points": np.zeros((20, DIMENSIONS), np.float32)},
        {"points": np.zeros(20, np.int8)},
        {"points": np.zeros((0, DIMENSIONS), np.int8)},
        {"points": np.zeros((20, 5000), np.int8)},
        {"pulls": np.zeros((20, CATEGORIES), np.float32)},
        {"pulls": np.zeros((19, CATEGORIES), np.int16)},
        {"pull_unit": np.array([np.nan], np.float32)},
        {"pull_unit": np.array([1.0, 2.0], np.float32)},
        {"starts": np.array([0, 7], np.int32)},
        {"starts": np.array([1, 7, 14], np.int32)},
        {"starts": np.array([0, 14, 7], np.int32)},
        {"starts": np.array([0, 7, 20], np.int32)},
        {"starts": np.array([0, 7, 2**31 - 1], np.int32)},
        {"starts": np.array([0, 7, 7], np.int32)},
    ],
)
def test_a_damaged_memory_is_refused(damage: dict[str, NDArray[Any]]) -> None:
    with pytest.raises(BundleError, match="the memory is damaged: get the bundle again"):
        Memory(example().arrays() | damage, CATEGORIES)

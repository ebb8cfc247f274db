"""The memory: what is near, exactly, whoever else is asked about at the same time."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from returnsd.errors import BundleError
from returnsd.memory import SHARPNESS, UNIT, Memory, arrays_of, quantised

CATEGORIES, DIMENSIONS = 3, 40

Rows = NDArray[np.float32]


def directions(count: int, seed: int = 1) -> Rows:
    """Return directions of length 1."""
    rows = np.random.default_rng(seed).normal(0, 1, (count, DIMENSIONS))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def example(count: int = 20) -> tuple[Rows, NDArray[np.int64], dict[str, NDArray[Any]], NDArray[np.int64]]:
    """Return directions, their categories, the arrays that remember them and each one's place in these."""
    rows = directions(count)
    truth = np.random.default_rng(2).permutation(np.arange(count) % CATEGORIES)
    return rows, truth, *arrays_of(rows, truth, CATEGORIES)


def plainly(rows: Rows, points: Rows, truth: NDArray[np.int64], own: NDArray[np.int64] | None) -> NDArray[Any]:
    """Return the memory's answers by the words of its docstring."""
    found = []
    for number, row in enumerate(rows):
        near = np.array([float(row @ point) for point in points])
        if own is not None:
            near[own[number]] = -1.0
        answer = [near[truth == category].max() for category in range(CATEGORIES)]
        for sharpness in SHARPNESS:
            crowd = np.exp(sharpness * (near - 1.0))
            answer += [np.log(crowd[truth == category].sum() + 1e-12) for category in range(CATEGORIES)]
        found.append(answer)
    return np.array(found)


def whole(rows: Rows) -> Rows:
    return np.asarray(quantised(rows).astype(np.float32) / UNIT)


def test_answers_are_the_nearest_and_the_crowds_by_category() -> None:
    rows, truth, arrays, _ = example()
    asked = directions(15, seed=9)

    found = Memory(arrays, CATEGORIES)(asked)

    assert found.shape == (15, 3 * CATEGORIES)
    np.testing.assert_allclose(found, plainly(whole(asked), whole(rows), truth, None), rtol=2e-3, atol=2e-3)


def test_a_remembered_picture_does_not_see_itself() -> None:
    rows, truth, arrays, place = example()

    found = Memory(arrays, CATEGORIES)(rows, place)

    expected = plainly(whole(rows), whole(rows), truth, np.arange(len(rows)))
    np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3)
    assert found[:, :CATEGORIES].max() < 0.999
    assert Memory(arrays, CATEGORIES)(rows)[:, :CATEGORIES].max() > 0.98


def test_each_ones_place_is_where_its_point_lies() -> None:
    rows, truth, arrays, place = example()

    assert (arrays["points"][place] == quantised(rows)).all()
    starts = arrays["starts"].tolist()
    assert starts == [0, *np.cumsum(np.bincount(truth))[:-1].tolist()]


def test_an_answer_is_the_same_alone_and_in_company() -> None:
    _, _, arrays, _ = example(50)
    memory, asked = Memory(arrays, CATEGORIES), directions(150, seed=3)

    together = memory(asked)

    alone = np.concatenate([memory(asked[number : number + 1]) for number in range(150)])
    assert (together == alone).all()


def test_answers_are_float16_values_and_finite_even_for_no_direction_at_all() -> None:
    _, _, arrays, _ = example()
    asked = np.concatenate([directions(5), np.zeros((1, DIMENSIONS), np.float32), 100 * directions(2)])

    found = Memory(arrays, CATEGORIES)(asked)

    assert np.isfinite(found).all()
    assert (found == found.astype(np.float16)).all()


def test_of_no_pictures_nothing_is_said() -> None:
    _, _, arrays, _ = example()

    assert Memory(arrays, CATEGORIES)(np.empty((0, DIMENSIONS), np.float32)).shape == (0, 3 * CATEGORIES)


def test_it_tells_how_large_it_is() -> None:
    _, _, arrays, _ = example()

    memory = Memory(arrays, CATEGORIES)

    assert (memory.dimensions, memory.size) == (DIMENSIONS, 9)


@given(st.lists(st.floats(-2, 2, width=32), min_size=1, max_size=8))
def test_small_whole_numbers_are_as_near_as_they_can_be(values: list[float]) -> None:
    found = quantised(np.array([values], np.float32)).astype(np.float64) / UNIT

    inside = np.clip(np.array([values]), -127 / UNIT, 127 / UNIT)
    assert np.abs(found - inside).max() <= 0.5 / UNIT + 1e-6


def test_a_category_of_one_picture_is_remembered() -> None:
    rows = directions(3)

    arrays, place = arrays_of(rows, np.array([2, 0, 1]), CATEGORIES)

    assert place.tolist() == [2, 0, 1]
    found = Memory(arrays, CATEGORIES)(rows, place)
    assert np.isfinite(found).all()
    assert (found[np.arange(3), [2, 0, 1]] == -1).all()  # there is nothing of it but the picture itself


@pytest.mark.parametrize("name", ["points", "starts"])
def test_an_array_that_is_missing_is_named(name: str) -> None:
    _, _, arrays, _ = example()
    arrays.pop(name)

    with pytest.raises(BundleError, match=f"the memory lacks {name}"):
        Memory(arrays, CATEGORIES)


@pytest.mark.parametrize(
    "damage",
    [
        {"points": np.zeros((20, DIMENSIONS), np.float32)},
        {"points": np.zeros(20, np.int8)},
        {"points": np.zeros((0, DIMENSIONS), np.int8)},
        {"starts": np.array([0, 7], np.int32)},
        {"starts": np.array([1, 7, 14], np.int32)},
        {"starts": np.array([0, 14, 7], np.int32)},
        {"starts": np.array([0, 7, 20], np.int32)},
        {"starts": np.array([0, 7, 2**31 - 1], np.int32)},
        {"starts": np.array([0, 7, 7], np.int32)},
    ],
)
def test_a_damaged_memory_is_refused(damage: dict[str, NDArray[Any]]) -> None:
    _, _, arrays, _ = example()

    with pytest.raises(BundleError, match="the memory is damaged: get the bundle again"):
        Memory(arrays | damage, CATEGORIES)

"""The forest: scikit-learn's answers without scikit-learn, and no array that could lead it astray."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from returnsd.errors import BundleError
from returnsd.forest import ARRAYS, Forest
from training.export import floor16, forest_arrays

Arrays = dict[str, NDArray[Any]]

CLASSES, FEATURES = 4, 6


def rows_of(count: int, features: int, seed: int, *, coarse: bool = False) -> NDArray[np.float32]:
    """Return (count, features) rows of float16 values; coarse ones share many of them with the thresholds."""
    dice = np.random.default_rng(seed)
    rows = dice.normal(0, 1, (count, features)) * 10.0 ** dice.integers(-3, 3, features)
    return (np.round(rows, 1) if coarse else rows).astype(np.float16).astype(np.float32)


def trained(classes: int = CLASSES, features: int = FEATURES, *, coarse: bool = False, **settings: Any) -> Any:
    rows = rows_of(max(300, 3 * classes), features, 1, coarse=coarse)
    truth = np.random.default_rng(2).permutation(np.arange(len(rows)) % classes)
    return RandomForestClassifier(**{"n_estimators": 15, "random_state": 3, **settings}).fit(rows, truth)


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    return forest_arrays(trained(n_estimators=3, max_depth=4))


# --- agreement


@pytest.mark.parametrize(
    ("classes", "settings"),
    [
        (4, {}),
        (4, {"coarse": True}),
        (4, {"min_samples_leaf": 10, "max_leaf_nodes": 20}),
        (4, {"max_depth": 1, "n_estimators": 1}),
        (4, {"bootstrap": False, "max_features": None, "criterion": "entropy"}),
        (2, {"n_estimators": 70}),
        (1, {}),
        (300, {"n_estimators": 3}),
    ],
    ids=["deep", "coarse", "shallow", "stump", "entropy", "two", "one category", "300 categories"],
)
def test_it_agrees_with_scikit_learn(classes: int, settings: dict[str, Any]) -> None:
    model = trained(classes, **settings)
    rows = rows_of(200, FEATURES, 9, coarse=settings.get("coarse", False))

    found = Forest(forest_arrays(model), classes, FEATURES).predict_proba(rows)

    np.testing.assert_allclose(found, model.predict_proba(rows), rtol=0, atol=1e-9)


@pytest.mark.parametrize("weight", ["balanced", "balanced_subsample", {0: 1, 1: 0.3, 2: 20, 3: 1e-3}])
def test_it_agrees_where_classes_were_weighted(weight: object) -> None:
    rows = rows_of(300, FEATURES, 1)
    truth = np.random.default_rng(2).choice(CLASSES, 300, p=[0.7, 0.2, 0.05, 0.05])
    model = RandomForestClassifier(15, random_state=3, min_samples_leaf=3, class_weight=weight).fit(rows, truth)
    arrays = forest_arrays(model)

    found = Forest(arrays, CLASSES, FEATURES).predict_proba(rows_of(200, FEATURES, 9))

    assert weight != "balanced_subsample" or arrays["leaf_count"].dtype == np.float32
    np.testing.assert_allclose(found, model.predict_proba(rows_of(200, FEATURES, 9)), rtol=0, atol=1e-6)


def test_it_agrees_where_a_feature_is_exactly_a_threshold() -> None:
    model = trained(coarse=True)
    arrays = forest_arrays(model)
    rows = rows_of(100, FEATURES, 9)
    splits = arrays["feature"] >= 0
    dice = np.random.default_rng(5)
    for row, at in enumerate(dice.choice(splits.sum(), 100)):
        rows[row, arrays["feature"][splits][at]] = arrays["threshold"][at]

    found = Forest(arrays, CLASSES, FEATURES).predict_proba(rows)

    np.testing.assert_allclose(found, model.predict_proba(rows), rtol=0, atol=1e-9)


def test_it_reaches_the_same_leaves_as_scikit_learn() -> None:
    model = trained()
    rows = rows_of(50, FEATURES, 9)
    forest = Forest(forest_arrays(model), CLASSES, FEATURES)

    leaves, theirs = forest.apply(rows), model.apply(rows)

    assert leaves.shape == (50, forest.trees)
    for tree in range(forest.trees):
        pairs = set(zip(leaves[:, tree].tolist(), theirs[:, tree].tolist(), strict=True))
        assert len(pairs) == len(np.unique(leaves[:, tree])) == len(np.unique(theirs[:, tree]))


def test_a_picture_is_told_the_same_alone_and_in_company(arrays: Arrays) -> None:
    forest = Forest(arrays, CLASSES, FEATURES)
    rows = rows_of(150, FEATURES, 9)

    together = forest.predict_proba(rows)

    alone = np.concatenate([forest.predict_proba(rows[i : i + 1]) for i in range(150)])
    assert (together == alone).all()


def test_of_no_pictures_nothing_is_said(arrays: Arrays) -> None:
    assert Forest(arrays, CLASSES, FEATURES).predict_proba(np.empty((0, FEATURES), np.float32)).shape == (
        0,
        CLASSES,
    )


@pytest.mark.parametrize("shape", [(3, FEATURES + 1), (3, FEATURES - 1), (FEATURES,), (1, 3, FEATURES)])
def test_rows_of_another_number_of_features_are_refused(shape: tuple[int, ...], arrays: Arrays) -> None:
    forest = Forest(arrays, CLASSES, FEATURES)

    with pytest.raises(ValueError, match=f"rows of {FEATURES} features are wanted"):
        forest.predict_proba(np.zeros(shape, np.float32))


LARGEST = float(np.finfo(np.float16).max)
THRESHOLDS = st.floats(-LARGEST, LARGEST) | st.floats(-LARGEST, LARGEST, width=16)


@pytest.mark.filterwarnings("ignore:overflow encountered in nextafter")
@given(st.lists(THRESHOLDS, min_size=1))
def test_a_rounded_threshold_decides_as_the_exact_one_for_every_float16(thresholds: list[float]) -> None:
    exact = np.array(thresholds)
    rounded = floor16(exact)
    near = exact.astype(np.float16)
    features = np.stack([near, np.nextafter(near, np.float16(-LARGEST)), np.nextafter(near, np.float16(LARGEST))])

    assert ((features.astype(np.float64) <= exact) == (features <= rounded)).all()


# --- damage


def refused(arrays: Mapping[str, NDArray[Any]]) -> str | None:
    """Return the words with which damaged arrays are refused; None if they lead to honest probabilities anyway."""
    try:
        forest = Forest(arrays, CLASSES, FEATURES)
    except BundleError as error:
        return str(error)
    found = forest.predict_proba(rows_of(8, FEATURES, 9))
    assert found.shape == (8, CLASSES)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=1), 1)
    return None


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_that_is_missing_is_named(name: str, arrays: Arrays) -> None:
    left = {other: array for other, array in arrays.items() if other != name}

    with pytest.raises(BundleError, match=f"lacks {name}: get the bundle again"):
        Forest(left, CLASSES, FEATURES)


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize(
    "damage",
    [
        lambda array: array[:-1],
        lambda array: array[:0],
        lambda array: np.append(array, array[-1:]),
        lambda array: array.reshape(1, -1),
        lambda array: array[0],
        lambda array: array.astype(str),
        lambda array: array.astype(complex),
    ],
    ids=["one short", "empty", "one more", "two dimensions", "none", "text", "complex"],
)
def test_an_array_of_another_form_is_refused(name: str, damage: Any, arrays: Arrays) -> None:
    said = refused({**arrays, name: damage(arrays[name])})

    assert said is not None
    assert said.startswith("the forest")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("nodes", [0, 1]),
        ("nodes", [-1]),
        ("nodes", [2**62, 2**62, 2**62, 2**62]),
        ("feature", [FEATURES]),
        ("feature", [-2]),
        ("feature", [2**32]),
        ("leaf_size", [0]),
        ("leaf_size", [-1]),
        ("leaf_size", [2**62, 2**62, 2**62, 2**62]),
        ("leaf_class", [CLASSES]),
        ("leaf_class", [-1]),
        ("leaf_class", [0.5]),
        ("leaf_count", [0]),
        ("leaf_count", [-1]),
        ("leaf_count", [np.nan]),
        ("leaf_count", [np.inf]),
        ("leaf_count", [1e300]),
        ("leaf_count", [-0.5]),
        ("threshold", [np.nan]),
    ],
)
def test_values_that_cannot_be_are_refused(name: str, values: list[float], arrays: Arrays) -> None:
    damaged = arrays[name].astype(np.result_type(arrays[name], np.array(values)))
    damaged[: len(values)] = values[: len(damaged)]

    assert refused({**arrays, name: damaged}) is not None


def test_sums_that_wrap_around_do_not_deceive(arrays: Arrays) -> None:
    nodes = np.array([2**63 - 1, 2**63 - 1, 2 + int(arrays["nodes"].sum())], np.int64)
    size = np.repeat(arrays["leaf_size"].astype(np.int64), 1)
    size[:3] += np.array([2**63 - 100, 2**63 - 100, 200])

    assert refused({**arrays, "nodes": nodes}) is not None
    assert refused({**arrays, "leaf_size": size}) is not None


def test_a_forest_without_trees_is_refused() -> None:
    empty = {name: np.empty(0, np.int64) for name in ARRAYS}

    assert refused(empty) is not None


@given(st.data())
def test_no_damage_leads_astray_or_round_in_circles(arrays: Arrays, data: st.DataObject) -> None:
    damaged = {name: array.copy() for name, array in arrays.items()}
    for name in data.draw(st.lists(st.sampled_from(ARRAYS), min_size=1, max_size=3)):
        array = damaged[name]
        for _ in range(data.draw(st.integers(1, 4))):
            array[data.draw(st.integers(0, len(array) - 1))] = data.draw(st.integers(0, 3) | st.integers(0, 120))
        if array.dtype.kind in "if" and data.draw(st.booleans()):
            array[data.draw(st.integers(0, len(array) - 1))] *= -1
        if data.draw(st.booleans()):
            damaged[name] = np.array(data.draw(st.permutations(array.tolist())), array.dtype)

    refused(damaged)


@given(st.data(), st.integers(1, 12))
def test_no_small_forest_of_any_shape_leads_astray(data: st.DataObject, count: int) -> None:
    feature = np.array(data.draw(st.lists(st.integers(-1, FEATURES - 1), min_size=count, max_size=count)), np.int16)
    leaves, splits = int((feature < 0).sum()), int((feature >= 0).sum())
    nodes = data.draw(st.lists(st.integers(1, count), min_size=1, max_size=4))
    random: Arrays = {
        "nodes": np.array(nodes, np.int32),
        "feature": feature,
        "threshold": np.zeros(splits, np.float16),
        "leaf_size": np.ones(leaves, np.uint8),
        "leaf_class": np.zeros(leaves, np.uint8),
        "leaf_count": np.ones(leaves, np.uint8),
    }

    refused(random)

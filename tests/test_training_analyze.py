"""Analysis: what matters is found to matter, what costs is timed, and what cannot be told is said."""

import json
from pathlib import Path

import cv2
import joblib
import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier

from returnsd.bundle import Bundle, forest_inputs
from returnsd.vision.extractor import Extractor
from tests.shop import CATEGORIES, shop_picture
from training import analyze, costs
from training.__main__ import main
from training.analyze import Inputs
from training.labels import DataError
from training.train import MODEL

PICTURES = [shop_picture(category, seed) for category in CATEGORIES for seed in range(100, 104)]


@pytest.fixture(scope="module")
def bundle(shop_work: Path) -> Bundle:
    return Bundle.load(shop_work / "model")


@pytest.fixture(scope="module")
def extractor(bundle: Bundle) -> Extractor:
    return Extractor.load(bundle.directory)


@pytest.fixture(scope="module")
def rows(bundle: Bundle, extractor: Extractor) -> NDArray[np.float32]:
    return forest_inputs(bundle.memory, np.stack([extractor(picture) for picture in PICTURES]))


def example() -> tuple[RandomForestClassifier, NDArray[np.float32], NDArray[np.int64]]:
    """Return a forest for which only the second of four inputs matters, and rows with their categories."""
    dice = np.random.default_rng(1)
    rows = dice.normal(0, 1, (400, 4)).astype(np.float32)
    truth = (rows[:, 1] > 0).astype(np.int64)
    return RandomForestClassifier(20, random_state=1, min_samples_leaf=5).fit(rows, truth), rows, truth


# --- what matters


def test_the_inputs_are_those_of_the_forest(
    bundle: Bundle, extractor: Extractor, rows: NDArray[np.float32]
) -> None:
    inputs = analyze.inputs_of(bundle, extractor)

    assert len(inputs.names) == rows.shape[1] == bundle.forest.features
    covered = sorted(number for family in inputs.families.values() for number in range(family.start, family.stop))
    assert covered == list(range(rows.shape[1]))
    assert inputs.names[-1] == "memory_nearest_Rings & Chains"
    assert set(inputs.families) == set(costs.MEMORY_FAMILIES)


def test_a_bundle_without_memory_has_the_features_as_its_inputs(tiny: Path) -> None:
    bundle, extractor = Bundle.load(tiny), Extractor.load(tiny)

    assert analyze.inputs_of(bundle, extractor) == Inputs(extractor.names, extractor.families)


def test_the_input_that_decides_is_worth_most_and_one_that_says_nothing_nothing() -> None:
    model, rows, truth = example()

    first, second, *_ = analyze.worth(model, rows, truth, {"idle": [0], "all": [1]}, seed=1, repeats=3)

    assert second.accuracy_lost == pytest.approx(0.5, abs=0.1)
    assert second.loss_gained > 1
    assert second.impurity > 0.9
    assert abs(first.accuracy_lost) < 0.02


def test_families_come_first_and_then_every_input() -> None:
    model, rows, truth = example()
    inputs = Inputs(("a", "b", "c", "d"), {"left": slice(0, 2), "right": slice(2, 4)})

    found = list(analyze.worths(model, inputs, rows, truth, seed=1, repeats=2))

    assert [one.name for one in found] == ["left", "right", "a", "b", "c", "d"]
    assert [one.inputs for one in found] == [2, 2, 1, 1, 1, 1]
    assert sum(one.impurity for one in found[2:]) == pytest.approx(1.0)


def test_the_same_seed_finds_the_same() -> None:
    model, rows, truth = example()

    first, second = (list(analyze.worth(model, rows, truth, {"all": [1]}, seed=3, repeats=2)) for _ in range(2))

    assert first == second


def test_a_forest_grown_without_what_decides_is_lost() -> None:
    _, rows, truth = example()

    found = dict(
        analyze.refitted(
            rows[:300],
            truth[:300],
            rows[300:],
            truth[300:],
            {"left": slice(0, 2), "right": slice(2, 4)},
            {"n_estimators": 20, "random_state": 1},
        )
    )

    assert found[""] > 0.9
    assert found["right"] > 0.9
    assert found["left"] < 0.7


def test_what_is_looked_at_is_permuted_before_the_memory_is_asked(bundle: Bundle, extractor: Extractor) -> None:
    seen = np.stack([extractor.row(picture) for picture in PICTURES])
    truth = np.repeat(np.arange(len(CATEGORIES)), 4)

    found = {one.name: one for one in analyze.sights(bundle, extractor, seen, truth, seed=1, repeats=3)}

    assert set(found) == set(analyze.sights_of(extractor))
    assert sum(one.inputs for one in found.values()) == extractor.width
    assert max(one.loss_gained for one in found.values()) > 0.05


# --- scikit-learn's forest


def test_the_forest_of_the_bundle_is_read(shop_work: Path, bundle: Bundle, rows: NDArray[np.float32]) -> None:
    model = analyze.load_model(shop_work / MODEL, bundle, rows)

    assert len(model.estimators_) == bundle.forest.trees


def test_the_forest_of_another_bundle_is_refused(bundle: Bundle, rows: NDArray[np.float32], tmp_path: Path) -> None:
    truth = np.repeat(np.arange(len(CATEGORIES)), 4)
    joblib.dump(RandomForestClassifier(5, random_state=2).fit(rows, truth), tmp_path / "same-form.joblib")
    joblib.dump(example()[0], tmp_path / "other-form.joblib")
    joblib.dump("no forest", tmp_path / "text.joblib")

    for name in ("same-form", "other-form", "text"):
        with pytest.raises(DataError, match=f"is not the forest of {bundle.id[:5]}"):
            analyze.load_model(tmp_path / f"{name}.joblib", bundle, rows)


@pytest.mark.parametrize("data", [None, b"junk"])
def test_a_forest_that_cannot_be_read_is_a_clear_error(
    data: bytes | None, bundle: Bundle, rows: NDArray[np.float32], tmp_path: Path
) -> None:
    if data is not None:
        (tmp_path / "a.joblib").write_bytes(data)

    with pytest.raises(DataError, match="run `python -m training train` again"):
        analyze.load_model(tmp_path / "a.joblib", bundle, rows)


# --- what it costs


def test_every_family_and_every_step_has_a_cost(bundle: Bundle, extractor: Extractor) -> None:
    with np.load(bundle.directory / "features.npz") as stored:
        arrays = dict(stored)

    families, steps = costs.costs(bundle, arrays, PICTURES[:6])

    assert set(families) == {*analyze.sights_of(extractor), *costs.MEMORY_FAMILIES}
    assert all(cost.saved_ms >= cost.own_ms >= 0 for cost in families.values())
    assert [step.name for step in steps] == [
        "views", "basic", "grids", "gradients", "colours", "directions", "memory", "forest"
    ]  # fmt: skip
    assert all(step.own_ms >= 0 for step in steps)
    assert sum(step.own_ms for step in steps) > 0


def test_a_bundle_with_basic_features_alone_can_be_timed(tiny: Path) -> None:
    with np.load(tiny / "features.npz") as stored:
        families, steps = costs.costs(Bundle.load(tiny), dict(stored), PICTURES[:3])

    assert set(families) == set(Extractor.load(tiny).families)
    assert [step.name for step in steps] == ["views", "basic", "directions", "forest"]


def test_timing_leaves_the_number_of_threads_as_it_was(tiny: Path) -> None:
    before = cv2.getNumThreads()

    with np.load(tiny / "features.npz") as stored:
        costs.costs(Bundle.load(tiny), dict(stored), PICTURES[:2])

    assert cv2.getNumThreads() == before


def test_more_work_takes_more_milliseconds() -> None:
    little, much = (costs.timed_ms(lambda count: sum(range(count)), [count] * 5) for count in (1_000, 200_000))

    assert 0 < little < much < 1000


# --- the step


def test_the_step_leaves_a_report_and_its_numbers(shop_work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["analyze", "--work", str(shop_work), "--jobs", "1", "--repeats", "1", "--refit", "5"]

    assert main(asked) == 0

    text = (shop_work / "reports/analyze.html").read_text()
    told = json.loads((shop_work / "reports/analyze.json").read_text())
    for words in ("What matters", "Where the time goes", "memory_nearest", "What it looks at", "are few"):
        assert words in text
    assert {"palette", "gradients"} < {one["name"] for one in told["looked_at"]}
    assert len(told["inputs"]) == sum(family["inputs"] for family in told["families"])
    assert set(told["accuracy_refitted_without"]) == {"", *(family["name"] for family in told["families"])}
    assert "points without what it says" in capsys.readouterr().out

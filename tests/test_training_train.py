"""Training: from a folder of pictures to a bundle that is served, again and again the same."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from returnsd import config as configuration
from returnsd.bundle import Bundle, forest_inputs
from returnsd.classify import classify
from returnsd.vision.decode import DecodeLimits, decode
from returnsd.vision.extractor import Extractor
from tests.shop import CATEGORIES, draw_shop, shop_jpeg, shop_picture
from training import prepare, search, train
from training.__main__ import main
from training.export import forest_arrays
from training.extract import Store
from training.grow import grow
from training.labels import DataError
from training.prepare import Entry


def hashes(work: Path, name: str = "model") -> dict[str, str]:
    """Return the SHA-256 of each file of a bundle and of scikit-learn's forest."""
    files = [*sorted((work / name).iterdir()), work / train.MODEL]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def card(work: Path, name: str = "model") -> Any:
    return json.loads((work / name / "card.json").read_text())


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_shop(tmp_path_factory.mktemp("drawn") / "pictures", 14, CATEGORIES[:3])


def fast(pictures: Path, work: Path, *options: str, jobs: int = 1) -> int:
    """Take pictures through the steps with a model of kind fast; return the last exit code."""
    place = ["--work", str(work), "--jobs", str(jobs)]
    assert main(["prepare", str(pictures), *place]) == 0
    assert main(["extract", "--kind", "fast", *place]) == 0
    return main(["train", "--kind", "fast", "--trees", "15", *options, *place])


@pytest.fixture(scope="module")
def fast_work(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("fast")
    assert fast(pictures, work) == 0
    return work


# --- what comes out


def test_a_model_of_kind_best_knows_pictures_it_has_not_seen(shop_work: Path) -> None:
    bundle, extractor = Bundle.load(shop_work / "model"), Extractor.load(shop_work / "model")
    rows = np.stack(
        [extractor(shop_picture(category, seed)) for category in CATEGORIES for seed in range(200, 210)]
    )

    said = bundle.predict_proba(rows).argmax(axis=1)

    assert bundle.categories == CATEGORIES
    assert bundle.memory is not None
    assert (said == np.repeat(np.arange(len(CATEGORIES)), 10)).mean() > 0.7


def test_the_service_judges_by_it_with_one_line_of_configuration(shop_work: Path, tmp_path: Path) -> None:
    (tmp_path / "mug.jpg").write_bytes(shop_jpeg("Mugs", 300))
    config = configuration.parse(f"model: {{bundle: {shop_work}/model, target_accuracy: 0.6}}", tmp_path)

    (answer,) = classify(config, [tmp_path / "mug.jpg"])

    assert {category for category, _ in answer.probabilities} == set(CATEGORIES)
    assert answer.reason in ("confident", "below_threshold", "ambiguous_within_group", "no_certified_threshold")


def test_the_card_tells_how_it_was_made(shop_work: Path) -> None:
    told = card(shop_work)

    assert told["trained_by"] == "python -m training train --trees 30 --group Mugs=Books"
    assert told["groups"] == [["Mugs", "Books"]]
    assert told["forest"]["n_estimators"] == 30
    assert 0.5 < told["forest"]["out_of_bag_accuracy"] <= 1
    assert told["data"]["train"] == sum(e.split == "train" for e in prepare.read(shop_work / "manifest.csv"))
    assert {"numpy", "opencv", "python", "scikit-learn"} <= set(told["libraries"])


def test_scikit_learns_forest_lies_beside_it_and_says_the_same(shop_work: Path) -> None:
    bundle, extractor = Bundle.load(shop_work / "model"), Extractor.load(shop_work / "model")
    model = joblib.load(shop_work / train.MODEL)
    rows = forest_inputs(bundle.memory, np.stack([extractor(shop_picture(category, 1)) for category in CATEGORIES]))

    np.testing.assert_allclose(bundle.forest.predict_proba(rows), model.predict_proba(rows), atol=1e-6)


def test_every_step_leaves_a_report(shop_work: Path) -> None:
    assert main(["evaluate", "--work", str(shop_work), "--jobs", "1"]) == 0

    found = {path.name for path in (shop_work / "reports").iterdir()}
    assert {"prepare.html", "extract.html", "train.html", "evaluate.html", "evaluate.json"} <= found
    assert "Out of bag" in (shop_work / "reports/train.html").read_text()
    assert "With grouped categories taken as one" in (shop_work / "reports/evaluate.html").read_text()


def test_evaluation_is_on_the_test_split_alone(shop_work: Path) -> None:
    assert main(["evaluate", "--work", str(shop_work), "--jobs", "1"]) == 0

    told = json.loads((shop_work / "reports/evaluate.json").read_text())
    assert told["figures"]["count"] == sum(e.split == "test" for e in prepare.read(shop_work / "manifest.csv"))
    assert told["grouped"]["accuracy"] >= told["figures"]["accuracy"]


# --- the same again


def test_the_same_data_and_seed_give_the_same_bytes_from_the_first_step_on(
    pictures: Path, fast_work: Path, tmp_path: Path
) -> None:
    assert fast(pictures, tmp_path, jobs=2) == 0

    theirs = hashes(fast_work)
    theirs.pop(train.MODEL)  # it remembers how many processes grew it
    ours = hashes(tmp_path)
    ours.pop(train.MODEL)
    assert ours == theirs


def test_a_model_of_kind_best_comes_out_the_same_without_what_was_kept(shop_work: Path, tmp_path: Path) -> None:
    shutil.copytree(shop_work, tmp_path / "work", ignore=shutil.ignore_patterns("remembered", "model", "reports"))

    assert (
        main(["train", "--trees", "30", "--group", "Mugs=Books", "--work", str(tmp_path / "work"), "--jobs", "1"])
        == 0
    )

    assert hashes(tmp_path / "work") == hashes(shop_work)


def test_another_seed_gives_another_model(pictures: Path, fast_work: Path, tmp_path: Path) -> None:
    shutil.copytree(fast_work, tmp_path / "work")

    assert main(["train", "--kind", "fast", "--trees", "15", "--seed", "2", "--work", str(tmp_path / "work")]) == 0

    assert hashes(tmp_path / "work")["forest.npz"] != hashes(fast_work)["forest.npz"]


# --- class weights and search


def test_class_weights_survive_the_export(fast_work: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(fast_work, work)

    assert main(["train", "--kind", "fast", "--class-weight", "balanced_subsample", "--work", str(work)]) == 0

    bundle, extractor = Bundle.load(work / "model"), Extractor.load(work / "model")
    rows = forest_inputs(bundle.memory, np.stack([extractor(shop_picture("Mugs", seed)) for seed in range(9)]))
    model = joblib.load(work / train.MODEL)
    assert model.class_weight == "balanced_subsample"
    np.testing.assert_allclose(bundle.forest.predict_proba(rows), model.predict_proba(rows), atol=1e-6)


def test_a_search_chooses_settings_and_tells_what_it_tried(fast_work: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    shutil.copytree(fast_work, work)

    asked = ["train", "--kind", "fast", "--trees", "15", "--search", "--jobs", "1", "--work", str(work)]
    assert main(asked) == 0

    told = card(work)
    assert told["forest"]["n_estimators"] == 15
    best = told["search"]["tried"][0]
    assert len(told["search"]["tried"]) == search.combinations()
    assert {name: told["forest"][name] for name in search.GRID} == {name: best[name] for name in search.GRID}
    assert "What the search tried" in (work / "reports/train.html").read_text()


@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
@pytest.mark.parametrize("weight", [None, "balanced", "balanced_subsample"])
@pytest.mark.parametrize("trees", [3, 10, 25])
def test_a_forest_grown_step_by_step_is_the_one_grown_at_once(trees: int, weight: str | None) -> None:
    rows, truth = example(200)
    parameters = {"n_estimators": trees, "random_state": 5, "class_weight": weight, "oob_score": True}

    grown = grow(parameters, rows, truth)

    at_once = RandomForestClassifier(**parameters).fit(rows, truth)
    ours, theirs = forest_arrays(grown), forest_arrays(at_once)
    assert all((ours[name] == theirs[name]).all() for name in theirs)
    assert grown.oob_score_ == at_once.oob_score_
    assert grown.get_params() == at_once.get_params()


def example(count: int) -> tuple[Any, Any]:
    dice = np.random.default_rng(1)
    truth = dice.integers(0, 3, count)
    rows = dice.normal(0, 1, (count, 12)).astype(np.float32)
    rows[:, 0] += truth
    return rows, truth


SMALL: dict[str, tuple[Any, ...]] = {"min_samples_leaf": (1, 8, 30), "max_features": ("sqrt", 1.0)}


def test_many_pictures_are_searched_by_halving() -> None:
    found = search.search(*example(300), seed=1, jobs=1, grid=SMALL, few=200)

    assert found.method == "successive halving"
    assert len(found.tried) == 6
    assert [one["trees"] for one in found.tried] == sorted((one["trees"] for one in found.tried), reverse=True)
    assert found.best == {name: found.tried[0][name] for name in SMALL}


def test_the_same_search_finds_the_same() -> None:
    first, second = (search.search(*example(150), seed=1, jobs=1, grid=SMALL) for _ in range(2))

    assert first == second
    assert first.method == "every combination"


def test_a_single_picture_of_a_category_cannot_be_searched() -> None:
    rows, truth = example(50)
    truth[:] = 0
    truth[7] = 2

    with pytest.raises(DataError, match="a single training picture"):
        search.search(rows, truth, seed=1, jobs=1, grid=SMALL)


# --- what cannot be trained


def entries(*labels: str, split: str = "train") -> list[Entry]:
    return [Entry(f"/{n}.jpg", label, f"{n:064x}", "", split, "") for n, label in enumerate(labels)]


def test_one_category_only_is_a_clear_error() -> None:
    with pytest.raises(DataError, match="one category only: there is nothing to tell apart"):
        train.categories_of(entries("Mugs", "Mugs"))


def test_a_split_without_features_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="no picture of the test split has features: run `python -m training extract`"
    ):
        train.side(entries("Mugs", "Books", split="test"), Store(tmp_path, 3), "test")


def test_pictures_that_could_not_be_described_are_passed_over(tmp_path: Path) -> None:
    store, listed = Store(tmp_path, 3), entries("Mugs", "Books", "Mugs")
    store.append([listed[0].sha256, listed[1].sha256], np.zeros((2, 3), np.float32))

    side = train.side(listed, store, "train")

    assert side.names == [listed[0].sha256, listed[1].sha256]
    assert side.truth.tolist() == [1, 0]
    assert side.paths == ["/0.jpg", "/1.jpg"]


def test_the_fingerprint_of_the_data_does_not_know_where_they_lie() -> None:
    there = [Entry("/elsewhere.jpg", e.label, e.sha256, e.group, e.split, "") for e in entries("Mugs", "Books")]

    assert train.data_fingerprint(there) == train.data_fingerprint(entries("Mugs", "Books"))
    assert train.data_fingerprint(there) != train.data_fingerprint(entries("Books", "Mugs"))


def test_a_picture_is_described_alike_alone_and_from_the_store(shop_work: Path) -> None:
    bundle = Bundle.load(shop_work / "model")
    extractor = Extractor.load(bundle.directory)
    (folder,) = (shop_work / "features").iterdir()
    store = Store(folder, extractor.width)
    entry = next(e for e in prepare.read(shop_work / "manifest.csv") if e.split == "test")

    stored = train.features(extractor, store, [entry.sha256])[0]

    alone = extractor(decode(Path(entry.path).read_bytes(), DecodeLimits()))
    np.testing.assert_allclose(stored, alone, rtol=2e-3, atol=2e-3)  # one float16 step apart at most

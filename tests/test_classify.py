"""Classify: what the service would say of any file, in order, touching nothing."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from returnsd import classify as module
from returnsd import config as configuration
from returnsd.classify import Answer, classify
from returnsd.config import Config
from returnsd.errors import ConfigError
from returnsd.records import Shelf
from tests.installation import HerePool
from tests.tiny import CATEGORIES, tiny_jpeg


@pytest.fixture
def config(tmp_path: Path, tiny: Path) -> Config:
    """With decoders in this process: what a jail and a process of their own change is tested elsewhere."""
    return configuration.parse(f"model: {{bundle: {tiny}, target_accuracy: 0.9}}", tmp_path)


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stoppable(HerePool):
        def stop(self) -> None:
            self.jobs.clear()

    monkeypatch.setattr(module, "start_pool", lambda config, directory: Stoppable(directory))


def picture(folder: Path, name: str = "a.jpg", category: str = "stripes", seed: int = 3) -> Path:
    path = folder / name
    path.write_bytes(tiny_jpeg(category, seed))
    return path


def test_an_answer_names_every_category_best_first(config: Config, tmp_path: Path) -> None:
    (answer,) = classify(config, [picture(tmp_path)])

    categories = [category for category, _ in answer.probabilities]
    shares = [share for _, share in answer.probabilities]
    assert (answer.shelf, answer.reason, categories[0]) == (Shelf.ARCHIVE, "confident", "stripes")
    assert sorted(categories) == sorted(CATEGORIES)
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1.0)
    assert answer.shortlist[0] == "stripes"


def test_the_shelf_is_the_one_that_the_configuration_leads_to(config: Config, tmp_path: Path) -> None:
    model = replace(config.model, threshold=1.0)
    path = picture(tmp_path, category="dots")

    (answer,) = classify(replace(config, model=model), [path])

    assert (answer.shelf, answer.reason) == (Shelf.REVIEW, "below_threshold")


def test_answers_come_in_the_order_of_the_files_however_many(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 3)
    paths = [picture(tmp_path, f"{number}.jpg", CATEGORIES[number % 3], number) for number in range(7)]
    paths.insert(4, tmp_path / "missing.jpg")

    answers = list(classify(config, paths))

    assert [answer.file for answer in answers] == [str(path) for path in paths]
    assert [answer.shelf for answer in answers].count(Shelf.REJECTED) == 1


def test_the_first_answers_come_before_the_last_files_are_read(config: Config, tmp_path: Path) -> None:
    paths = [picture(tmp_path, f"{number}.jpg") for number in range(module._AT_ONCE + 1)]

    answers = classify(config, paths)
    first = next(answers)
    paths[-1].unlink()
    *_, last = answers

    assert first.shelf is Shelf.ARCHIVE
    assert last.reason == "not_readable"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "not_readable"),
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_bytes(b"no picture at all"), "not_a_picture"),
        (lambda path: path.write_bytes(tiny_jpeg("dots", 1)[:-200]), "incomplete"),
        (lambda path: os.truncate(picture(path.parent, path.name), 3 << 20), "too_large"),
        (Path.mkdir, "not_a_regular_file"),
        (os.mkfifo, "not_a_regular_file"),
    ],
)
def test_what_cannot_be_seen_is_answered_with_the_reason(
    make: Callable[[Path], object], reason: str, config: Config, tmp_path: Path
) -> None:
    make(tmp_path / "it")

    (answer,) = classify(replace(config, limits=replace(config.limits, file_mib=2)), [tmp_path / "it"])

    assert (answer.shelf, answer.reason) == (Shelf.REJECTED, reason)
    assert (answer.probabilities, answer.shortlist) == ((), ())


def test_an_answer_for_machines_names_the_same_things_whatever_came_out() -> None:
    seen = Answer(
        "a.jpg", Shelf.ARCHIVE, "confident", "", ("dots",), (("dots", 0.75), ("noise", 0.25)), 1.23456, 2.0
    )
    rejected = Answer("b.jpg", Shelf.REJECTED, "empty", "", (), (), 0.0, 0.0)

    assert seen.as_json() == {
        "file": "a.jpg",
        "category": "dots",
        "confidence": 0.75,
        "shelf": "archive",
        "reason": "confident",
        "detail": "",
        "shortlist": ["dots"],
        "probabilities": {"dots": 0.75, "noise": 0.25},
        "decode_ms": 1.235,
        "feature_ms": 2.0,
    }
    assert rejected.as_json().keys() == seen.as_json().keys()
    assert (rejected.as_json()["category"], rejected.as_json()["confidence"]) == (None, None)


def test_nothing_is_written_anywhere(config: Config, tmp_path: Path) -> None:
    path = picture(tmp_path)
    before = (sorted(tmp_path.rglob("*")), path.stat().st_mtime_ns, path.read_bytes())

    list(classify(config, [path]))

    assert (sorted(tmp_path.rglob("*")), path.stat().st_mtime_ns, path.read_bytes()) == before


def test_without_a_model_the_configuration_is_to_blame(config: Config, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.bundle: no bundle is called 'nothing'"):
        list(classify(replace(config, model=replace(config.model, bundle="nothing")), [tmp_path / "a.jpg"]))

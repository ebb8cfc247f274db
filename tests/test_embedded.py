"""The bundles in the package: whole, as small as promised, made by this code, and as good as the README says."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from returnsd.bundle import EMBEDDED, Bundle
from returnsd.config import Config
from returnsd.models import check_bundle
from training import evaluate, extract, labels, prepare, train
from training.picture_steps import opened, stored_arrays

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Promise:
    """What a bundle must reach on the test split, and how large it may be, in bytes; its column in the README."""

    column: int
    accuracy: float
    macro_f1: float
    archived: float
    size: int


PROMISES = {
    "retail21": Promise(1, accuracy=0.42, macro_f1=0.41, archived=0.08, size=20_000_000),
    "retail21-fast": Promise(2, accuracy=0.36, macro_f1=0.35, archived=0.0, size=10_000_000),
}


def told(line: str, column: int) -> float:
    """Return the number in that column of the README's table of figures, per cents as shares."""
    (row,) = re.findall(rf"^\| {re.escape(line)} \|(.+)\|$", README, re.MULTILINE)
    text = row.split("|")[column - 1].strip()
    number = float(text.split()[0])
    return number / 100 if text.endswith("%") else number


@pytest.mark.parametrize("name", PROMISES)
def test_it_works_here_and_is_small_enough(name: str) -> None:
    said = check_bundle(Config(), name)

    assert "whole, sees its known picture rightly" in said
    assert sum(path.stat().st_size for path in (EMBEDDED / name).iterdir()) <= PROMISES[name].size


@pytest.mark.parametrize("name", PROMISES)
def test_its_card_tells_the_command_and_no_place(name: str) -> None:
    card = Bundle.load(EMBEDDED / name).card

    assert card["trained_by"].startswith("python -m training train ")
    assert f"--name {name} " in card["trained_by"]
    assert not re.search(r"(^|[ '=])/", card["trained_by"])  # no path of the machine that trained it
    assert card["metrics"]["validation"]["count"] > 1000


@pytest.fixture(scope="module")
def entries(shared_data: Path) -> list[prepare.Entry]:
    """The manifest's lines, as `python -m training prepare` makes them."""
    retail = shared_data / "retail21"
    pictures, faults = labels.read(retail / "train_images", retail / "styles.csv", "ImgId", "categories")
    assert not faults
    return prepare.prepare(pictures, seed=1, jobs=os.cpu_count() or 1)


@pytest.mark.shared
@pytest.mark.parametrize("name", PROMISES)
def test_it_is_as_good_as_the_readme_says(name: str, entries: list[prepare.Entry], tmp_path: Path) -> None:
    bundle, promise = Bundle.load(EMBEDDED / name), PROMISES[name]
    extractor, store = opened(tmp_path, stored_arrays(bundle), dict(bundle.card["features"]))
    test = [entry for entry in entries if entry.split == "test"]
    failures = list(extract.extract(store, test, extractor, jobs=os.cpu_count() or 1))
    side = train.side(entries, store, "test")

    figures, _ = evaluate.measure(bundle, train.features(extractor, store, side.names), side.truth, 0.94)

    assert not any(failures)
    assert bundle.card["data"]["fingerprint"] == train.data_fingerprint(entries)  # learnt from this very split
    assert figures.count >= 4000
    assert figures.accuracy >= promise.accuracy
    assert figures.macro_f1 >= promise.macro_f1
    assert figures.archived >= promise.archived
    assert figures.archived_accuracy is not None
    assert figures.archived_accuracy >= 0.94
    assert figures.accuracy == pytest.approx(told("accuracy, all pictures", promise.column), abs=0.002)
    assert figures.macro_f1 == pytest.approx(told("macro-F1", promise.column), abs=0.002)
    archived = told("archived without a person at a certified 94 %", promise.column)
    assert figures.archived == pytest.approx(archived, abs=0.002)
    assert figures.archived_accuracy == pytest.approx(told("of these, right", promise.column), abs=0.003)
    assert figures.top_3 == pytest.approx(
        told("the right category among the best three", promise.column), abs=0.002
    )

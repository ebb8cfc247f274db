"""Harvest: every decision of an installation ends in exactly one table, whatever is interrupted."""

import csv
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from returnsd import config as configuration
from returnsd import review
from returnsd.config import Paths
from returnsd.ledger import LEDGER, Ledger
from returnsd.records import Shelf
from returnsd.spool import Spool
from tests.examples import NOON, example_id, file_away
from training import harvest, labels
from training.__main__ import main
from training.harvest import Harvest, Line
from training.labels import DataError

CATEGORIES = ("dots", "noise", "stripes")


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return configuration.default(tmp_path).paths


@pytest.fixture
def spool(paths: Paths) -> Spool:
    return Spool(paths)


@pytest.fixture
def ledger(spool: Spool) -> Iterator[Ledger]:
    ledger = Ledger(spool.paths.state / LEDGER)
    yield ledger
    ledger.close()


def decide(spool: Spool, ledger: Ledger, number: int, category: str | None, minutes: int = 0) -> None:
    review.decide(
        spool,
        ledger,
        example_id(number),
        category,
        by="anna",
        decided_at=NOON + timedelta(hours=1, minutes=minutes),
        categories=CATEGORIES,
    )


def withdraw(spool: Spool, ledger: Ledger, number: int) -> None:
    review.withdraw(spool, ledger, example_id(number), by="anna", decided_at=NOON + timedelta(hours=1, minutes=30))


def archive(spool: Spool, ledger: Ledger, number: int) -> None:
    file_away(spool, ledger, number, shelf=Shelf.ARCHIVE, reason="confident", category="dots", confidence=0.99)


def reap(paths: Paths, table: Path, *, archived: bool = False) -> Harvest:
    return harvest.harvest(paths, table, archived=archived)


def numbers(found: Harvest) -> list[str]:
    return [Path(line.path).name.split("_", 1)[1] for line in found.lines]


def test_decisions_become_lines_that_prepare_reads(
    spool: Spool, ledger: Ledger, paths: Paths, tmp_path: Path
) -> None:
    for number, category in ((1, "stripes"), (2, "dots")):
        file_away(spool, ledger, number)
        decide(spool, ledger, number, category, minutes=number)

    found = reap(paths, tmp_path / "a.csv")

    read, faults = labels.read(None, tmp_path / "a.csv", "path", "label")
    assert [one.label for one in read] == ["stripes", "dots"]
    assert [one.path.read_bytes() for one in read] == [b"picture 1", b"picture 2"]
    assert faults == []
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "label", "item_id", "decided_at"]
    assert rows[0]["decided_at"] == (NOON + timedelta(hours=1, minutes=1)).isoformat()
    assert found.decisions == (1, 2)


def test_each_decision_is_in_one_table_only(spool: Spool, ledger: Ledger, paths: Paths, tmp_path: Path) -> None:
    file_away(spool, ledger, 1)
    decide(spool, ledger, 1, "stripes")
    first = reap(paths, tmp_path / "a.csv")
    file_away(spool, ledger, 2)
    decide(spool, ledger, 2, "dots")

    second, third = reap(paths, tmp_path / "b.csv"), reap(paths, tmp_path / "c.csv")

    assert (numbers(first), numbers(second), numbers(third)) == (["1.jpg"], ["2.jpg"], [])
    assert not (tmp_path / "c.csv").exists()


def test_what_people_rejected_took_back_or_left_waiting_is_not_harvested(
    spool: Spool, ledger: Ledger, paths: Paths, tmp_path: Path
) -> None:
    for number in range(1, 5):
        file_away(spool, ledger, number)
    decide(spool, ledger, 1, None)
    decide(spool, ledger, 2, "dots")
    withdraw(spool, ledger, 2)
    decide(spool, ledger, 3, "dots")

    assert numbers(reap(paths, tmp_path / "a.csv")) == ["3.jpg"]


def test_a_decision_taken_anew_is_the_one_that_counts(
    spool: Spool, ledger: Ledger, paths: Paths, tmp_path: Path
) -> None:
    file_away(spool, ledger, 1)
    decide(spool, ledger, 1, "dots")
    withdraw(spool, ledger, 1)
    decide(spool, ledger, 1, "stripes", minutes=40)

    found = reap(paths, tmp_path / "a.csv")

    assert [line.label for line in found.lines] == ["stripes"]
    assert found.decisions == (3,)


def test_archived_items_are_taken_only_when_asked_for_and_never_after_a_decision(
    spool: Spool, ledger: Ledger, paths: Paths, tmp_path: Path
) -> None:
    for number in (1, 2, 3):
        archive(spool, ledger, number)
    decide(spool, ledger, 2, "stripes")
    decide(spool, ledger, 3, None)

    decided = reap(paths, tmp_path / "a.csv")
    archived = reap(paths, tmp_path / "b.csv", archived=True)
    again = reap(paths, tmp_path / "c.csv", archived=True)

    assert [(Path(line.path).name[-5:], line.label) for line in decided.lines] == [("2.jpg", "stripes")]
    assert [(Path(line.path).name[-5:], line.label, line.decided_at) for line in archived.lines] == [
        ("1.jpg", "dots", "")
    ]
    assert again.lines == ()


def test_earlier_lines_that_no_longer_hold_are_named(
    spool: Spool, ledger: Ledger, paths: Paths, tmp_path: Path
) -> None:
    for number in (1, 2):
        file_away(spool, ledger, number)
        decide(spool, ledger, number, "dots")
    reap(paths, tmp_path / "a.csv")
    withdraw(spool, ledger, 1)
    withdraw(spool, ledger, 2)
    decide(spool, ledger, 2, "stripes", minutes=40)

    found = reap(paths, tmp_path / "b.csv")

    assert found.void == (example_id(1), example_id(2))
    assert numbers(found) == ["2.jpg"]
    assert "2 items of earlier tables were decided anew or taken back" in harvest.summary(found)[-1]


def test_of_an_item_in_several_tables_the_last_decision_is_read(
    spool: Spool, ledger: Ledger, paths: Paths, tmp_path: Path
) -> None:
    archive(spool, ledger, 1)
    reap(paths, tmp_path / "a.csv", archived=True)
    decide(spool, ledger, 1, "stripes")
    reap(paths, tmp_path / "b.csv")

    read = list(harvest.read([tmp_path / "b.csv", tmp_path / "a.csv"]))

    assert [line.label for line in read] == ["stripes"]


def test_a_file_that_is_gone_is_passed_over_and_harvested_once_it_is_back(
    spool: Spool, ledger: Ledger, paths: Paths, tmp_path: Path
) -> None:
    file_away(spool, ledger, 1)
    decide(spool, ledger, 1, "dots")
    (place,) = paths.archive.rglob("*.jpg")
    place.rename(tmp_path / "aside.jpg")

    found = reap(paths, tmp_path / "a.csv")
    (tmp_path / "aside.jpg").rename(place)

    assert found.passed_over == (f"{example_id(1)}: its file is not where it was decided to be",)
    assert numbers(reap(paths, tmp_path / "a.csv")) == ["1.jpg"]


def test_a_table_that_exists_is_not_overwritten(spool: Spool, ledger: Ledger, paths: Paths, tmp_path: Path) -> None:
    file_away(spool, ledger, 1)
    decide(spool, ledger, 1, "dots")
    (tmp_path / "a.csv").write_text("precious")

    with pytest.raises(DataError, match="exists: give another name"):
        reap(paths, tmp_path / "a.csv")

    assert (tmp_path / "a.csv").read_text() == "precious"
    assert numbers(reap(paths, tmp_path / "b.csv")) == ["1.jpg"]


def test_a_harvest_that_died_before_its_note_is_as_if_it_had_never_been(
    spool: Spool, ledger: Ledger, paths: Paths, tmp_path: Path
) -> None:
    file_away(spool, ledger, 1)
    decide(spool, ledger, 1, "dots")
    (tmp_path / ".a.csv.harvest").write_text("a draft")

    assert numbers(reap(paths, tmp_path / "a.csv")) == ["1.jpg"]
    assert not (tmp_path / ".a.csv.harvest").exists()


def test_a_harvest_that_died_after_its_note_is_finished_by_the_next(
    spool: Spool, ledger: Ledger, paths: Paths, tmp_path: Path
) -> None:
    file_away(spool, ledger, 1)
    decide(spool, ledger, 1, "dots")
    reap(paths, tmp_path / "a.csv")
    whole = (tmp_path / "a.csv").read_bytes()
    (tmp_path / "a.csv").rename(tmp_path / ".a.csv.harvest")  # what a crash before the last step leaves

    found = reap(paths, tmp_path / "b.csv")

    assert found.lines == ()
    assert (tmp_path / "a.csv").read_bytes() == whole


def test_a_name_that_was_taken_meanwhile_is_a_clear_error_and_nothing_is_lost(
    spool: Spool, ledger: Ledger, paths: Paths, tmp_path: Path
) -> None:
    file_away(spool, ledger, 1)
    decide(spool, ledger, 1, "dots")
    reap(paths, tmp_path / "a.csv")
    (tmp_path / "a.csv").rename(tmp_path / ".a.csv.harvest")
    (tmp_path / "a.csv").write_text("a stranger's")

    with pytest.raises(DataError, match="taken by another file: move that away"):
        reap(paths, tmp_path / "b.csv")
    (tmp_path / "a.csv").unlink()
    reap(paths, tmp_path / "b.csv")

    assert "dots" in (tmp_path / "a.csv").read_text()


def test_two_harvests_at_once_share_the_decisions(
    spool: Spool, ledger: Ledger, paths: Paths, tmp_path: Path
) -> None:
    for number in range(1, 21):
        file_away(spool, ledger, number)
        decide(spool, ledger, number, "dots", minutes=number)
    found: list[Harvest] = []

    threads = [
        threading.Thread(target=lambda n=n: found.append(reap(paths, tmp_path / f"{n}.csv"))) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    seqs = [seq for one in found for seq in one.decisions]
    assert sorted(seqs) == list(range(1, 21))


def test_a_damaged_note_is_a_clear_error(spool: Spool, ledger: Ledger, paths: Paths, tmp_path: Path) -> None:
    (paths.state / harvest.NOTE).write_text('{"tables": 3}')

    with pytest.raises(DataError, match=r"harvested\.json is damaged .* to harvest every decision again"):
        reap(paths, tmp_path / "a.csv")


def test_without_a_ledger_nothing_is_created(tmp_path: Path) -> None:
    paths = configuration.default(tmp_path / "typo").paths

    with pytest.raises(DataError, match="holds no ledger"):
        reap(paths, tmp_path / "a.csv")

    assert not (tmp_path / "typo").exists()


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("ImgId,categories\n1,A\n")

    with pytest.raises(DataError, match=r"t\.csv is no table of `harvest`"):
        list(harvest.read([tmp_path / "t.csv"]))


def test_the_step_harvests_by_the_installations_configuration(
    spool: Spool, ledger: Ledger, paths: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file_away(spool, ledger, 1)
    decide(spool, ledger, 1, "dots")
    (tmp_path / "config.yaml").write_text("")

    codes = [
        main(["harvest", str(tmp_path / name), "--config", str(tmp_path / "config.yaml")]) for name in ("a", "b")
    ]

    said = capsys.readouterr().out
    assert codes == [0, 0]
    assert "1 decisions, 0 archived items" in said
    assert "nothing new: no table was written" in said
    note = json.loads((paths.state / harvest.NOTE).read_text())
    assert note["tables"] == [{"table": str(tmp_path / "a"), "decisions": [1], "items": [example_id(1)]}]


def test_a_configuration_that_is_not_there_is_a_clear_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["harvest", str(tmp_path / "a.csv"), "--config", str(tmp_path / "none.yaml")]) == 1

    assert "none.yaml cannot be read" in capsys.readouterr().err


def test_lines_are_read_as_they_were_written(spool: Spool, ledger: Ledger, paths: Paths, tmp_path: Path) -> None:
    file_away(spool, ledger, 1)
    decide(spool, ledger, 1, "dots")

    found = reap(paths, tmp_path / "a.csv")

    assert tuple(harvest.read([tmp_path / "a.csv"])) == found.lines
    assert isinstance(found.lines[0], Line)

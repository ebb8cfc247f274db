"""Back-ups of a ledger in use, and the way back: no picture and no row is lost on it."""

import io
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from returnsd import backup, config, disk, review
from returnsd.audit import audit
from returnsd.bundle import Bundle
from returnsd.errors import AlreadyRunning, SpoolError
from returnsd.ledger import LEDGER, Ledger
from returnsd.records import Shelf
from tests.examples import NOON, enter, example_verdict
from tests.installation import HerePool, Installation, shelved
from tests.tiny import CATEGORIES, tiny_jpeg


@pytest.fixture
def make(tmp_path: Path, tiny: Path) -> Iterator[list[Installation]]:
    """Installations over one folder, one after the other."""
    made: list[Installation] = []
    yield made
    for installation in made:
        installation.close()


def start(made: list[Installation], tmp_path: Path, tiny: Path) -> Installation:
    for installation in made:
        installation.close()
    made.append(Installation(tmp_path, Bundle.load(tiny), HerePool(tiny)))
    return made[-1]


def drop(here: Installation, seeds: range) -> None:
    for seed in seeds:
        here.drop(f"{seed}.jpg", tiny_jpeg(CATEGORIES[seed % 3], seed))
    here.work()


def taken_back(here: Installation, copy: Path) -> backup.Restored:
    here.close()
    with copy.open("rb") as source:
        return backup.restore(here.config, source)


def faults(here: Installation) -> list[str]:
    return audit(here.spool, here.ledger).faults


def test_a_back_up_is_one_whole_file_of_one_moment_while_others_write(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / LEDGER)) as ledger:
        enter(ledger, example_verdict(1))
        enter(ledger, example_verdict(2))

        with closing(sqlite3.connect(tmp_path / LEDGER, isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            writer.execute("DELETE FROM verdict")
            copy_ledger_of(tmp_path)
            writer.execute("ROLLBACK")

    kept = sorted(path.name for path in (tmp_path / "kept").iterdir())
    with closing(Ledger(tmp_path / "kept" / "copy", read_only=True)) as copy:
        assert copy.counts()["rows"] == 2
    assert kept == ["copy"]


def copy_ledger_of(folder: Path) -> None:
    (folder / "kept").mkdir()
    base = config.default(folder)
    here = replace(base, paths=replace(base.paths, state=folder))
    assert backup.back_up(here, folder / "kept" / "copy") == 2


def test_a_back_up_replaces_no_file_and_needs_a_ledger(
    tmp_path: Path, tiny: Path, make: list[Installation]
) -> None:
    here = start(make, tmp_path, tiny)
    (tmp_path / "copy").write_text("precious")

    with pytest.raises(SpoolError, match="is there already"):
        backup.back_up(here.config, tmp_path / "copy")
    (here.paths.state / LEDGER).unlink()
    with pytest.raises(SpoolError, match="nothing was recorded yet"):
        backup.back_up(here.config, tmp_path / "other")

    assert (tmp_path / "copy").read_text() == "precious"


def test_after_a_lost_ledger_the_back_up_and_the_shelves_give_every_row_back(
    tmp_path: Path, tiny: Path, make: list[Installation]
) -> None:
    here = start(make, tmp_path, tiny)
    drop(here, range(9))
    backup.back_up(here.config, tmp_path / "copy")
    before = {row.item_id: row for row in here.rows()}
    drop(here, range(9, 15))
    pictures = {path.name: path.read_bytes() for path in shelved(here.paths)}
    here.close()
    for path in here.paths.state.glob(f"{LEDGER}*"):
        path.write_bytes(b"scratched" * 1000)

    done = taken_back(here, tmp_path / "copy")
    again = start(make, tmp_path, tiny)
    again.work()

    assert (done.rows, done.judged_anew, done.moved) == (9, 6, 0)
    assert faults(again) == []
    assert {row.item_id: row for row in again.rows() if row.item_id in before} == before
    assert len(again.rows()) == 15
    assert {path.name: path.read_bytes() for path in shelved(again.paths)} == pictures


def test_a_decision_that_the_back_up_does_not_know_is_asked_again(
    tmp_path: Path, tiny: Path, make: list[Installation]
) -> None:
    here = start(make, tmp_path, tiny)
    drop(here, range(12))
    backup.back_up(here.config, tmp_path / "copy")
    waiting = next(row for row in here.rows() if row.shelf is Shelf.REVIEW)
    review.decide(
        here.spool, here.ledger, waiting.item_id, "dots", by="anna", decided_at=NOON, categories=CATEGORIES
    )

    done = taken_back(here, tmp_path / "copy")
    again = start(make, tmp_path, tiny)

    assert (done.judged_anew, done.moved) == (0, 1)
    assert [path.name for path in again.paths.review.iterdir() if path.name.startswith(waiting.item_id)]
    assert faults(again) == []
    assert (again.paths.results / "decisions-2026-03-01.csv.replaced").exists()


def test_what_the_restore_replaced_is_kept_and_a_restore_can_be_repeated(
    tmp_path: Path, tiny: Path, make: list[Installation]
) -> None:
    here = start(make, tmp_path, tiny)
    drop(here, range(3))
    backup.back_up(here.config, tmp_path / "copy")
    drop(here, range(3, 6))

    first = taken_back(here, tmp_path / "copy")
    with closing(Ledger(here.paths.state / f"{LEDGER}.replaced", read_only=True)) as replaced:
        assert replaced.counts()["rows"] == 6
    second = taken_back(here, tmp_path / "copy")

    assert (first.rows, first.judged_anew) == (3, 3)
    assert (second.rows, second.judged_anew) == (3, 0)


def test_a_damaged_back_up_is_refused_and_nothing_changes(
    tmp_path: Path, tiny: Path, make: list[Installation]
) -> None:
    here = start(make, tmp_path, tiny)
    drop(here, range(6))
    backup.back_up(here.config, tmp_path / "copy")
    whole = (tmp_path / "copy").read_bytes()
    here.close()

    for damaged in (b"", whole[: len(whole) // 2], b"something else entirely" * 500):
        with pytest.raises(SpoolError, match="no whole ledger"):
            backup.restore(here.config, io.BytesIO(damaged))

    again = start(make, tmp_path, tiny)
    assert len(again.rows()) == 6
    assert faults(again) == []


@pytest.mark.parametrize("lock", ["worker.lock", "web.lock"])
def test_a_restore_waits_for_nobody_and_disturbs_nobody(
    lock: str, tmp_path: Path, tiny: Path, make: list[Installation]
) -> None:
    here = start(make, tmp_path, tiny)
    drop(here, range(3))
    backup.back_up(here.config, tmp_path / "copy")

    with disk.lock(here.paths.state / lock), pytest.raises(AlreadyRunning):
        backup.restore(here.config, (tmp_path / "copy").open("rb"))

    assert len(here.rows()) == 3

"""Retention: what is too old is recorded as deleted, then deleted; nothing else is touched."""

from datetime import datetime, timedelta

import pytest
import structlog

from returnsd import logs, retention
from returnsd.audit import audit
from returnsd.config import Keep
from returnsd.ledger import Ledger
from returnsd.records import Shelf
from returnsd.results import Results
from returnsd.retention import Retention
from returnsd.spool import Spool
from tests.examples import example_id, file_away
from tests.installation import files_below

NOW = datetime.now().astimezone()
KEEP = Keep(archive_days=100, rejected_days=30)


def ago(days: int) -> datetime:
    return NOW - timedelta(days=days)


def started(spool: Spool, ledger: Ledger) -> Retention:
    """Return one that has waited its time: the next step deletes."""
    found = Retention(spool, ledger, logs.get_logger("test"))
    found.step(0.0, KEEP)
    return found


def kept(spool: Spool) -> set[str]:
    """Return the numbers of the items whose files are still there."""
    names = [path.name for path in files_below(spool.paths.archive.parent) if path.suffix == ".jpg"]
    return {name.partition("_")[2].removesuffix(".jpg") for name in names}


# --- what is deleted


def test_files_are_deleted_when_they_are_older_than_their_shelf_keeps_them(spool: Spool, ledger: Ledger) -> None:
    for number, (shelf, days) in enumerate(
        [(Shelf.ARCHIVE, 102), (Shelf.ARCHIVE, 99), (Shelf.REJECTED, 32), (Shelf.REJECTED, 29), (Shelf.REVIEW, 999)]
    ):
        file_away(spool, ledger, number, shelf=shelf, judged_at=ago(days))

    started(spool, ledger).step(600.0, KEEP)

    assert kept(spool) == {"1", "3", "4"}
    assert ledger.expired() == {example_id(0), example_id(2)}
    assert len(list(ledger.verdicts_of())) == 5
    assert audit(spool, ledger).clean


def test_null_keeps_everything(spool: Spool, ledger: Ledger) -> None:
    for number, shelf in enumerate(Shelf):
        file_away(spool, ledger, number, shelf=shelf, judged_at=ago(10_000))

    started(spool, ledger).step(600.0, Keep(archive_days=None, rejected_days=None))

    assert kept(spool) == {"0", "1", "2"}


def test_the_day_a_person_decided_counts_for_what_people_moved(spool: Spool, ledger: Ledger) -> None:
    for number, (category, days) in enumerate([("dots", 20), (None, 20), (None, 40)]):
        place = file_away(spool, ledger, number, judged_at=ago(200))
        spool.file_decision(ledger.decide(example_id(number), category, ago(days), "anna", "blurred"), [place])
    results = Results(spool.paths.results, ledger, "decisions")
    results.project(results.days())

    started(spool, ledger).step(600.0, KEEP)

    assert kept(spool) == {"0", "1"}
    assert audit(spool, ledger).clean


def test_a_file_that_was_renamed_on_its_shelf_is_deleted_too(spool: Spool, ledger: Ledger) -> None:
    place = file_away(spool, ledger, 1, shelf=Shelf.REJECTED, judged_at=ago(40))
    place.rename(place.with_name(f"{example_id(1)}_better name.jpg"))

    started(spool, ledger).step(600.0, KEEP)

    assert kept(spool) == set()
    assert audit(spool, ledger).clean


def test_a_file_that_is_gone_already_is_only_recorded(spool: Spool, ledger: Ledger) -> None:
    file_away(spool, ledger, 1, shelf=Shelf.REJECTED, judged_at=ago(40)).unlink()

    started(spool, ledger).step(600.0, KEEP)

    assert ledger.expired() == {example_id(1)}
    assert audit(spool, ledger).clean


def test_each_deletion_is_logged(spool: Spool, ledger: Ledger) -> None:
    logs.configure("info", "json")  # whatever a command that ran before has set
    file_away(spool, ledger, 1, shelf=Shelf.REJECTED, judged_at=ago(40))

    with structlog.testing.capture_logs() as lines:
        started(spool, ledger).step(600.0, KEEP)

    assert lines == [{"event": "item_expired", "item": example_id(1), "shelf": "rejected", "log_level": "info"}]


# --- when


def test_it_looks_ten_minutes_after_the_start_and_every_ten_minutes(spool: Spool, ledger: Ledger) -> None:
    looking = Retention(spool, ledger, logs.get_logger("test"))
    file_away(spool, ledger, 0, shelf=Shelf.REJECTED, judged_at=ago(40))

    found = []
    for now in (50.0, 649.0, 650.0):
        looking.step(now, KEEP)
        found.append(kept(spool))
    file_away(spool, ledger, 1, shelf=Shelf.REJECTED, judged_at=ago(40))
    for now in (651.0, 1249.0, 1250.0):
        looking.step(now, KEEP)
        found.append(kept(spool))

    assert found == [{"0"}, {"0"}, set(), {"1"}, {"1"}, set()]


def test_only_so_many_are_deleted_at_once(spool: Spool, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "_AT_ONCE", 2)
    for number in range(5):
        file_away(spool, ledger, number, shelf=Shelf.REJECTED, judged_at=ago(40))
    looking = started(spool, ledger)

    left = []
    for now in (600.0, 1200.0, 1800.0):
        looking.step(now, KEEP)
        left.append(len(kept(spool)))

    assert left == [3, 1, 0]


def test_a_deletion_that_was_interrupted_is_finished_after_the_next_start(spool: Spool, ledger: Ledger) -> None:
    for number in range(3):
        file_away(spool, ledger, number, shelf=Shelf.REJECTED, judged_at=ago(40))
    ledger.expire([example_id(number) for number in range(3)], NOW)  # and then the power went

    started(spool, ledger).step(600.0, KEEP)

    assert kept(spool) == set()
    assert audit(spool, ledger).clean

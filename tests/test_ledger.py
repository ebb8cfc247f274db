"""The ledger: whole transactions, rows as they were given, decisions that nobody overwrites."""

import os
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from returnsd.errors import AlreadyDecided, DecisionError, SpoolError
from returnsd.ledger import LEDGER, Ledger, Written
from returnsd.records import Shelf, Verdict
from tests.examples import (
    DAY,
    NOON,
    enter,
    example_decision,
    example_id,
    example_item,
    example_rejection,
    example_verdict,
)

HOUR = timedelta(hours=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / LEDGER


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    ledger = Ledger(path)
    yield ledger
    ledger.close()


def rows(ledger: Ledger, day: str | None = None) -> list[Verdict]:
    return [verdict for _, verdict in ledger.verdicts_of(day)]


# --- rows


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ABSENT_OR_TEXTS = st.none() | TEXTS
PROBABILITIES = st.none() | st.floats(0, 1)
ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.datetimes(timezones=ZONES)
VERDICTS = st.builds(
    Verdict,
    item_id=st.just(example_id(1)),
    received_at=TIMES,
    judged_at=TIMES,
    file_name=st.binary(max_size=40).map(os.fsdecode),
    return_id=ABSENT_OR_TEXTS,
    category=ABSENT_OR_TEXTS,
    confidence=PROBABILITIES,
    shelf=st.sampled_from(Shelf),
    reason=TEXTS,
    runner_up=ABSENT_OR_TEXTS,
    runner_up_confidence=PROBABILITIES,
    shortlist=st.lists(TEXTS, max_size=4).map(tuple),
    duplicate_of=ABSENT_OR_TEXTS,
    model=TEXTS,
    sha256=ABSENT_OR_TEXTS,
)


@given(VERDICTS)
def test_a_verdict_is_read_back_as_it_was_recorded(verdict: Verdict) -> None:
    ledger = Ledger(Path(":memory:"))
    enter(ledger, verdict)

    found = ledger.verdict(verdict.item_id)

    assert found == verdict
    assert found.judged_at.utcoffset() == verdict.judged_at.utcoffset()
    ledger.close()


def test_what_was_recorded_is_there_after_a_restart(path: Path) -> None:
    before = Ledger(path)
    enter(before, example_verdict(1), example_verdict(2))
    before.close()

    after = Ledger(path)

    assert rows(after) == [example_verdict(1), example_verdict(2)]
    after.close()


def test_rows_come_in_the_order_of_recording_by_day_and_beyond_a_row(ledger: Ledger) -> None:
    tomorrow = NOON + timedelta(days=1)
    enter(ledger, example_verdict(2), example_verdict(1))
    enter(ledger, example_verdict(3, judged_at=tomorrow))

    assert [v.item_id for v in rows(ledger)] == [example_id(2), example_id(1), example_id(3)]
    assert [v.item_id for v in rows(ledger, DAY)] == [example_id(2), example_id(1)]
    assert [seq for seq, _ in ledger.verdicts_of(DAY, after=1)] == [2]
    assert ledger.newest()["verdict"] == {DAY: 2, "2026-03-02": 3}


def test_only_the_rows_there_are_are_found(ledger: Ledger) -> None:
    enter(ledger, example_verdict(1))

    found = ledger.verdicts([example_id(1), example_id(2), "' OR 1"])

    assert found == {example_id(1): example_verdict(1)}
    assert ledger.verdict(example_id(2)) is None


def test_an_amended_row_keeps_its_place(ledger: Ledger) -> None:
    enter(ledger, example_verdict(1), example_verdict(2))
    amended = example_rejection(1, reason="still_written_to", sha256="f" * 64)

    ledger.amend(amended)

    assert list(ledger.verdicts_of()) == [(1, amended), (2, example_verdict(2))]


def test_the_first_item_with_the_same_content_is_found(ledger: Ledger) -> None:
    same, other = "a" * 64, "b" * 64
    enter(
        ledger, example_verdict(5, sha256=same), example_verdict(2, sha256=same), example_verdict(3, sha256=other)
    )

    found = ledger.first_with([same, other, "c" * 64])

    assert found == {same: example_id(5), other: example_id(3)}


# --- transactions


def test_a_batch_is_recorded_whole_or_not_at_all(ledger: Ledger) -> None:
    enter(ledger, example_verdict(1))
    ledger.begin([example_item(2)])

    with pytest.raises(sqlite3.IntegrityError):
        ledger.record(
            [example_verdict(2), example_verdict(1, reason="again")],
            {"returns-2026-03-01.csv": Written(1, 100)},
            {example_id(2): b"\0\0"},
        )

    assert rows(ledger) == [example_verdict(1)]
    assert ledger.written() == {}
    assert ledger.unjudged() == [example_id(2)]
    ledger.record([example_verdict(2)], {}, {example_id(2): b"\0\0"})  # no vector was left behind


def test_a_full_disk_is_told_as_such_and_leaves_the_ledger_as_it_was(ledger: Ledger) -> None:
    enter(ledger, example_verdict(1))
    ledger.begin(example_item(number) for number in range(2, 4))
    (pages,) = ledger._db.execute("PRAGMA page_count").fetchone()
    ledger._db.execute(f"PRAGMA max_page_count = {pages}")
    large = [example_verdict(2), example_verdict(3, reason="x" * 100_000)]

    with pytest.raises(sqlite3.OperationalError) as failed:
        ledger.record(large, {})
    seen = rows(ledger)
    ledger._db.execute("PRAGMA max_page_count = 1000000")
    ledger.record(large, {})

    assert failed.value.sqlite_errorcode == sqlite3.SQLITE_FULL
    assert seen == [example_verdict(1)]
    assert rows(ledger) == [example_verdict(1), *large]


def test_a_reader_sees_whole_batches_while_another_writes(path: Path, ledger: Ledger) -> None:
    reader = Ledger(path, read_only=True)
    enter(ledger, example_verdict(1))

    with reader.snapshot():
        before = rows(reader)
        enter(ledger, example_verdict(2))
        during = rows(reader)
    after = rows(reader)

    assert [len(seen) for seen in (before, during, after)] == [1, 1, 2]
    reader.close()


def test_a_reader_cannot_write(path: Path, ledger: Ledger) -> None:
    reader = Ledger(path, read_only=True)

    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.begin([example_item(1)])

    reader.close()


def test_a_reader_finds_the_ledger_in_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "50% off? #1 ü"
    folder.mkdir()
    Ledger(folder / LEDGER).close()

    reader = Ledger(folder / LEDGER, read_only=True)

    assert rows(reader) == []
    reader.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_the_ledger_of_a_newer_returnsd_is_refused_and_left_alone(path: Path, read_only: bool) -> None:
    Ledger(path).close()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 2")
    newer.close()

    with pytest.raises(SpoolError, match=r"ledger\.sqlite: ledger version 2, this returnsd knows 1"):
        Ledger(path, read_only=read_only)

    found = sqlite3.connect(path)
    assert found.execute("PRAGMA user_version").fetchone() == (2,)
    found.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_ledger_is_named(path: Path, read_only: bool) -> None:
    path.write_bytes(b"no database at all, but long enough to be one. " * 20)

    with pytest.raises(SpoolError, match=r"ledger\.sqlite is no ledger"):
        Ledger(path, read_only=read_only)


# --- items


def test_begun_judgings_are_counted_and_can_be_taken_back(ledger: Ledger) -> None:
    ledger.begin([example_item(1), example_item(2)])
    ledger.begin([example_item(1)])
    ledger.abandon([example_id(2)])

    assert ledger.begun([example_id(1), example_id(2), example_id(3)]) == {example_id(1): 2, example_id(2): 0}


def test_an_item_without_a_row_is_unjudged(ledger: Ledger) -> None:
    ledger.begin([example_item(1), example_item(2)])
    ledger.record([example_verdict(1)], {})

    assert ledger.unjudged() == [example_id(2)]


def test_what_happened_is_counted_by_shelf_and_day(ledger: Ledger) -> None:
    yesterday = NOON - timedelta(days=1)
    enter(ledger, example_verdict(1), example_verdict(2, shelf=Shelf.ARCHIVE), example_rejection(3))
    enter(ledger, example_verdict(4, judged_at=yesterday))
    ledger.begin([example_item(5)])
    ledger.decide(example_id(1), "dots", NOON, "anna")

    assert ledger.counts() == {"archive": 1, "review": 2, "rejected": 1, "rows": 4, "decisions": 1, "seen": 5}
    assert ledger.counts("2026-02-28") == {"archive": 0, "review": 1, "rejected": 0, "rows": 1, "decisions": 0}


def test_how_far_files_were_written_is_remembered_by_name(ledger: Ledger) -> None:
    ledger.begin([example_item(1)])
    ledger.note_written({"a.csv": Written(1, 10), "b.csv": Written(2, 20)})
    ledger.record([example_verdict(1)], {"a.csv": Written(3, 30)})

    assert ledger.written() == {"a.csv": Written(3, 30), "b.csv": Written(2, 20)}


# --- decisions


def test_a_decision_holds_who_when_what_and_what_the_model_had_said(ledger: Ledger) -> None:
    enter(ledger, example_verdict(1))

    decision = ledger.decide(example_id(1), "stripes", NOON + HOUR, "anna")

    assert decision == example_decision(1) == ledger.decision(example_id(1))
    assert list(ledger.decisions_of(DAY)) == [(1, decision)]
    assert ledger.newest_decisions() == {example_id(1): decision}


def test_a_rejection_names_its_reason_and_no_category(ledger: Ledger) -> None:
    enter(ledger, example_verdict(1))

    decision = ledger.decide(example_id(1), None, NOON, "anna", "blurred")

    assert (decision.shelf, decision.category, decision.reason) == (Shelf.REJECTED, None, "blurred")


def test_who_comes_second_is_told_who_was_first_and_changes_nothing(ledger: Ledger) -> None:
    enter(ledger, example_verdict(1))
    first = ledger.decide(example_id(1), "stripes", NOON + HOUR, "anna")

    with pytest.raises(AlreadyDecided, match=f"{example_id(1)} was decided already: stripes, by anna") as refused:
        ledger.decide(example_id(1), "dots", NOON + 2 * HOUR, "bert")

    assert (refused.value.decided_by, refused.value.decided_at) == ("anna", NOON + HOUR)
    assert [decision for _, decision in ledger.decisions_of()] == [first]


def test_an_archived_item_can_be_decided_too(ledger: Ledger) -> None:
    enter(ledger, example_verdict(1, shelf=Shelf.ARCHIVE, reason="confident"))

    assert ledger.decide(example_id(1), "stripes", NOON, "anna").predicted == "dots"


def test_what_cannot_be_decided_says_why(ledger: Ledger) -> None:
    enter(ledger, example_rejection(1, reason="empty"), example_verdict(2))
    ledger.begin([example_item(3)])
    ledger.expire([example_id(2)], NOON)

    for number, why in (
        (1, r"was rejected \(empty\)"),
        (2, "deleted for its age"),
        (3, "is in the ledger"),
        (4, "no item"),
    ):
        with pytest.raises(DecisionError, match=why):
            ledger.decide(example_id(number), "dots", NOON, "anna")

    assert list(ledger.decisions_of()) == []


def test_a_decision_that_is_taken_back_stays_on_record(ledger: Ledger) -> None:
    enter(ledger, example_verdict(1))
    first = ledger.decide(example_id(1), "stripes", NOON, "anna")

    withdrawal = ledger.withdraw(example_id(1), NOON + HOUR, "bert")
    second = ledger.decide(example_id(1), "noise", NOON + 2 * HOUR, "cleo")

    assert ledger.decisions_on(example_id(1)) == [first, withdrawal, second]
    assert withdrawal.withdrawn
    assert (withdrawal.shelf, withdrawal.category, withdrawal.decided_by) == (Shelf.REVIEW, None, "bert")
    assert [decision for _, decision in ledger.decisions_of()] == [first, withdrawal, second]
    assert ledger.decision(example_id(1)) == second


def test_what_was_archived_by_itself_goes_back_to_where_its_verdict_put_it(ledger: Ledger) -> None:
    enter(ledger, example_verdict(1, shelf=Shelf.ARCHIVE, reason="confident"))
    ledger.decide(example_id(1), None, NOON, "anna", "blurred")

    withdrawal = ledger.withdraw(example_id(1), NOON, "anna")

    assert (withdrawal.shelf, withdrawal.category) == (Shelf.ARCHIVE, "dots")


def test_there_must_be_a_decision_to_take_back(ledger: Ledger) -> None:
    enter(ledger, example_verdict(1), example_verdict(2), example_verdict(3))
    ledger.decide(example_id(1), "dots", NOON, "anna")
    ledger.withdraw(example_id(1), NOON, "anna")
    ledger.decide(example_id(2), "dots", NOON, "anna")
    ledger.expire([example_id(2)], NOON)

    for number, why in (
        (1, "none to take back"),
        (2, "deleted for its age"),
        (3, "none to take back"),
        (4, "no item"),
    ):
        with pytest.raises(DecisionError, match=why):
            ledger.withdraw(example_id(number), NOON, "anna")


# --- age


def test_items_expire_by_the_day_they_came_to_the_shelf_and_only_once(ledger: Ledger) -> None:
    enter(ledger, *(example_rejection(number, judged_at=NOON + timedelta(days=number)) for number in range(3)))
    enter(ledger, example_verdict(3))

    due = ledger.to_expire(Shelf.REJECTED, "2026-03-03", 10)
    ledger.expire([verdict.item_id for verdict, _ in due], NOON)

    assert sorted(verdict.item_id for verdict, _ in due) == [example_id(0), example_id(1)]
    assert ledger.to_expire(Shelf.REJECTED, "2026-03-03", 10) == []
    assert ledger.expired() == {example_id(0), example_id(1)}
    assert ledger.expired([example_id(1), example_id(2)]) == {example_id(1)}


def test_the_day_of_the_decision_counts_for_what_a_person_moved(ledger: Ledger) -> None:
    enter(ledger, example_verdict(1), example_verdict(2), example_verdict(3, shelf=Shelf.ARCHIVE))
    ledger.decide(example_id(1), None, NOON + timedelta(days=5), "anna", "blurred")
    ledger.decide(example_id(2), "dots", NOON + timedelta(days=5), "anna")
    ledger.decide(example_id(3), None, NOON + timedelta(days=5), "anna", "blurred")
    ledger.withdraw(example_id(3), NOON + timedelta(days=7), "anna")

    def due(shelf: Shelf, before: str) -> list[str]:
        return sorted(verdict.item_id for verdict, _ in ledger.to_expire(shelf, before, 10))

    assert due(Shelf.REJECTED, "2026-03-06") == []
    assert due(Shelf.REJECTED, "2026-03-07") == [example_id(1)]
    assert due(Shelf.ARCHIVE, "2026-03-07") == [example_id(2)]
    assert due(Shelf.ARCHIVE, "2026-03-09") == [example_id(2), example_id(3)]


def test_no_more_expire_at_once_than_asked_for(ledger: Ledger) -> None:
    enter(ledger, *(example_rejection(number) for number in range(5)))

    assert len(ledger.to_expire(Shelf.REJECTED, "2026-03-02", 3)) == 3


def test_times_keep_the_offset_they_were_given_with(ledger: Ledger) -> None:
    enter(ledger, example_verdict(1))
    winter = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=-8)))

    decision = ledger.decide(example_id(1), "dots", winter, "anna")

    assert decision.decided_at.utcoffset() == timedelta(hours=-8)
    assert decision.day == "2026-01-01"
    assert ledger.decision(example_id(1)) == decision


def test_those_that_expired_last_are_known_together(ledger: Ledger) -> None:
    enter(ledger, *(example_rejection(number) for number in range(4)))
    before = ledger.last_expired()
    ledger.expire([example_id(0), example_id(1)], NOON)
    ledger.expire([example_id(2), example_id(3)], NOON + HOUR)

    found = ledger.last_expired()

    assert before == []
    assert found == [(example_rejection(2), None), (example_rejection(3), None)]

"""The audit: clean where all is well, and one fault for everything that is not."""

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from returnsd import audit as module
from returnsd.audit import Progress, Report, audit
from returnsd.ledger import Ledger
from returnsd.records import Shelf, Verdict
from returnsd.results import Results
from returnsd.spool import Spool
from tests.examples import (
    DAY,
    NOON,
    enter,
    example_id,
    example_item,
    example_rejection,
    example_verdict,
    file_away,
)

ALL = {Shelf.ARCHIVE: 0, Shelf.REVIEW: 1, Shelf.REJECTED: 2}


@pytest.fixture(autouse=True)
def without_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again as often as ever, but at once."""
    monkeypatch.setattr(module, "_BETWEEN_LOOKS_S", 0.0)


@pytest.fixture
def places(spool: Spool, ledger: Ledger) -> dict[Shelf, Path]:
    """Items 0 to 2 on their shelves, item 3 in the queue, judged by nobody yet."""
    found = {shelf: file_away(spool, ledger, number, shelf=shelf) for shelf, number in ALL.items()}
    (spool.paths.inbox / "3.jpg").write_bytes(b"picture 3")
    ledger.begin([spool.take_in(spool.paths.inbox / "3.jpg", example_id(3)).item])
    return found


def faults(spool: Spool, ledger: Ledger, *, hashing: bool = True) -> list[str]:
    return audit(spool, ledger, hashing=hashing).faults


# --- clean


def test_of_nothing_nothing_is_lost(spool: Spool, ledger: Ledger) -> None:
    report = audit(spool, ledger)

    assert report.clean
    assert report == Report(shelves={})


@pytest.mark.usefixtures("places")
def test_what_is_where_it_should_be_is_counted(spool: Spool, ledger: Ledger) -> None:
    ledger.decide(example_id(1), "dots", NOON, "anna")

    report = audit(spool, ledger)

    assert report.as_json() | {"faults": [], "fault_count": 0, "clean": True} == {
        "clean": True, "seen": 4, "rows": 3, "queued": 1, "shelved": 3, "expired": 0, "decisions": 1,
        "shelves": {"archive": 1, "review": 1, "rejected": 1}, "csv_files": 2, "hashed": True, "faults": [],
        "fault_count": 0,
    }  # fmt: skip


@pytest.mark.usefixtures("places")
def test_the_audit_changes_nothing(spool: Spool, ledger: Ledger, tmp_path: Path) -> None:
    def state() -> list[tuple[str, int, int]]:
        paths = sorted(path for path in tmp_path.rglob("*") if "ledger" not in path.name)
        return [(str(path), path.lstat().st_ino, path.lstat().st_mtime_ns) for path in paths]

    before = state()

    audit(spool, ledger)

    assert state() == before


@pytest.mark.parametrize("moment", ["taken in", "entered", "recorded", "written", "shelved"])
def test_every_moment_of_an_items_way_is_clean(moment: str, spool: Spool, ledger: Ledger) -> None:
    spool.paths.inbox.mkdir()
    (spool.paths.inbox / "1.jpg").write_bytes(b"picture")
    queued = spool.take_in(spool.paths.inbox / "1.jpg", example_id(1))
    verdict = example_verdict(1, sha256=None)
    steps: list[tuple[str, Callable[[], object]]] = [
        ("entered", lambda: ledger.begin([queued.item])),
        ("recorded", lambda: ledger.record([verdict], {})),
        ("written", lambda: Results(spool.paths.results, ledger).project([DAY])),
        ("shelved", lambda: spool.shelve(queued, verdict)),
    ]
    for name, step in steps:
        if moment == "taken in":
            break
        step()
        if name == moment:
            break

    report = audit(spool, ledger)

    csv_behind = [fault for fault in report.faults if "rebuild-results" in fault]
    assert report.faults == csv_behind
    assert bool(csv_behind) == (moment == "recorded")
    assert (report.seen, report.queued + report.shelved) == (1, 1)


def test_a_decision_that_is_not_carried_out_yet_is_no_fault(
    spool: Spool, ledger: Ledger, places: dict[Shelf, Path]
) -> None:
    ledger.decide(example_id(1), "stripes", NOON, "anna")
    Results(spool.paths.results, ledger, "decisions").project([DAY])

    assert faults(spool, ledger) == []


def test_what_was_deleted_for_its_age_is_not_missed(
    spool: Spool, ledger: Ledger, places: dict[Shelf, Path]
) -> None:
    ledger.expire([example_id(2)], NOON)
    places[Shelf.REJECTED].unlink()

    report = audit(spool, ledger)

    assert (report.clean, report.expired, report.shelved) == (True, 1, 2)


def test_a_file_that_was_renamed_on_its_shelf_is_found_by_its_id(
    spool: Spool, ledger: Ledger, places: dict[Shelf, Path]
) -> None:
    path = places[Shelf.REVIEW]
    path.rename(path.with_name(f"{example_id(1)} better name.jpg"))

    assert faults(spool, ledger) == []


def test_strangers_files_on_a_shelf_are_not_ours_to_judge(
    spool: Spool, ledger: Ledger, places: dict[Shelf, Path]
) -> None:
    (spool.paths.review / "notes.txt").write_bytes(b"")

    assert faults(spool, ledger) == []


# --- faults


@pytest.mark.parametrize("shelf", Shelf)
def test_a_file_that_is_gone_is_missed(
    shelf: Shelf, spool: Spool, ledger: Ledger, places: dict[Shelf, Path]
) -> None:
    places[shelf].unlink()

    found = faults(spool, ledger)

    assert len(found) == 2
    assert found[0].startswith(f"item {example_id(ALL[shelf])} ({ALL[shelf]}.jpg): its file is found 0 times")
    assert found[1] == "4 items were seen, but 3 found"


def test_a_file_that_lies_there_twice_is_named_with_both_places(
    spool: Spool, ledger: Ledger, places: dict[Shelf, Path]
) -> None:
    copy = spool.paths.rejected / places[Shelf.REVIEW].name
    copy.write_bytes(places[Shelf.REVIEW].read_bytes())

    (found, _) = faults(spool, ledger)

    assert "found 2 times" in found
    assert str(copy) in found
    assert str(places[Shelf.REVIEW]) in found


def test_a_file_on_a_shelf_and_in_the_queue_is_a_fault(
    spool: Spool, ledger: Ledger, places: dict[Shelf, Path]
) -> None:
    (spool.paths.queue / places[Shelf.REVIEW].name).write_bytes(b"picture 1")

    found = faults(spool, ledger)[0]

    assert found.startswith(f"item {example_id(1)} (1.jpg): its file is found 2 times")
    assert str(spool.paths.queue) in found


def test_a_file_on_another_shelf_than_its_row_names_is_a_fault(
    spool: Spool, ledger: Ledger, places: dict[Shelf, Path]
) -> None:
    places[Shelf.REVIEW].rename(spool.paths.rejected / places[Shelf.REVIEW].name)

    (found,) = faults(spool, ledger)

    assert found.startswith(f"item {example_id(1)}: its row says review, its file lies in rejected")


@pytest.mark.parametrize("change", [lambda path: path.write_bytes(b"PICTURE 1"), lambda path: os.truncate(path, 0)])
def test_other_bytes_than_those_that_were_judged_are_a_fault_unless_nobody_looks(
    change: Callable[[Path], object], spool: Spool, ledger: Ledger, places: dict[Shelf, Path]
) -> None:
    change(places[Shelf.REVIEW])

    (found,) = faults(spool, ledger)

    assert (
        found == f"item {example_id(1)}: {places[Shelf.REVIEW]} is not the file that was judged (SHA-256 differs)"
    )
    assert faults(spool, ledger, hashing=False) == []


def test_a_file_that_cannot_be_read_is_a_fault(spool: Spool, ledger: Ledger, places: dict[Shelf, Path]) -> None:
    path = places[Shelf.REVIEW]
    path.unlink()
    path.symlink_to(places[Shelf.REJECTED])

    (found,) = faults(spool, ledger)

    assert found.startswith(f"item {example_id(1)}: its file cannot be read: not_a_regular_file")


def test_an_item_that_was_taken_in_and_is_nowhere_is_lost(
    spool: Spool, ledger: Ledger, places: dict[Shelf, Path]
) -> None:
    ledger.begin([example_item(9)])

    found = faults(spool, ledger)

    assert found == [
        f"item {example_id(9)} was taken in, has no row and is not in the queue",
        "5 items were seen, but 4 found",
    ]


def test_a_file_on_a_shelf_that_has_no_row_is_a_fault(
    spool: Spool, ledger: Ledger, places: dict[Shelf, Path]
) -> None:
    stray = spool.paths.archive / DAY / f"{example_id(8)}_8.jpg"
    stray.write_bytes(b"")

    assert faults(spool, ledger) == [f"{stray} lies on a shelf without a row"]


def test_a_file_that_should_have_been_deleted_for_its_age_is_a_fault(
    spool: Spool, ledger: Ledger, places: dict[Shelf, Path]
) -> None:
    ledger.expire([example_id(2)], NOON)

    assert faults(spool, ledger) == [f"{places[Shelf.REJECTED]} should have been deleted for its age"]


@pytest.mark.parametrize("kind", ["returns", "decisions"])
@pytest.mark.parametrize("change", [lambda path: path.unlink(), lambda path: path.write_bytes(b"edited")])
def test_a_results_file_that_is_not_what_the_ledger_says_is_named_with_the_remedy(
    change: Callable[[Path], object], kind: str, spool: Spool, ledger: Ledger, places: dict[Shelf, Path]
) -> None:
    ledger.decide(example_id(1), "dots", NOON, "anna")
    Results(spool.paths.results, ledger, "decisions").project([DAY])
    path = spool.paths.results / f"{kind}-{DAY}.csv"
    change(path)

    (found,) = faults(spool, ledger)

    assert found == f"{path} is not what the ledger says: returnsd rebuild-results --day {DAY}"


def test_every_fault_is_counted_and_the_first_hundred_are_named(spool: Spool, ledger: Ledger) -> None:
    enter(ledger, *(example_rejection(number) for number in range(150)))
    Results(spool.paths.results, ledger).project([DAY])

    report = audit(spool, ledger)

    assert (report.clean, report.fault_count, len(report.faults)) == (False, 151, 100)


# --- beside a running service


def meanwhile(happens: Callable[[], object]) -> Progress:
    """Let something happen between the audit's reading of the rows and its look at the files."""

    def progress(rows: Iterable[tuple[int, Verdict]], _: int) -> Iterator[tuple[int, Verdict]]:
        happens()
        yield from rows

    return progress


def test_what_a_person_decides_meanwhile_is_found_where_it_lies_now(
    spool: Spool, ledger: Ledger, places: dict[Shelf, Path]
) -> None:
    def decide() -> None:
        decision = ledger.decide(example_id(1), "stripes", NOON + timedelta(hours=1), "anna")
        Results(spool.paths.results, ledger, "decisions").project([DAY])
        spool.file_decision(decision, [places[Shelf.REVIEW]])

    report = audit(spool, ledger, progress=meanwhile(decide))

    assert report.faults == []
    assert report.shelves == {"archive": 2, "rejected": 1}


def test_what_is_deleted_for_its_age_meanwhile_is_not_missed(
    spool: Spool, ledger: Ledger, places: dict[Shelf, Path]
) -> None:
    def expire() -> None:
        ledger.expire([example_id(2)], NOON)
        places[Shelf.REJECTED].unlink()

    report = audit(spool, ledger, progress=meanwhile(expire))

    assert report.faults == []
    assert (report.shelved, report.expired) == (2, 1)


@pytest.mark.usefixtures("places")
def test_what_is_judged_and_shelved_meanwhile_is_no_fault(spool: Spool, ledger: Ledger) -> None:
    def judge() -> None:
        (queued,) = spool.queued(1)
        verdict = example_verdict(3)
        ledger.record([verdict], {})
        Results(spool.paths.results, ledger).project([DAY])
        spool.shelve(queued, verdict)
        file_away(spool, ledger, 7)

    report = audit(spool, ledger, progress=meanwhile(judge))

    assert report.faults == []


@pytest.mark.usefixtures("places")
def test_what_is_taken_in_meanwhile_is_counted_as_queued(spool: Spool, ledger: Ledger) -> None:
    def take_in() -> None:
        for number in (7, 8):
            (spool.paths.inbox / f"{number}.jpg").write_bytes(b"picture")
            queued = spool.take_in(spool.paths.inbox / f"{number}.jpg", example_id(number))
            if number == 7:
                ledger.begin([queued.item])

    report = audit(spool, ledger, progress=meanwhile(take_in))

    assert report.faults == []
    assert (report.seen, report.queued, report.shelved) == (6, 3, 3)

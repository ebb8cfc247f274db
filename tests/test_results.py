"""The daily CSV files: whatever happened to one, it ends as exactly what the ledger says."""

import csv
import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from returnsd.ledger import LEDGER, Ledger
from returnsd.records import DECISION_COLUMNS, VERDICT_COLUMNS, verdict_cells
from returnsd.results import Healed, Results
from tests.examples import DAY, NOON, ZONE, enter, example_id, example_verdict

FILE = f"returns-{DAY}.csv"


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / LEDGER)
    yield ledger
    ledger.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


@pytest.fixture
def path(folder: Path) -> Path:
    return folder / FILE


def written(folder: Path, ledger: Ledger, count: int = 3) -> Results:
    """Record some rows, write them, and remember how far, as a service that stops in good order."""
    enter(ledger, *(example_verdict(number, f"Größe, {number}.jpg") for number in range(count)))
    results = Results(folder, ledger)
    results.project([DAY])
    ledger.note_written(results.written)
    return results


def state(path: Path) -> tuple[int, int, bytes]:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, path.read_bytes()


# --- writing


def test_a_days_file_has_one_header_and_a_row_for_each_verdict(folder: Path, ledger: Ledger, path: Path) -> None:
    written(folder, ledger)

    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == list(VERDICT_COLUMNS)
    assert rows == [verdict_cells(verdict) for _, verdict in ledger.verdicts_of()]


def test_later_rows_are_appended_and_earlier_bytes_stay(folder: Path, ledger: Ledger, path: Path) -> None:
    results = written(folder, ledger)
    inode, _, before = state(path)
    enter(ledger, example_verdict(7))

    healed = results.project([DAY])

    assert healed == []
    assert path.stat().st_ino == inode
    assert path.read_bytes().startswith(before)
    assert path.read_bytes() == results.expected(DAY)


def test_at_midnight_the_next_day_begins_a_file_of_its_own(folder: Path, ledger: Ledger) -> None:
    midnight = datetime(2026, 3, 2, tzinfo=ZONE)
    late, early = midnight - timedelta(milliseconds=1), midnight
    enter(ledger, example_verdict(1, judged_at=late), example_verdict(2, judged_at=early))
    enter(ledger, example_verdict(3, judged_at=late))
    results = Results(folder, ledger)

    results.project(["2026-03-01", "2026-03-02"])

    rows = {day: results.file_of(day).read_bytes() for day in results.days()}
    assert list(rows) == ["2026-03-01", "2026-03-02"]
    assert [example_id(n).encode() in rows["2026-03-01"] for n in (1, 2, 3)] == [True, False, True]
    assert [example_id(n).encode() in rows["2026-03-02"] for n in (1, 2, 3)] == [False, True, False]


def test_decisions_have_files_of_their_own(folder: Path, ledger: Ledger, path: Path) -> None:
    returns = written(folder, ledger)
    before = state(path)
    ledger.decide(example_id(0), "stripes", NOON, "anna")
    decisions = Results(folder, ledger, "decisions")

    decisions.project([DAY])

    lines = (folder / f"decisions-{DAY}.csv").read_text().splitlines()
    assert lines[0] == ",".join(DECISION_COLUMNS)
    assert len(lines) == 2
    assert "anna" in lines[1]
    assert state(path) == before
    assert (set(returns.written), set(decisions.written)) == ({FILE}, {f"decisions-{DAY}.csv"})


def test_two_processes_that_write_decisions_do_not_lose_or_double_each_others(folder: Path, ledger: Ledger) -> None:
    enter(ledger, *(example_verdict(number) for number in range(6)))
    page, command = (Results(folder, ledger, "decisions") for _ in range(2))

    for number in range(6):
        ledger.decide(example_id(number), "dots", NOON, "anna")
        (page, command)[number % 2].project([DAY])

    assert page.file_of(DAY).read_bytes() == page.expected(DAY)


# --- healing


def test_where_nothing_is_amiss_nothing_is_touched(folder: Path, ledger: Ledger, path: Path) -> None:
    written(folder, ledger)
    before = state(path)

    healed = Results(folder, ledger).heal()

    assert healed == []
    assert state(path) == before


def test_a_file_cut_off_anywhere_is_completed(folder: Path, ledger: Ledger, path: Path) -> None:
    written(folder, ledger)
    whole = path.read_bytes()

    for length in (0, 1, 20, len(whole) // 2, whole.index(b"\n"), whole.index(b"\n") + 1, len(whole) - 1):
        path.write_bytes(whole[:length])

        healed = Results(folder, ledger).heal()

        assert healed == [Healed(FILE, "completed")], length
        assert path.read_bytes() == whole, length


def test_a_file_that_was_deleted_is_written_again(folder: Path, ledger: Ledger, path: Path) -> None:
    written(folder, ledger)
    whole = path.read_bytes()
    path.unlink()

    healed = Results(folder, ledger).heal()

    assert healed == [Healed(FILE, "completed")]
    assert path.read_bytes() == whole


def test_rows_that_only_the_ledger_has_are_added(folder: Path, ledger: Ledger, path: Path) -> None:
    written(folder, ledger)
    enter(ledger, example_verdict(7))

    results = Results(folder, ledger)
    results.heal()

    assert example_id(7).encode() in path.read_bytes()
    assert path.read_bytes() == results.expected(DAY)


def test_a_death_between_the_file_and_the_note_of_it_changes_nothing(
    folder: Path, ledger: Ledger, path: Path
) -> None:
    results = written(folder, ledger)
    enter(ledger, example_verdict(7))
    results.project([DAY])
    before = state(path)

    healed = Results(folder, ledger).heal()

    assert healed == [Healed(FILE, "complete")]
    assert state(path) == before


@pytest.mark.parametrize(
    "edit",
    [
        lambda whole: whole + b"a row of my own\r\n",
        lambda whole: whole.replace(b"dots", b"stripes"),
        lambda whole: whole.replace(b"\r\n", b"\n"),
        lambda whole: b"\xef\xbb\xbf" + whole,
        lambda whole: whole[:200] + b"\0" * (len(whole) - 100),
    ],
    ids=["row added", "cell changed", "line ends", "saved by a spreadsheet", "zeros after a power cut"],
)
def test_a_file_that_someone_changed_is_kept_aside_and_written_anew(
    edit: Callable[[bytes], bytes], folder: Path, ledger: Ledger, path: Path
) -> None:
    written(folder, ledger)
    whole = path.read_bytes()
    path.write_bytes(edit(whole))

    healed = Results(folder, ledger).heal()

    aside = f"returns-{DAY}.changed-1.csv"
    assert healed == [Healed(FILE, "rewritten", aside)]
    assert path.read_bytes() == whole
    assert (folder / aside).read_bytes() == edit(whole)


def test_every_edit_is_kept_under_a_name_of_its_own(folder: Path, ledger: Ledger, path: Path) -> None:
    results = written(folder, ledger)

    for number in (1, 2, 3):
        path.write_bytes(b"edit %d" % number)
        results.project([DAY])

    kept = [(folder / f"returns-{DAY}.changed-{number}.csv").read_bytes() for number in (1, 2, 3)]
    assert kept == [b"edit 1", b"edit 2", b"edit 3"]
    assert path.read_bytes() == results.expected(DAY)


def test_a_file_found_edited_while_rows_are_added_gets_those_too(folder: Path, ledger: Ledger, path: Path) -> None:
    results = written(folder, ledger)
    path.write_bytes(path.read_bytes() + b"edited\r\n")
    enter(ledger, example_verdict(7))

    healed = results.project([DAY])
    enter(ledger, example_verdict(8))
    later = results.project([DAY])

    assert ([one.how for one in healed], later) == (["rewritten"], [])
    assert path.read_bytes() == results.expected(DAY)


def test_only_the_day_that_is_amiss_is_healed(folder: Path, ledger: Ledger, path: Path) -> None:
    written(folder, ledger)
    enter(ledger, example_verdict(9, judged_at=NOON + timedelta(days=1)))
    results = Results(folder, ledger)
    results.project(["2026-03-02"])
    ledger.note_written(results.written)
    before = state(path)
    results.file_of("2026-03-02").unlink()

    healed = Results(folder, ledger).heal()

    assert [one.file for one in healed] == ["returns-2026-03-02.csv"]
    assert state(path) == before


# --- rebuilding


def test_a_rebuilt_file_is_the_same_byte_for_byte_and_is_then_left_alone(
    folder: Path, ledger: Ledger, path: Path
) -> None:
    results = written(folder, ledger)
    before = state(path)

    changed = results.rebuild(DAY)

    assert not changed
    assert state(path) == before


@pytest.mark.parametrize("damage", ["edited to the same size", "deleted"])
def test_a_rebuild_says_whether_it_changed_a_byte(damage: str, folder: Path, ledger: Ledger, path: Path) -> None:
    results = written(folder, ledger)
    whole = path.read_bytes()
    if damage == "deleted":
        path.unlink()
    else:
        path.write_bytes(whole.replace(b"dots", b"DOTS"))

    changed = results.rebuild(DAY)

    assert changed
    assert path.read_bytes() == whole


def test_rows_go_on_after_a_rebuild(folder: Path, ledger: Ledger, path: Path) -> None:
    results = written(folder, ledger)
    os.truncate(path, 10)
    results.rebuild(DAY)
    enter(ledger, example_verdict(7))

    healed = results.project([DAY])

    assert healed == []
    assert path.read_bytes() == results.expected(DAY)

"""Records and their rows: what is written can be read back, and opened in a spreadsheet without harm."""

import csv
import io
import os
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from returnsd.records import (
    DECISION_COLUMNS,
    VERDICT_COLUMNS,
    csv_bytes,
    decision_cells,
    printable,
    time_text,
    verdict_cells,
)
from tests.examples import example_decision, example_id, example_rejection, example_verdict

FORMULA_STARTS = "=+-@＝＋－＠"
NAMES = st.binary(min_size=1, max_size=60).map(
    lambda raw: os.fsdecode(raw.replace(b"/", b"_").replace(b"\0", b"_"))
)
NASTY = st.text(st.sampled_from("=+-@＝'\";,\t\r\n |\0a1(!"), max_size=12)


def parsed(data: bytes, delimiter: str = ",") -> list[list[str]]:
    """Read CSV as a spreadsheet does that takes this for the separator."""
    return list(csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter))


# --- rows


def test_a_verdict_is_this_row_for_ever() -> None:
    verdict = example_verdict(1, "RMA-1 front.jpg", duplicate_of=example_id(0))

    cells = verdict_cells(verdict)

    assert dict(zip(VERDICT_COLUMNS, cells, strict=True)) == {
        "item_id": example_id(1),
        "received_at": "2026-03-01T12:00:01.250+02:00",
        "judged_at": "2026-03-01T12:00:02.250+02:00",
        "file_name": "RMA-1 front.jpg",
        "return_id": "RMA-1",
        "category": "dots",
        "confidence": "0.6250",
        "shelf": "review",
        "reason": "below_threshold",
        "runner_up": "noise",
        "runner_up_confidence": "0.2500",
        "shortlist": "dots|noise",
        "duplicate_of": example_id(0),
        "model": "tiny-1.0+00000000",
        "sha256": "0" * 63 + "1",
    }


def test_a_decision_is_this_row_for_ever() -> None:
    cells = decision_cells(example_decision(1))

    assert dict(zip(DECISION_COLUMNS, cells, strict=True)) == {
        "item_id": example_id(1),
        "decided_at": "2026-03-01T13:00:00.250+02:00",
        "decided_by": "anna",
        "file_name": "1.jpg",
        "return_id": "RMA-1",
        "category": "stripes",
        "shelf": "archive",
        "reason": "",
        "predicted": "dots",
        "confidence": "0.6250",
        "sha256": "0" * 63 + "1",
    }


def test_absent_is_an_empty_cell_and_zero_is_a_zero() -> None:
    absent = verdict_cells(example_rejection(1, return_id=None, sha256=None))
    zero = verdict_cells(example_verdict(1, confidence=0.0, runner_up_confidence=0.0))

    by_column = dict(zip(VERDICT_COLUMNS, absent, strict=True))
    assert {column for column, cell in by_column.items() if not cell} == {
        "return_id", "category", "confidence", "runner_up", "runner_up_confidence", "shortlist", "duplicate_of",
        "sha256",
    }  # fmt: skip
    assert [cell for cell in zero if cell == "0.0000"] == ["0.0000"] * 2


@given(NAMES, st.floats(0, 1), st.datetimes(timezones=st.just(timezone(timedelta(hours=-7, minutes=-30)))))
def test_a_row_that_was_written_can_be_read_back(name: str, confidence: float, judged_at: datetime) -> None:
    verdict = example_verdict(1, name, confidence=confidence, judged_at=judged_at)

    ((*cells,),) = parsed(csv_bytes([verdict_cells(verdict)]))

    row = dict(zip(VERDICT_COLUMNS, cells, strict=True))
    assert cells == verdict_cells(verdict)
    assert datetime.fromisoformat(row["judged_at"]) == judged_at.replace(
        microsecond=judged_at.microsecond // 1000 * 1000
    )
    assert float(row["confidence"]) == pytest.approx(confidence, abs=0.5001e-4)
    assert tuple(row["shortlist"].split("|")) == verdict.shortlist


def test_lines_are_rfc_4180() -> None:
    data = csv_bytes([["plain", "two words"], ['say "a"', "a,b"], ["line\nbreak", ""]])

    assert data == b'plain,two words\r\n"say ""a""","a,b"\r\n"line\nbreak",\r\n'


# --- cells


@pytest.mark.parametrize("name", ["a.jpg", "Größe 3.jpg", "x=1.jpg", "a-b.jpg", "it's; fine.jpg", "a@b.jpg"])
def test_a_harmless_name_is_written_as_it_is(name: str) -> None:
    cells = verdict_cells(example_verdict(1, name))

    assert cells[VERDICT_COLUMNS.index("file_name")] == name


@pytest.mark.parametrize(
    "name",
    [
        "=cmd|' /C calc'!A0.jpg", "+1.jpg", "-rf.jpg", "@SUM(1).jpg", "\t=1.jpg", "\r=1.jpg", "\n=1.jpg",
        "＝1.jpg", " =1.jpg",
    ],
)  # fmt: skip
def test_a_formula_is_made_text_by_an_apostrophe(name: str) -> None:
    cells = verdict_cells(example_verdict(1, name))

    assert cells[VERDICT_COLUMNS.index("file_name")].startswith("'" + name[0])


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("a;=1+1;b.jpg", "a;'=1+1;b.jpg"),
        ("a\t=1.jpg", "a\t'=1.jpg"),
        ("a\n=1.jpg", "a\n'=1.jpg"),
        ('a";"=1;b.jpg', 'a";\'"=1;b.jpg'),
    ],
)
def test_a_formula_behind_what_some_spreadsheets_take_for_a_separator_is_made_text_too(
    name: str, cell: str
) -> None:
    cells = verdict_cells(example_verdict(1, name))

    assert cells[VERDICT_COLUMNS.index("file_name")] == cell


@given(NASTY, st.sampled_from([",", ";", "\t"]))
def test_no_cell_is_ever_run_whatever_the_spreadsheet_takes_for_a_separator(text: str, delimiter: str) -> None:
    verdict = verdict_cells(example_verdict(1, text, return_id=text, category=text, runner_up=text, model=text))
    decision = decision_cells(example_decision(1, decided_by=text, reason=text, predicted=text))

    rows = parsed(csv_bytes([verdict, decision]), delimiter)

    assert [cell for row in rows for cell in row if cell.lstrip().startswith(tuple(FORMULA_STARTS))] == []


@given(NAMES)
def test_any_name_is_printable_as_unicode_and_tells_its_odd_bytes(name: str) -> None:
    shown = printable(name)

    assert shown == os.fsencode(name).decode("utf-8", "backslashreplace")
    shown.encode()


def test_a_nul_never_reaches_the_file() -> None:
    data = csv_bytes([decision_cells(example_decision(1, decided_by="an\0na"))])

    assert b"an\\0na" in data
    assert b"\0" not in data


# --- times


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (datetime(2026, 3, 1, 12, 0, 0, 999_999, UTC), "2026-03-01T12:00:00.999+00:00"),
        (datetime(2026, 3, 1, tzinfo=timezone(timedelta(hours=5, minutes=45))), "2026-03-01T00:00:00.000+05:45"),
    ],
)
def test_a_time_has_milliseconds_and_its_offset(time: datetime, text: str) -> None:
    assert time_text(time) == text


def test_the_day_is_the_local_one() -> None:
    midnight = datetime(2026, 6, 1, 0, 0, 0, 1, timezone(timedelta(hours=2)))

    assert example_verdict(1, judged_at=midnight).day == "2026-06-01"
    assert example_decision(1, decided_at=midnight - timedelta(seconds=1)).day == "2026-05-31"


# --- the records themselves


def test_a_record_cannot_be_changed_by_accident() -> None:
    verdict = example_verdict(1)

    with pytest.raises(FrozenInstanceError):
        verdict.shelf = "archive"  # type: ignore[misc, assignment]


def test_only_a_withdrawal_is_withdrawn() -> None:
    assert example_decision(1, reason="withdrawn").withdrawn
    assert not example_decision(1).withdrawn
    assert not example_decision(1, reason="not_a_product").withdrawn

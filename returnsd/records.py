"""The records that travel through the service, and the one place that knows how they become rows.

All are frozen: change one with `dataclasses.replace`. Times are aware datetimes. File names are `str` as
Python decodes them from the file system (bytes that are no UTF-8 become surrogates).
"""

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Shelf(StrEnum):
    """Where a file ends."""

    ARCHIVE = "archive"
    REVIEW = "review"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Item:
    """One arrival that we took: its id, its name in the inbox and when we took it."""

    id: str
    file_name: str
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the model says: the best category and its probability, the runner-up, and the shortlist.

    Where categories nearly coincide and are grouped, `group` holds those of the best group, best first, and
    `group_confidence` the probability of them all; it is empty where a category on its own is best.
    """

    category: str
    confidence: float
    runner_up: str | None
    runner_up_confidence: float | None
    shortlist: tuple[str, ...]
    group: tuple[str, ...] = ()
    group_confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What we do about an item: one row. Absent is None; a rejected item has no category."""

    item_id: str
    received_at: datetime
    judged_at: datetime
    file_name: str
    return_id: str | None
    category: str | None
    confidence: float | None
    shelf: Shelf
    reason: str
    runner_up: str | None
    runner_up_confidence: float | None
    shortlist: tuple[str, ...]
    duplicate_of: str | None
    model: str
    sha256: str | None

    @property
    def day(self) -> str:
        """The local day of judged_at, which names the CSV file: YYYY-MM-DD."""
        return self.judged_at.date().isoformat()


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person said of an item: it belongs to a category, or is rejected for a reason.

    Nothing is overwritten: the newest decision on an item counts. One with the reason `withdrawn` takes back
    the one before it; the item is then where its verdict put it, and waits again.
    """

    item_id: str
    decided_at: datetime
    decided_by: str
    shelf: Shelf
    category: str | None
    reason: str | None
    file_name: str
    return_id: str | None
    predicted: str | None
    confidence: float | None
    sha256: str | None

    @property
    def withdrawn(self) -> bool:
        """Whether it only takes back the decision before it."""
        return self.reason == WITHDRAWN

    @property
    def day(self) -> str:
        """The local day of decided_at: YYYY-MM-DD."""
        return self.decided_at.date().isoformat()


WITHDRAWN = "withdrawn"

NAMELESS, BY_FOLDER = "page", "folder"
"""Who decided, in the ledger and the results, where a person gave no name, or used a file manager."""

VERDICT_COLUMNS = (
    "item_id", "received_at", "judged_at", "file_name", "return_id", "category", "confidence", "shelf", "reason",
    "runner_up", "runner_up_confidence", "shortlist", "duplicate_of", "model", "sha256",
)  # fmt: skip

DECISION_COLUMNS = (
    "item_id", "decided_at", "decided_by", "file_name", "return_id", "category", "shelf", "reason", "predicted",
    "confidence", "sha256",
)  # fmt: skip

SHORTLIST_SEPARATOR = "|"
# A spreadsheet runs a cell that begins with one of these as a formula (OWASP, CSV injection). Where it takes ; or
# the tab for the separator too, a cell of its own begins in the middle of one of ours.
_FORMULA_START = re.compile(r"""(^|[;\t\r\n])(?=[\s"]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n])""")


def verdict_cells(verdict: Verdict) -> list[str]:
    """Return the verdict's row, in the order of VERDICT_COLUMNS."""
    return [
        verdict.item_id,
        time_text(verdict.received_at),
        time_text(verdict.judged_at),
        _text(verdict.file_name),
        _text(verdict.return_id),
        _text(verdict.category),
        _probability(verdict.confidence),
        verdict.shelf.value,
        verdict.reason,
        _text(verdict.runner_up),
        _probability(verdict.runner_up_confidence),
        _text(SHORTLIST_SEPARATOR.join(verdict.shortlist)),
        verdict.duplicate_of or "",
        _text(verdict.model),
        verdict.sha256 or "",
    ]


def decision_cells(decision: Decision) -> list[str]:
    """Return the decision's row, in the order of DECISION_COLUMNS."""
    return [
        decision.item_id,
        time_text(decision.decided_at),
        _text(decision.decided_by),
        _text(decision.file_name),
        _text(decision.return_id),
        _text(decision.category),
        decision.shelf.value,
        _text(decision.reason),
        _text(decision.predicted),
        _probability(decision.confidence),
        decision.sha256 or "",
    ]


def csv_bytes(rows: Iterable[Iterable[str]]) -> bytes:
    """Return the rows as RFC 4180 lines in UTF-8."""
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\r\n").writerows(rows)
    return buffer.getvalue().encode()


def time_text(time: datetime) -> str:
    """Return the time as RFC 3339 with milliseconds and offset."""
    return time.isoformat(timespec="milliseconds")


def printable(name: str) -> str:
    """Return a file name as valid Unicode: a byte that is no UTF-8 is shown as \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _text(value: str | None) -> str:
    """Return a cell that no spreadsheet will run."""
    return _FORMULA_START.sub(r"\1'", printable(value or "").replace("\0", "\\0"))


def _probability(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"

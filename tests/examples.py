"""Ready-made records for tests: item number n, the verdict on it, and a decision about it."""

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from returnsd import item_id
from returnsd.ledger import Ledger
from returnsd.records import Decision, Item, Shelf, Verdict
from returnsd.results import Results
from returnsd.spool import Spool

ZONE = timezone(timedelta(hours=2))
NOON = datetime(2026, 3, 1, 12, 0, 0, 250_000, ZONE)
DAY = "2026-03-01"


def example_id(number: int) -> str:
    """Return an id that sorts by its number."""
    return item_id.new(NOON + timedelta(seconds=number), number.to_bytes(10, "big"))


def example_item(number: int, file_name: str | None = None) -> Item:
    """Return an item that was taken in `number` seconds after noon."""
    name = file_name if file_name is not None else f"{number}.jpg"
    return Item(example_id(number), name, NOON + timedelta(seconds=number))


def example_verdict(number: int, file_name: str | None = None, **changes: Any) -> Verdict:
    """Return a verdict on that item: to review, unless changed."""
    item = example_item(number, file_name)
    verdict = Verdict(
        item_id=item.id,
        received_at=item.received_at,
        judged_at=item.received_at + timedelta(seconds=1),
        file_name=item.file_name,
        return_id=f"RMA-{number}",
        category="dots",
        confidence=0.625,
        shelf=Shelf.REVIEW,
        reason="below_threshold",
        runner_up="noise",
        runner_up_confidence=0.25,
        shortlist=("dots", "noise"),
        duplicate_of=None,
        model="tiny-1.0+00000000",
        sha256=f"{number:064x}",
    )
    return replace(verdict, **changes)


def arrived(number: int, at: datetime, **changes: Any) -> Verdict:
    """Return a verdict on an item that was received and judged at a time, which its id tells, too."""
    received = item_id.new(at, number.to_bytes(10, "big"))
    return example_verdict(number, **{"item_id": received, "received_at": at, "judged_at": at, **changes})


def example_rejection(number: int, file_name: str | None = None, **changes: Any) -> Verdict:
    """Return a verdict that rejects that item."""
    nothing: dict[str, Any] = {
        "category": None,
        "confidence": None,
        "shelf": Shelf.REJECTED,
        "reason": "damaged",
        "runner_up": None,
        "runner_up_confidence": None,
        "shortlist": (),
    }
    return example_verdict(number, file_name, **{**nothing, **changes})


def example_decision(number: int, **changes: Any) -> Decision:
    """Return a decision that calls that item stripes, an hour after noon."""
    verdict = example_verdict(number)
    decision = Decision(
        item_id=verdict.item_id,
        decided_at=NOON + timedelta(hours=1),
        decided_by="anna",
        shelf=Shelf.ARCHIVE,
        category="stripes",
        reason=None,
        file_name=verdict.file_name,
        return_id=verdict.return_id,
        predicted=verdict.category,
        confidence=verdict.confidence,
        sha256=verdict.sha256,
    )
    return replace(decision, **changes)


def enter(ledger: Ledger, *verdicts: Verdict) -> None:
    """Record these verdicts, their items first, as the worker does."""
    ledger.begin(Item(verdict.item_id, verdict.file_name, verdict.received_at) for verdict in verdicts)
    ledger.record(verdicts, {})


def file_away(spool: Spool, ledger: Ledger, number: int, **changes: Any) -> Path:
    """Bring a file with the bytes `picture <number>` and a verdict to its shelf, as the worker does."""
    data = f"picture {number}".encode()
    spool.paths.inbox.mkdir(parents=True, exist_ok=True)
    (spool.paths.inbox / f"{number}.jpg").write_bytes(data)
    queued = spool.take_in(spool.paths.inbox / f"{number}.jpg", example_id(number))
    verdict = example_verdict(number, **{"sha256": hashlib.sha256(data).hexdigest(), **changes})
    enter(ledger, verdict)
    results = Results(spool.paths.results, ledger)
    results.project([verdict.day])
    ledger.note_written(results.written)
    return spool.shelve(queued, verdict)

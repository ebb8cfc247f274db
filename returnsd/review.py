"""A person's decision on an item in review: recorded first, written to the day's CSV, then the file is moved.

The same rule as the worker's: a decision that is recorded is carried on to its end by whoever looks next.
"""

from collections.abc import Sequence
from datetime import datetime
from difflib import get_close_matches

from returnsd.errors import DecisionError
from returnsd.ledger import Ledger
from returnsd.records import WITHDRAWN, Decision
from returnsd.results import Results
from returnsd.spool import Spool

NOT_A_PRODUCT = "not_a_product"
"""The reason of an item that a person rejects: there is nothing to classify, or the picture must be retaken."""


def decide(
    spool: Spool,
    ledger: Ledger,
    item: str,
    category: str | None,
    *,
    by: str,
    decided_at: datetime,
    categories: Sequence[str],
    reason: str | None = None,
) -> Decision:
    """Settle an item of the review shelf: under a category, or None to reject it (reason: not_a_product).

    Raises DecisionError if item or category is unknown, AlreadyDecided if someone settled it before.
    """
    check_category(category, categories)
    decision = note(ledger, item, category, by, decided_at, reason)
    finish(spool, ledger, [(decision, None)])
    return decision


def check_category(category: str | None, categories: Sequence[str]) -> None:
    """DecisionError with those most alike if there is no such category; None is none and always right."""
    if category is None or category in categories:
        return
    close = get_close_matches(category, categories, n=3, cutoff=0.4)
    hint = f"; did you mean {' or '.join(close)}?" if close else f"; known are: {', '.join(categories)}"
    raise DecisionError(f"unknown category {category!r}{hint}")


def note(
    ledger: Ledger, item: str, category: str | None, by: str, decided_at: datetime, reason: str | None = None
) -> Decision:
    """Record a decision under a category that was checked, or a rejection; `finish` carries it on."""
    if reason == WITHDRAWN:
        raise DecisionError(
            f"{WITHDRAWN!r} is no reason to reject an item: it marks a decision that was taken back"
        )
    why = (reason or NOT_A_PRODUCT) if category is None else None
    return ledger.decide(item, category, decided_at, by, why)


def withdraw(spool: Spool, ledger: Ledger, item: str, *, by: str, decided_at: datetime) -> Decision:
    """Take back the decision on an item and put it back into review; DecisionError if there is none."""
    withdrawal, earlier = ledger.withdraw(item, decided_at, by)
    finish(spool, ledger, [(withdrawal, earlier)])
    return withdrawal


def finish(spool: Spool, ledger: Ledger, decisions: Sequence[tuple[Decision, Decision | None]]) -> None:
    """Carry recorded decisions (each with the one it takes back) on to the CSV and the shelf; done is done."""
    results = Results(spool.paths.results, ledger, "decisions")
    results.project(sorted({decision.day for decision, _ in decisions}))
    ledger.note_written(results.written)
    for decision, earlier in decisions:
        _move(spool, ledger, decision, [earlier] if earlier is not None else [])


def heal(spool: Spool, ledger: Ledger) -> int:
    """Finish the decisions that were interrupted; return how many files were moved."""
    results = Results(spool.paths.results, ledger, "decisions")
    if results.heal():
        ledger.note_written(results.written)
    expired = ledger.expired()
    of_item: dict[str, list[Decision]] = {}
    for _, decision in ledger.decisions_of():
        of_item.setdefault(decision.item_id, []).append(decision)
    moved = 0
    for item, (*earlier, newest) in of_item.items():
        if item not in expired and not spool.decided_place(newest).exists():
            # more than one may have been interrupted: any of them may be where its file lies
            moved += _move(spool, ledger, newest, earlier)
    return moved


def _move(spool: Spool, ledger: Ledger, decision: Decision, earlier: Sequence[Decision]) -> bool:
    verdict = ledger.verdict(decision.item_id)
    assert verdict is not None  # a decision refers to one
    lay_at = spool.expected_places(verdict, None) + [spool.decided_place(one) for one in earlier]
    return spool.file_decision(decision, lay_at) is not None

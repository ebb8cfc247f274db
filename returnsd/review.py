"""A person's decision on an item in review: recorded first, written to the day's CSV, then the file is moved.

The same rule as the worker's: a decision that is recorded is carried on to its end by whoever looks next. So what
fails after the record is no failure of the decision: it is `Pending`, with what is in the way.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches

from returnsd.errors import DecisionError
from returnsd.ledger import Ledger
from returnsd.obstacles import Obstacle, obstacle
from returnsd.records import WITHDRAWN, Decision
from returnsd.results import Results
from returnsd.spool import Spool

NOT_A_PRODUCT = "not_a_product"
"""The reason of an item that a person rejects: there is nothing to classify, or the picture must be retaken."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A recorded decision that is not carried out yet.

    `obstacle` is what is in the way; None if the item's file lies nowhere where it should.
    """

    decision: Decision
    obstacle: Obstacle | None


@dataclass(frozen=True, slots=True)
class Healed:
    """What came of carrying on interrupted decisions: how many files were moved, and what has to wait."""

    moved: int
    pending: list[Pending]


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
    finish(spool, ledger, [decision])
    return decision


def check_category(category: str | None, categories: Sequence[str]) -> None:
    """DecisionError with those most alike if there is no such category; None is none and always right."""
    if category is None or category in categories:
        return
    alike = {known.casefold(): known for known in categories}
    close = [alike[name] for name in get_close_matches(category.casefold(), alike, n=3, cutoff=0.6)]
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
    withdrawal = ledger.withdraw(item, decided_at, by)
    finish(spool, ledger, [withdrawal])
    return withdrawal


def finish(spool: Spool, ledger: Ledger, decisions: Sequence[Decision]) -> list[Pending]:
    """Carry recorded decisions on to the CSV and the shelf; done is done.

    Returns those that cannot be carried on now: they are recorded all the same, and `finish` tries them again.
    """
    try:
        results = Results(spool.paths.results, ledger, "decisions")
        results.project(sorted({decision.day for decision in decisions}))
        ledger.note_written(results.written)
    except (OSError, sqlite3.OperationalError) as error:
        unwritable = obstacle(error, spool.paths)
        return [Pending(decision, unwritable) for decision in decisions]  # the CSV comes first
    return [left for decision in decisions if (left := _carry(spool, ledger, decision)) is not None]


def heal(spool: Spool, ledger: Ledger) -> Healed:
    """Finish the decisions that were interrupted, as far as that can be done now.

    An item whose file lies nowhere is none of them: whoever took it from its shelf has it.
    """
    unwritable = _heal_results(spool, ledger)
    expired = ledger.expired()
    moved, pending = 0, []
    for item, newest in ledger.newest_decisions().items():
        if item in expired or spool.lies_where_decided(newest):
            continue
        if unwritable is not None:
            pending.append(Pending(newest, unwritable))
        elif (left := _carry(spool, ledger, newest)) is None:
            moved += 1
        elif left.obstacle is not None:
            pending.append(left)
    return Healed(moved, pending)


def _heal_results(spool: Spool, ledger: Ledger) -> Obstacle | None:
    """Bring the CSV files up to the ledger; return what is in the way."""
    results = Results(spool.paths.results, ledger, "decisions")
    try:
        if results.heal():
            ledger.note_written(results.written)
    except (OSError, sqlite3.OperationalError) as error:
        return obstacle(error, spool.paths)
    return None


def _carry(spool: Spool, ledger: Ledger, decision: Decision) -> Pending | None:
    """Move an item's file to where a decision puts it; return what is left to do, None if nothing is."""
    verdict = ledger.verdict(decision.item_id)
    assert verdict is not None  # a decision refers to one
    *earlier, newest = ledger.decisions_on(decision.item_id)
    if newest != decision:
        return None  # someone decided anew: the file goes there
    # more than one may have been interrupted: any of them may be where its file lies
    lay_at = spool.expected_places(verdict, None) + [spool.decided_place(one) for one in earlier]
    try:
        if spool.file_decision(decision, lay_at) is not None or spool.lies_where_decided(decision):
            return None
    except OSError as error:
        return Pending(decision, obstacle(error, spool.paths))
    return Pending(decision, None)

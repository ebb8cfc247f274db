"""A person's decision on an item in review: recorded first, written to the day's CSV, then the file is moved.

The same rule as the worker's: a decision that is recorded is carried on to its end by whoever looks next.
"""

from collections.abc import Sequence
from datetime import datetime
from difflib import get_close_matches

from returnsd.errors import DecisionError
from returnsd.ledger import Ledger
from returnsd.records import Decision
from returnsd.results import Results
from returnsd.spool import Spool


def decide(
    spool: Spool,
    ledger: Ledger,
    item: str,
    category: str,
    *,
    by: str,
    decided_at: datetime,
    categories: Sequence[str],
) -> Decision:
    """Settle an item of the review shelf; DecisionError if item or category is unknown or it was decided."""
    if category not in categories:
        close = get_close_matches(category, categories, n=3, cutoff=0.4)
        hint = f"; did you mean {' or '.join(close)}?" if close else f"; known are: {', '.join(categories)}"
        raise DecisionError(f"unknown category {category!r}{hint}")
    decision = ledger.decide(item, category, decided_at, by)
    finish(spool, ledger, [decision])
    return decision


def finish(spool: Spool, ledger: Ledger, decisions: Sequence[Decision]) -> None:
    """Carry recorded decisions on to the CSV and the archive; done already is done."""
    results = Results(spool.paths.results, ledger, "decisions")
    results.project(sorted({decision.day for decision in decisions}))
    ledger.note_written(results.written)
    for decision in decisions:
        spool.file_decision(decision)


def heal(spool: Spool, ledger: Ledger) -> int:
    """Finish the decisions that were interrupted; return how many files were moved."""
    results = Results(spool.paths.results, ledger, "decisions")
    if results.heal():
        ledger.note_written(results.written)
    waiting = {name[:26] for name in _names(spool)}
    unfinished = [decision for _, decision in ledger.decisions_of() if decision.item_id in waiting]
    for decision in unfinished:
        spool.file_decision(decision)
    return len(unfinished)


def _names(spool: Spool) -> list[str]:
    return [path.name for path in spool.paths.review.iterdir()]

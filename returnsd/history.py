"""Questions about single items: what waits in review, what answers a search, what became of one.

Reads the ledger through connections of its own and never writes; lists are bounded. What a person may search by
is a `Question`; how an item stands now, decisions included, a `Standing`. How much of what: see figures.
"""

import json
import sqlite3
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from returnsd.ledger import Ledger
from returnsd.records import Decision, Shelf, Verdict

# the newest decision of an item, unless it only takes back the one before it
IN_FORCE = (
    "LEFT JOIN decision d ON d.seq = (SELECT max(seq) FROM decision WHERE item_id = v.item_id)"
    " AND d.reason IS NOT 'withdrawn'"
)
CATEGORY = "CASE WHEN d.seq IS NULL THEN v.category ELSE d.category END"
SHELF = "CASE WHEN d.seq IS NULL THEN v.shelf ELSE d.shelf END"


@dataclass(frozen=True, slots=True)
class Standing:
    """An item as it stands now: its verdict, and the decision in force if there is one."""

    seq: int
    verdict: Verdict
    decision: Decision | None

    @property
    def category(self) -> str | None:
        """What it is held to be: a person's word counts more than the model's."""
        return self.verdict.category if self.decision is None else self.decision.category

    @property
    def reason(self) -> str | None:
        """Why it lies where it lies: a person's reason, else the verdict's; None where a person gave a category."""
        return self.verdict.reason if self.decision is None else self.decision.reason

    @property
    def shelf(self) -> Shelf:
        """The shelf its file lies on."""
        return self.verdict.shelf if self.decision is None else self.decision.shelf


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched for; None is anything. `text` is an id, or part of a file name or return id."""

    text: str | None = None
    category: str | None = None
    shelf: Shelf | None = None
    day: str | None = None
    before: int | None = None
    limit: int = 60


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of one item; `twins` are other items with the same bytes."""

    item_id: str
    file_name: str
    received_at: datetime
    verdict: Verdict | None
    decisions: list[Decision]
    twins: list[str]
    expired_at: datetime | None

    @property
    def decision(self) -> Decision | None:
        """The decision in force."""
        newest = self.decisions[-1] if self.decisions else None
        return None if newest is None or newest.withdrawn else newest


class History:
    """A reader of the ledger. Use from one thread."""

    def __init__(self, path: Path) -> None:
        """Open the ledger for reading; SpoolError if it was written by a newer returnsd."""
        self._ledger = Ledger(path, read_only=True)
        self._db = connect(path)

    def close(self) -> None:
        """Close both connections."""
        self._ledger.close()
        self._db.close()

    # --- what waits

    def waiting(self, after: int, limit: int) -> list[tuple[int, Verdict]]:
        """Return (seq, verdict) of up to `limit` items recorded beyond a seq that wait in review, oldest first."""
        rows = self._db.execute(
            f"SELECT v.seq, v.item_id FROM verdict v {IN_FORCE}"
            " WHERE v.seq > ? AND v.shelf = 'review' AND v.expired_at IS NULL AND d.seq IS NULL"
            " ORDER BY v.seq LIMIT ?",
            (after, limit),
        ).fetchall()
        verdicts = self._ledger.verdicts([row[1] for row in rows])
        return [(seq, verdicts[found]) for seq, found in rows if found in verdicts]

    def waiting_beyond(self, after: int) -> int:
        """Return how many more wait in review beyond a seq."""
        return self._one(
            f"SELECT count(*) FROM verdict v {IN_FORCE} WHERE v.seq > ? AND v.shelf = 'review'"
            " AND v.expired_at IS NULL AND d.seq IS NULL",
            after,
        )

    def oldest_waiting(self) -> datetime | None:
        """Return when the item was received that has waited longest in review."""
        row = self._db.execute(
            f"SELECT i.received_at FROM verdict v JOIN item i USING (item_id) {IN_FORCE}"
            " WHERE v.shelf = 'review' AND v.expired_at IS NULL AND d.seq IS NULL ORDER BY v.seq LIMIT 1"
        ).fetchone()
        return None if row is None else datetime.fromisoformat(row[0])

    def decided_since(self, after: int) -> list[tuple[int, Decision]]:
        """Return (seq, decision) of all that people said beyond a seq, withdrawals too."""
        return list(self._ledger.decisions_of(after=after))

    def newest_verdict(self) -> int:
        """Return the seq of the newest verdict."""
        return self._one("SELECT ifnull(max(seq), 0) FROM verdict")

    def newest_decision(self) -> int:
        """Return the seq of the newest decision."""
        return self._one("SELECT ifnull(max(seq), 0) FROM decision")

    def verdicts(self, item_ids: Sequence[str]) -> dict[str, Verdict]:
        """Return the verdicts there are on these items."""
        return self._ledger.verdicts(item_ids)

    def vectors(self, item_ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Return the features (n,) that were seen in those of these items that went to review."""
        rows = self._db.execute(
            "SELECT item_id, features FROM vector WHERE item_id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(item_ids)),),
        )
        return {row[0]: np.frombuffer(row[1], "<f2").astype(np.float32) for row in rows}

    # --- items

    def standing(self, item_id: str) -> Standing | None:
        """Return how an item stands; None if it has no row."""
        row = self._db.execute("SELECT seq FROM verdict WHERE item_id = ?", (item_id,)).fetchone()
        found = self._standings([(row[0], item_id)]) if row is not None else []
        return found[0] if found else None

    def search(self, question: Question) -> list[Standing]:
        """Return the items that answer a question, newest first; go on with `before` = the last one's seq."""
        where, values = _conditions(question)
        rows = self._db.execute(
            f"SELECT v.seq, v.item_id FROM verdict v JOIN item i USING (item_id) {IN_FORCE}"
            f" WHERE {' AND '.join(where)} ORDER BY v.seq DESC LIMIT ?",
            (*values, question.limit),
        ).fetchall()
        return self._standings(rows)

    def story(self, item_id: str) -> Story | None:
        """Return all that is known of an item; None if it was never seen."""
        row = self._db.execute(
            "SELECT i.file_name, i.received_at, v.expired_at, v.sha256"
            " FROM item i LEFT JOIN verdict v USING (item_id) WHERE i.item_id = ?",
            (item_id,),
        ).fetchone()
        if row is None:
            return None
        twins = self._db.execute(
            "SELECT item_id FROM verdict WHERE sha256 = ? AND item_id <> ? ORDER BY seq LIMIT 50", (row[3], item_id)
        )
        return Story(
            item_id=item_id,
            file_name=row[0].decode("utf-8", "surrogateescape"),
            received_at=datetime.fromisoformat(row[1]),
            verdict=self._ledger.verdict(item_id),
            decisions=self._ledger.decisions_on(item_id),
            twins=[twin for (twin,) in twins],
            expired_at=None if row[2] is None else datetime.fromisoformat(row[2]),
        )

    def rows(
        self, kind: str, day: str, after: int, limit: int
    ) -> list[tuple[int, Verdict]] | list[tuple[int, Decision]]:
        """Return (seq, record) of a day's rows beyond a seq; `kind` is returns or decisions."""
        if kind == "returns":
            return list(islice(self._ledger.verdicts_of(day, after), limit))
        return list(islice(self._ledger.decisions_of(day, after), limit))

    def _standings(self, rows: Sequence[tuple[int, str]]) -> list[Standing]:
        verdicts = self._ledger.verdicts([row[1] for row in rows])
        standings = []
        for seq, item_id in rows:
            decision = self._ledger.decision(item_id)
            in_force = None if decision is None or decision.withdrawn else decision
            if item_id in verdicts:
                standings.append(Standing(seq, verdicts[item_id], in_force))
        return standings

    def _one(self, query: str, *values: object) -> int:
        return int(self._db.execute(query, values).fetchone()[0])


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection to the ledger that cannot write."""
    db = sqlite3.connect(f"file:{urllib.parse.quote(str(path))}?mode=ro", uri=True, isolation_level=None)
    db.execute("PRAGMA busy_timeout = 30000")
    return db


def _conditions(question: Question) -> tuple[list[str], list[object]]:
    where: list[str] = ["v.seq < ?"]
    values: list[object] = [question.before if question.before is not None else 1 << 62]
    if question.text:
        pattern = "%" + "".join(f"\\{c}" if c in "%_\\" else c for c in question.text) + "%"
        where.append(
            "(v.item_id = ? OR CAST(i.file_name AS TEXT) LIKE ? ESCAPE '\\' OR v.return_id LIKE ? ESCAPE '\\')"
        )
        values += [question.text.upper(), pattern, pattern]
    for condition, value in (
        (f"{CATEGORY} = ?", question.category),
        (f"{SHELF} = ?", question.shelf),
        ("v.day = ?", question.day),
    ):
        if value is not None:
            where.append(condition)
            values.append(value)
    return where, values

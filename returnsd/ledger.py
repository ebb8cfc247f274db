"""The ledger: one SQLite file that is the record of items, verdicts and decisions.

A verdict is durable when `record` returns (WAL, synchronous=FULL); all else here can be lost without harm and
is found again on the disk: an item in the queue that the ledger has not heard of is simply entered anew.
It knows nothing of files or CSV. Any process may read while one writes.
"""

import json
import os
import sqlite3
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from returnsd import schema
from returnsd.errors import AlreadyDecided, DecisionError, SpoolError
from returnsd.records import WITHDRAWN, Decision, Item, Shelf, Verdict
from returnsd.words import author, moment

LEDGER = "ledger.sqlite"
"""The file's name in paths.state."""

_VERDICT = (
    "SELECT v.item_id, i.received_at, v.judged_at, i.file_name, v.return_id, v.category, v.confidence, v.shelf,"
    " v.reason, v.runner_up, v.runner_up_confidence, v.shortlist, v.duplicate_of, v.model, v.sha256, v.seq"
    " FROM verdict v JOIN item i USING (item_id)"
)
_DECISION = (
    "SELECT d.item_id, d.decided_at, d.decided_by, d.shelf, d.category, d.reason, i.file_name, v.return_id,"
    " v.category, v.confidence, v.sha256, d.seq"
    " FROM decision d JOIN verdict v USING (item_id) JOIN item i USING (item_id)"
)


@dataclass(frozen=True, slots=True)
class Written:
    """How far a CSV file reaches: the last row's seq in the ledger, and the file's size in bytes."""

    seq: int
    size_bytes: int


class Ledger:
    """The open ledger. One writer at a time; SQLite makes others wait."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open the ledger, creating it if missing and bringing an older one up to this returnsd.

        SpoolError if it is none, was written by a newer returnsd, or is older and only to be read.
        """
        if read_only:
            self._db = sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True, isolation_level=None)
        else:
            self._db = sqlite3.connect(path, isolation_level=None)
        try:
            self._db.execute("PRAGMA busy_timeout = 30000")
            if read_only:
                schema.check(self._db, path)
            else:
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")
                schema.bring_up(self._db, path)
        except SpoolError:
            self.close()
            raise
        except sqlite3.DatabaseError as error:
            self.close()
            if isinstance(error, sqlite3.OperationalError):  # locked, or no room
                raise
            raise SpoolError(
                f"{path} is no ledger ({error}): bring back a copy of it, or move it away to begin a new one"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _transaction(self, *, durable: bool = True) -> Iterator[None]:
        # Without FULL a commit survives our death, but not a power cut; it costs no sync.
        self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._commit()
        except BaseException:
            # a full disk ends the transaction when a row finds no room, and leaves it open when the commit does
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _commit(self) -> None:  # by itself: the crash tests end the process before and after it
        self._db.execute("COMMIT")

    # --- what the worker writes

    def begin(self, items: Iterable[Item]) -> None:
        """Enter the items, if new, and count one more judging begun for each. Not durable, and need not be."""
        with self._transaction(durable=False):
            self._db.executemany(
                "INSERT INTO item VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET begun = begun + 1",
                [(item.id, os.fsencode(item.file_name), item.received_at.isoformat()) for item in items],
            )

    def abandon(self, item_ids: Iterable[str]) -> None:
        """Take back one begun judging of each: it was given up in good order."""
        with self._transaction(durable=False):
            self._db.executemany("UPDATE item SET begun = begun - 1 WHERE item_id = ?", [(i,) for i in item_ids])

    def record(
        self, verdicts: Sequence[Verdict], written: dict[str, Written], vectors: Mapping[str, bytes] | None = None
    ) -> None:
        """Record a batch in one durable transaction, with how far the CSV files were written before it.

        :param vectors: by item id, the features of pictures that go to review (float16 bytes).
        """
        with self._transaction():
            self._db.executemany(
                "INSERT INTO verdict (item_id, day, judged_at, return_id, category, confidence, shelf, reason,"
                " runner_up, runner_up_confidence, shortlist, duplicate_of, model, sha256)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [_verdict_values(verdict) for verdict in verdicts],
            )
            self._db.executemany("INSERT INTO vector VALUES (?, ?)", list((vectors or {}).items()))
            self._note(written)

    def amend(self, verdict: Verdict) -> None:
        """Replace the verdict on an item whose file changed between judging and shelving."""
        with self._transaction():
            self._db.execute(
                "UPDATE verdict SET item_id = ?, day = ?, judged_at = ?, return_id = ?, category = ?,"
                " confidence = ?, shelf = ?, reason = ?, runner_up = ?, runner_up_confidence = ?, shortlist = ?,"
                " duplicate_of = ?, model = ?, sha256 = ? WHERE item_id = ?",
                (*_verdict_values(verdict), verdict.item_id),
            )

    def note_written(self, written: dict[str, Written]) -> None:
        """Remember how far the CSV files were written. Not durable: they are compared at the next start."""
        with self._transaction(durable=False):
            self._note(written)

    def _note(self, written: dict[str, Written]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO written VALUES (?, ?, ?)",
            [(file, mark.seq, mark.size_bytes) for file, mark in written.items()],
        )

    def expire(self, item_ids: Iterable[str], at: datetime) -> None:
        """Record that these items' files are about to be deleted for their age."""
        with self._transaction():
            self._db.executemany(
                "UPDATE verdict SET expired_at = ? WHERE item_id = ?", [(at.isoformat(), i) for i in item_ids]
            )

    # --- what people write

    def decide(
        self, item_id: str, category: str | None, decided_at: datetime, decided_by: str, reason: str | None = None
    ) -> Decision:
        """Record a person's decision: a category, or None to reject the item for a reason.

        An item that was archived by itself may be decided too: that audits it.
        Raises DecisionError if the item is unknown or was rejected, AlreadyDecided if someone was first.
        """
        shelf = Shelf.REJECTED if category is None else Shelf.ARCHIVE
        with self._transaction():
            verdict, earlier = self._reviewed(item_id)
            if earlier is not None and not earlier.withdrawn:
                raise AlreadyDecided(
                    f"item {item_id} was decided already: {earlier.category or earlier.reason},"
                    f" by {author(earlier.decided_by)}, {moment(earlier.decided_at)}",
                    earlier.decided_by,
                    earlier.decided_at,
                )
            if verdict.shelf is Shelf.REJECTED:
                raise DecisionError(f"item {item_id} was rejected ({verdict.reason}): nothing can be decided on it")
            if self.expired([item_id]):
                raise DecisionError(f"item {item_id}: its file was deleted for its age (keep.*_days)")
            return self._decided(item_id, shelf, category, reason, decided_at, decided_by)

    def withdraw(self, item_id: str, decided_at: datetime, decided_by: str) -> Decision:
        """Take back the decision on an item; return the withdrawal.

        Raises DecisionError if there is none in force, or the item's file was deleted for its age.
        """
        with self._transaction():
            verdict, earlier = self._reviewed(item_id)
            if earlier is None or earlier.withdrawn:
                raise DecisionError(f"item {item_id} has no decision in force: there is none to take back")
            if self.expired([item_id]):
                raise DecisionError(f"item {item_id}: its file was deleted for its age (keep.*_days)")
            category = verdict.category if verdict.shelf is Shelf.ARCHIVE else None
            return self._decided(item_id, verdict.shelf, category, WITHDRAWN, decided_at, decided_by)

    def _reviewed(self, item_id: str) -> tuple[Verdict, Decision | None]:
        verdict = self.verdict(item_id)
        if verdict is None:
            raise DecisionError(f"no item {item_id} is in the ledger: see the item_id column of the results")
        return verdict, self.decision(item_id)

    def _decided(
        self, item_id: str, shelf: Shelf, category: str | None, reason: str | None, at: datetime, by: str
    ) -> Decision:
        self._db.execute(
            "INSERT INTO decision (item_id, day, decided_at, decided_by, shelf, category, reason)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (item_id, at.date().isoformat(), at.isoformat(), by, shelf.value, category, reason),
        )
        decision = self.decision(item_id)
        assert decision is not None  # inserted just now
        return decision

    # --- what anyone reads

    def verdict(self, item_id: str) -> Verdict | None:
        """Return the verdict on an item, if there is one."""
        return self.verdicts([item_id]).get(item_id)

    def verdicts(self, item_ids: Sequence[str]) -> dict[str, Verdict]:
        """Return the verdicts there are on these items."""
        rows = self._db.execute(
            f"{_VERDICT} WHERE v.item_id IN (SELECT value FROM json_each(?))", (json.dumps(list(item_ids)),)
        )
        return {row[0]: _verdict(row) for row in rows}

    def begun(self, item_ids: Sequence[str]) -> dict[str, int]:
        """Return how many judgings were begun of each of these items that the ledger knows."""
        rows = self._db.execute(
            "SELECT item_id, begun FROM item WHERE item_id IN (SELECT value FROM json_each(?))",
            (json.dumps(list(item_ids)),),
        )
        return dict(rows.fetchall())

    def first_with(self, sha256s: Iterable[str]) -> dict[str, str]:
        """Return, for each of these contents that has a row, the id of the first item that had it."""
        rows = self._db.execute(
            "SELECT sha256, item_id, min(seq) FROM verdict WHERE sha256 IN (SELECT value FROM json_each(?))"
            " GROUP BY sha256",
            (json.dumps(list(sha256s)),),
        )
        return {row[0]: row[1] for row in rows}

    def verdicts_of(self, day: str | None = None, after: int = 0) -> Iterator[tuple[int, Verdict]]:
        """Yield (seq, verdict) in the order of recording: of one day or of all, beyond a seq."""
        for row in self._walk(_VERDICT, "v", day, after):
            yield row[-1], _verdict(row)

    def decisions_of(self, day: str | None = None, after: int = 0) -> Iterator[tuple[int, Decision]]:
        """Yield (seq, decision) in the order of recording: of one day or of all, beyond a seq."""
        for row in self._walk(_DECISION, "d", day, after):
            yield row[-1], _decision(row)

    def _walk(self, select: str, table: str, day: str | None, after: int) -> sqlite3.Cursor:
        where = f"{table}.seq > ?" if day is None else f"{table}.seq > ? AND {table}.day = ?"
        values = (after,) if day is None else (after, day)
        return self._db.execute(f"{select} WHERE {where} ORDER BY {table}.seq", values)

    def decision(self, item_id: str) -> Decision | None:
        """Return the newest decision on an item, if there is one; it may be `withdrawn`."""
        row = self._db.execute(f"{_DECISION} WHERE d.item_id = ? ORDER BY d.seq DESC", (item_id,)).fetchone()
        return None if row is None else _decision(row)

    def decisions_on(self, item_id: str) -> list[Decision]:
        """Return all decisions on an item, oldest first; they may be `withdrawn`."""
        return [
            _decision(row)
            for row in self._db.execute(f"{_DECISION} WHERE d.item_id = ? ORDER BY d.seq", (item_id,))
        ]

    def written(self) -> dict[str, Written]:
        """Return how far each CSV file was known to be written, by file name."""
        return {row[0]: Written(row[1], row[2]) for row in self._db.execute("SELECT * FROM written")}

    def newest(self) -> dict[str, dict[str, int]]:
        """Return the highest seq of each day with rows: {"verdict": {day: seq}, "decision": {day: seq}}."""
        return {
            table: dict(self._db.execute(f"SELECT day, max(seq) FROM {table} GROUP BY day").fetchall())
            for table in ("verdict", "decision")
        }

    def waiting(self) -> set[str]:
        """Return the ids of the items that wait in review for a person."""
        rows = self._db.execute(
            "SELECT item_id FROM verdict v WHERE shelf = 'review' AND expired_at IS NULL AND NOT EXISTS"
            " (SELECT 1 FROM decision d WHERE d.seq = (SELECT max(seq) FROM decision WHERE item_id = v.item_id)"
            " AND d.reason IS NOT 'withdrawn')"
        )
        return {row[0] for row in rows}

    def with_sha256(self, sha256: str, limit: int = 50) -> list[Verdict]:
        """Return verdicts on items with these bytes, oldest first."""
        rows = self._db.execute(f"{_VERDICT} WHERE v.sha256 = ? ORDER BY v.seq LIMIT ?", (sha256, limit))
        return [_verdict(row) for row in rows]

    def unjudged(self) -> list[str]:
        """Return the ids of the items that have no row: each must be in the queue."""
        return [row[0] for row in self._db.execute(_UNJUDGED)]

    def expired(self, item_ids: Sequence[str] | None = None) -> set[str]:
        """Return the ids of the items (of these, or of all) whose files were deleted for their age."""
        query = "SELECT item_id FROM verdict WHERE expired_at IS NOT NULL"
        if item_ids is None:
            return {row[0] for row in self._db.execute(query)}
        query += " AND item_id IN (SELECT value FROM json_each(?))"
        return {row[0] for row in self._db.execute(query, (json.dumps(list(item_ids)),))}

    def newest_decisions(self) -> dict[str, Decision]:
        """Return the newest decision of every item that has one, by item id."""
        return {decision.item_id: decision for _, decision in self.decisions_of()}

    def to_expire(self, shelf: Shelf, before: str, limit: int) -> list[tuple[Verdict, Decision | None]]:
        """Return items that came to that shelf before the given day and whose files are still kept."""
        judged = self._db.execute(
            "SELECT item_id FROM verdict v WHERE shelf = ? AND day < ? AND expired_at IS NULL"
            " AND NOT EXISTS (SELECT 1 FROM decision d WHERE d.item_id = v.item_id) LIMIT ?",
            (shelf.value, before, limit),
        ).fetchall()
        decided = self._db.execute(
            "SELECT item_id FROM verdict v JOIN decision d USING (item_id)"
            " WHERE d.shelf = ? AND d.day < ? AND expired_at IS NULL"
            " AND d.seq = (SELECT max(seq) FROM decision WHERE item_id = v.item_id) LIMIT ?",
            (shelf.value, before, limit),
        ).fetchall()
        return self._with_decisions([row[0] for row in (judged + decided)[:limit]])

    def last_expired(self) -> list[tuple[Verdict, Decision | None]]:
        """Return the items that were the last to expire, together: their deletion may have been interrupted."""
        rows = self._db.execute(
            "SELECT item_id FROM verdict WHERE expired_at = (SELECT max(expired_at) FROM verdict)"
        )
        return self._with_decisions([row[0] for row in rows])

    def _with_decisions(self, item_ids: Sequence[str]) -> list[tuple[Verdict, Decision | None]]:
        return [(verdict, self.decision(item_id)) for item_id, verdict in self.verdicts(item_ids).items()]

    def counts(self, day: str | None = None) -> dict[str, int]:
        """Return how many rows there are by shelf (of one day or of all), items seen, and decisions."""
        where, values = ("", ()) if day is None else (" WHERE day = ?", (day,))
        shelves = dict(
            self._db.execute(f"SELECT shelf, count(*) FROM verdict{where} GROUP BY shelf", values).fetchall()
        )
        counts = {shelf.value: shelves.get(shelf.value, 0) for shelf in Shelf}
        counts["rows"] = sum(counts.values())
        counts["decisions"] = self._one(f"SELECT count(*) FROM decision{where}", values)
        if day is None:
            counts["seen"] = self._one("SELECT count(*) FROM item")
        return counts

    def _one(self, query: str, values: Sequence[str] = ()) -> int:
        return int(self._db.execute(query, values).fetchone()[0])

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Show one state of the ledger throughout the block, whatever others write meanwhile."""
        self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("COMMIT")


_UNJUDGED = "SELECT item_id FROM item WHERE NOT EXISTS (SELECT 1 FROM verdict WHERE verdict.item_id = item.item_id)"


def _verdict_values(verdict: Verdict) -> tuple[object, ...]:
    return (
        verdict.item_id,
        verdict.day,
        verdict.judged_at.isoformat(),
        verdict.return_id,
        verdict.category,
        verdict.confidence,
        verdict.shelf.value,
        verdict.reason,
        verdict.runner_up,
        verdict.runner_up_confidence,
        json.dumps(verdict.shortlist, ensure_ascii=False),
        verdict.duplicate_of,
        verdict.model,
        verdict.sha256,
    )


def _verdict(row: Sequence[Any]) -> Verdict:
    return Verdict(
        item_id=row[0],
        received_at=datetime.fromisoformat(row[1]),
        judged_at=datetime.fromisoformat(row[2]),
        file_name=os.fsdecode(row[3]),
        return_id=row[4],
        category=row[5],
        confidence=row[6],
        shelf=Shelf(row[7]),
        reason=row[8],
        runner_up=row[9],
        runner_up_confidence=row[10],
        shortlist=tuple(json.loads(row[11])),
        duplicate_of=row[12],
        model=row[13],
        sha256=row[14],
    )


def _decision(row: Sequence[Any]) -> Decision:
    return Decision(
        item_id=row[0],
        decided_at=datetime.fromisoformat(row[1]),
        decided_by=row[2],
        shelf=Shelf(row[3]),
        category=row[4],
        reason=row[5],
        file_name=os.fsdecode(row[6]),
        return_id=row[7],
        predicted=row[8],
        confidence=row[9],
        sha256=row[10],
    )


def _quoted(path: Path) -> str:
    return urllib.parse.quote(str(path))

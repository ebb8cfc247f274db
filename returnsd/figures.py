"""How much of what: how what was received stands now, by day, category and confidence; what the audit found.

The one place that counts for people: the dashboard, `/v1/statistics`, `/metrics`, `returnsd status` and the nightly
report all tell a `Day`. Its numbers are states, not acts, so that they add up: a decision that was taken back, or
replaced, counts for nothing; an answer of the audit that leaves an item in the archive changes no state.

Reads the ledger and never writes. Days are local days of receipt as YYYY-MM-DD; "since a day" includes it.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from returnsd.history import CATEGORY, IN_FORCE, SHELF, connect
from returnsd.ledger import Ledger
from returnsd.records import Verdict

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_AUDIT_LETTERS = 4

# by the shelf of the verdict, and that of the decision in force
_STATES = {
    ("archive", None): "archived_by_itself",
    ("archive", "archive"): "archived_by_itself",  # an answer of the audit, whatever the category
    ("archive", "rejected"): "rejected_by_people",
    ("review", None): "waiting",
    ("review", "archive"): "archived_by_people",
    ("review", "rejected"): "rejected_by_people",
    ("rejected", None): "rejected_by_itself",
}


@dataclass(frozen=True, slots=True)
class Day:
    """What was received on one local day (or on several), and how it stands now; the parts add up to `received`.

    `unjudged` was taken in and has no row yet. What was archived by itself stays so when the audit finds it right
    or of another category; a person who finds it to be no product rejects it.
    """

    day: str
    received: int = 0
    archived_by_itself: int = 0
    archived_by_people: int = 0
    rejected_by_itself: int = 0
    rejected_by_people: int = 0
    waiting: int = 0
    unjudged: int = 0

    @property
    def settled_by_people(self) -> int:
        """How many of those that were in doubt people settled, either way."""
        return self.archived_by_people + self.rejected_by_people

    @property
    def archived(self) -> int:
        """How many lie in the archive."""
        return self.archived_by_itself + self.archived_by_people

    @property
    def rejected(self) -> int:
        """How many lie among the rejected."""
        return self.rejected_by_itself + self.rejected_by_people

    def sentence(self) -> str:
        """Return it as a sum that a person can check."""
        parts = [
            f"{self.archived_by_itself} archived by itself",
            f"{self.settled_by_people} settled by people"
            + (
                f" ({self.archived_by_people} archived, {self.rejected_by_people} rejected)"
                if self.settled_by_people
                else ""
            ),
            f"{self.rejected_by_itself} rejected by itself",
            f"{self.waiting} waiting",
        ]
        if self.unjudged:
            parts.append(f"{self.unjudged} not judged yet")
        return f"{self.received} received = {' + '.join(parts)}"


class Figures:
    """A reader of the ledger that counts. Use from one thread."""

    def __init__(self, path: Path) -> None:
        """Open the ledger for reading; SpoolError if it was written by a newer returnsd."""
        self._ledger = Ledger(path, read_only=True)
        self._db = connect(path)

    def close(self) -> None:
        """Close both connections."""
        self._ledger.close()
        self._db.close()

    def days(self, first: str) -> list[Day]:
        """Return the days from the given one on on which anything was received, oldest first."""
        day = "substr(i.received_at, 1, 10)"
        counts = self._count(day, "JOIN item i USING (item_id)", "v.item_id >= ?", _first_id(first))
        received = self._db.execute(
            f"SELECT {day}, count(*) FROM item i WHERE i.item_id >= ? GROUP BY 1", (_first_id(first),)
        )
        return [_day(name, counts.get(name, Counter()), count) for name, count in sorted(received) if name >= first]

    def all(self) -> Day:
        """Return how everything that was ever received stands."""
        counts = self._count("''", "", "1").get("", Counter())
        return _day("", counts, int(self._db.execute("SELECT count(*) FROM item").fetchone()[0]))

    def rows(self, after: int, to: int) -> Day:
        """Return how the items of the rows beyond one and up to another stand."""
        counts = self._count("''", "", "v.seq > ? AND v.seq <= ?", after, to).get("", Counter())
        return _day("", counts, counts.total())

    def _count(self, day: str, joined: str, where: str, *values: object) -> dict[str, Counter[str]]:
        """Return, by day, how many items stand in which of the states of _STATES."""
        judged = f"SELECT {day}, v.shelf, NULL, count(*) FROM verdict v {joined} WHERE {where} GROUP BY 1, 2"
        decided = (
            f"SELECT {day}, v.shelf, d.shelf, count(*) FROM decision d JOIN verdict v USING (item_id) {joined}"
            f" WHERE {where} AND d.reason IS NOT 'withdrawn'"
            " AND d.seq = (SELECT max(seq) FROM decision WHERE item_id = d.item_id) GROUP BY 1, 2, 3"
        )
        counts: dict[str, Counter[str]] = {}
        self._db.execute("BEGIN")  # one state of the ledger for both
        rows = [*self._db.execute(judged, values), *self._db.execute(decided, values)]
        self._db.execute("COMMIT")
        for name, shelf, decided_shelf, count in rows:
            found = counts.setdefault(name, Counter())
            found[_STATES[shelf, decided_shelf]] += count
            if decided_shelf is not None:
                found[_STATES[shelf, None]] -= count
        return counts

    def categories(self, first: str) -> dict[str, int]:
        """Return how many items received since a day are held to be of each category, most first."""
        rows = self._db.execute(
            f"SELECT {CATEGORY} AS held, count(*) FROM verdict v {_RECEIVED} {IN_FORCE} WHERE {_SINCE}"
            " AND held IS NOT NULL GROUP BY held ORDER BY count(*) DESC, held",
            _since(first),
        )
        return dict(rows.fetchall())

    def reasons(self, first: str) -> dict[str, int]:
        """Return how many items received since a day are rejected, by reason, most first."""
        rows = self._db.execute(
            f"SELECT ifnull(d.reason, v.reason) AS why, count(*) FROM verdict v {_RECEIVED} {IN_FORCE}"
            f" WHERE {_SINCE} AND {SHELF} = 'rejected' GROUP BY why ORDER BY count(*) DESC, why",
            _since(first),
        )
        return dict(rows.fetchall())

    def histogram(self, first: str, bins: int) -> list[tuple[int, int]]:
        """Return, for equal bins of confidence from 0 to 1, how many the model archived and sent to review."""
        found = [[0, 0] for _ in range(bins)]
        rows = self._db.execute(
            f"SELECT min(? - 1, CAST(v.confidence * ? AS INTEGER)), v.shelf = 'review', count(*) FROM verdict v"
            f" {_RECEIVED} WHERE {_SINCE} AND v.confidence IS NOT NULL GROUP BY 1, 2",
            (bins, bins, *_since(first)),
        )
        for number, in_review, count in rows:
            found[number][in_review] = count
        return [(archived, review) for archived, review in found]

    def archived_confidence(self, first: str) -> tuple[int, float | None]:
        """Return how many items received since a day the model archived by itself, and its mean confidence."""
        row = self._db.execute(
            f"SELECT count(*), avg(v.confidence) FROM verdict v {_RECEIVED} WHERE {_SINCE} AND v.shelf = 'archive'",
            _since(first),
        ).fetchone()
        return row[0], row[1]

    def recent_confidences(self, model: str, limit: int) -> NDArray[np.float64]:
        """Return the confidences of the newest items that a model judged, (up to limit,)."""
        rows = self._db.execute(
            "SELECT confidence FROM verdict WHERE model = ? AND confidence IS NOT NULL ORDER BY seq DESC LIMIT ?",
            (model, limit),
        )
        return np.array([row[0] for row in rows], np.float64)

    def recent_vectors(self, model: str, limit: int) -> NDArray[np.float32]:
        """Return the features of the newest items that a model sent to review, (up to limit, features)."""
        rows = self._db.execute(
            "SELECT features FROM verdict v JOIN vector USING (item_id) WHERE model = ? AND shelf = 'review'"
            " ORDER BY v.seq DESC LIMIT ?",
            (model, limit),
        )
        vectors = [np.frombuffer(row[0], "<f2").astype(np.float32) for row in rows]
        return np.stack(vectors) if vectors else np.empty((0, 0), np.float32)

    # --- the audit sample

    def sampled(self, first: str, share: float) -> tuple[int, int, int]:
        """Return (in the sample, looked at by a person, of these found wrong) of items archived since a day."""
        row = self._db.execute(
            "SELECT count(*), count(d.seq), ifnull(sum(d.seq IS NOT NULL AND d.category IS NOT v.category), 0)"
            f" FROM verdict v {IN_FORCE}"
            " WHERE v.day >= ? AND v.shelf = 'archive' AND substr(v.item_id, -4) < ?",
            (first, _audit_mark(share)),
        ).fetchone()
        return row[0], row[1], row[2]

    def to_audit(self, first: str, share: float, limit: int) -> list[tuple[int, Verdict]]:
        """Return (seq, verdict) of sampled items that no one has looked at yet, oldest first."""
        rows = self._db.execute(
            f"SELECT v.seq, v.item_id FROM verdict v {IN_FORCE} WHERE v.day >= ? AND v.shelf = 'archive'"
            " AND substr(v.item_id, -4) < ? AND d.seq IS NULL AND v.expired_at IS NULL ORDER BY v.seq LIMIT ?",
            (first, _audit_mark(share), limit),
        ).fetchall()
        verdicts = self._ledger.verdicts([row[1] for row in rows])
        return [(seq, verdicts[found]) for seq, found in rows if found in verdicts]


_RECEIVED = "JOIN item i USING (item_id)"
_SINCE = "v.item_id >= ? AND substr(i.received_at, 1, 10) >= ?"


def _since(day: str) -> tuple[str, str]:
    """Return the values of _SINCE: an index finds the ids, the times say it exactly."""
    return _first_id(day), day


def _day(name: str, counts: Counter[str], received: int) -> Day:
    judged = {state: counts[state] for state in set(_STATES.values())}
    return Day(name, received, **judged, unjudged=max(0, received - counts.total()))


def _first_id(day: str) -> str:
    """Return an id below those of all items received on a day, wherever on earth that day is."""
    milliseconds = max(0, int((datetime.fromisoformat(day + "T00:00:00+00:00").timestamp() - 14 * 3600) * 1000))
    return "".join(_ALPHABET[milliseconds >> shift & 31] for shift in range(45, -1, -5))


def _audit_mark(share: float) -> str:
    """Return the text below which the last letters of a sampled item's id lie.

    An id ends in random bits that no one chose, so they are as good as a hash: the same items are in the sample
    for everyone and for ever, and a larger share only adds to it. The letters sort as the numbers they stand for.
    """
    number = round(share * 32**_AUDIT_LETTERS)
    if number >= 32**_AUDIT_LETTERS:
        return "~"
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(5 * (_AUDIT_LETTERS - 1), -1, -5))


def total(days: Iterable[Day]) -> Day:
    """Return the sums over days."""
    rows = list(days)
    names = [field.name for field in fields(Day) if field.name != "day"]
    return Day("", **{name: sum(getattr(day, name) for day in rows) for name in names})

"""How much of what: items by day, category and confidence, and what the audit of the archive found.

Reads the ledger and never writes. Days are local days as YYYY-MM-DD; "since a day" includes it. What people
decided counts as it stands now: the newest decision, unless it was withdrawn.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from returnsd.history import CATEGORY, IN_FORCE, SHELF, connect
from returnsd.ledger import Ledger
from returnsd.records import Verdict

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_AUDIT_LETTERS = 4


@dataclass(frozen=True, slots=True)
class Day:
    """One local day in numbers: items received, judged by shelf, and settled by people."""

    day: str
    received: int = 0
    archive: int = 0
    review: int = 0
    rejected: int = 0
    decided: int = 0


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
        """Return the days from the given one on that have anything, oldest first."""
        counts: dict[str, dict[str, int]] = {}
        queries = {
            "SELECT substr(received_at, 1, 10), 'received', count(*) FROM item WHERE item_id >= ? GROUP BY 1": (
                _first_id(first)
            ),
            "SELECT day, shelf, count(*) FROM verdict WHERE day >= ? GROUP BY day, shelf": first,
            "SELECT day, 'decided', count(*) FROM decision d WHERE day >= ? AND reason IS NOT 'withdrawn'"
            " AND NOT EXISTS (SELECT 1 FROM decision later WHERE later.item_id = d.item_id AND later.seq > d.seq)"
            " GROUP BY day": first,
        }
        for query, value in queries.items():
            for day, what, count in self._db.execute(query, (value,)):
                counts.setdefault(day, {})[what] = count
        return [Day(day, **counts[day]) for day in sorted(counts) if day >= first]

    def categories(self, first: str) -> dict[str, int]:
        """Return how many items judged since a day are held to be of each category, most first."""
        rows = self._db.execute(
            f"SELECT {CATEGORY} AS held, count(*) FROM verdict v {IN_FORCE} WHERE v.day >= ? AND held IS NOT NULL"
            " GROUP BY held ORDER BY count(*) DESC, held",
            (first,),
        )
        return dict(rows.fetchall())

    def reasons(self, first: str) -> dict[str, int]:
        """Return how many files were rejected since a day, by reason, most first."""
        rows = self._db.execute(
            f"SELECT ifnull(d.reason, v.reason) AS why, count(*) FROM verdict v {IN_FORCE}"
            f" WHERE v.day >= ? AND {SHELF} = 'rejected' GROUP BY why ORDER BY count(*) DESC, why",
            (first,),
        )
        return dict(rows.fetchall())

    def histogram(self, first: str, bins: int) -> list[tuple[int, int]]:
        """Return, for equal bins of confidence from 0 to 1, how many were archived and how many went to review."""
        found = [[0, 0] for _ in range(bins)]
        rows = self._db.execute(
            "SELECT min(?1 - 1, CAST(confidence * ?1 AS INTEGER)), shelf = 'review', count(*) FROM verdict"
            " WHERE day >= ?2 AND confidence IS NOT NULL GROUP BY 1, 2",
            (bins, first),
        )
        for number, in_review, count in rows:
            found[number][in_review] = count
        return [(archived, review) for archived, review in found]

    def archived_confidence(self, first: str) -> tuple[int, float | None]:
        """Return how many items were archived by themselves since a day, and their mean confidence."""
        row = self._db.execute(
            "SELECT count(*), avg(confidence) FROM verdict WHERE day >= ? AND shelf = 'archive'", (first,)
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
    return Day(
        "",
        received=sum(day.received for day in rows),
        archive=sum(day.archive for day in rows),
        review=sum(day.review for day in rows),
        rejected=sum(day.rejected for day in rows),
        decided=sum(day.decided for day in rows),
    )

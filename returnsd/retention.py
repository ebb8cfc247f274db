"""Deletes shelved files that are older than keep.*_days, recorded first, a few at a time.

Their rows stay for ever; the audit knows which files were deleted for their age.
"""

from datetime import datetime, timedelta

from returnsd.config import Keep
from returnsd.ledger import Ledger
from returnsd.logs import Logger
from returnsd.records import Shelf
from returnsd.spool import Spool

_EVERY_S = 600.0
_AT_ONCE = 200


class Retention:
    """Looks every ten minutes whether something has become too old to keep."""

    def __init__(self, spool: Spool, ledger: Ledger, log: Logger) -> None:
        """Look first some time after the start, not in its way."""
        self._spool = spool
        self._ledger = ledger
        self.log = log
        self._next: float | None = None
        self._finished = False

    def step(self, now: float, keep: Keep) -> None:
        """Delete a bounded number of files that are due (monotonic seconds)."""
        if self._next is None:
            self._next = now + _EVERY_S
        if now < self._next:
            return
        self._next = now + _EVERY_S
        if not self._finished:
            self._finish()
        self.expire(Shelf.ARCHIVE, keep.archive_days)
        self.expire(Shelf.REJECTED, keep.rejected_days)

    def expire(self, shelf: Shelf, days: int | None) -> int:
        """Delete files that came to a shelf more than `days` days ago; return how many. None keeps all."""
        if days is None:
            return 0
        now = datetime.now().astimezone()
        before = (now - timedelta(days=days)).date().isoformat()
        items = self._ledger.to_expire(shelf, before, _AT_ONCE)
        # Recorded before deleted: a file that is gone without a record would look lost.
        self._ledger.expire([verdict.item_id for verdict, _ in items], now)
        for verdict, decision in items:
            folders = [place.parent for place in self._spool.expected_places(verdict, decision)]
            place = self._spool.find(verdict.item_id, verdict.file_name, folders)
            if place is not None:
                place.unlink(missing_ok=True)
            self.log.info("item_expired", item=verdict.item_id, shelf=shelf.value)
        return len(items)

    def _finish(self) -> None:
        """Delete what a death or a power cut kept of the files that were the last to go."""
        for verdict, decision in self._ledger.last_expired():
            for place in self._spool.expected_places(verdict, decision):
                place.unlink(missing_ok=True)
        self._finished = True

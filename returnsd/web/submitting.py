"""Pictures that programs submit: each enters the queue once, however often a program has to ask.

A program that is not sure whether its request arrived sends it again with the same idempotency key. The key and
the id it was given are recorded before the picture enters the queue, so that after any crash the same request
puts the same item there, or finds it. Belongs to one thread (a clerk's).
"""

import hashlib
import os
import sqlite3
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from returnsd import item_id
from returnsd.history import History
from returnsd.logs import Logger
from returnsd.spool import STAGING, Spool
from returnsd.web.problems import Busy, Unacceptable

KEYS = "submitted.sqlite"
"""The file's name in paths.state; losing it costs the memory of keys, nothing else."""

_KEPT_DAYS = 7
_MOST_QUEUED = 50_000
_MOST_NAME_BYTES = 200

_SCHEMA = """
CREATE TABLE IF NOT EXISTS submitted (
    key TEXT PRIMARY KEY, item_id TEXT NOT NULL, file_name TEXT NOT NULL, sha256 TEXT NOT NULL, at TEXT NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A picture that is durably ours; `again` if it was before."""

    item_id: str
    file_name: str
    sha256: str
    received_at: datetime
    again: bool


class Submitting:
    """The way into the queue for what comes over the network. Use from one thread."""

    def __init__(self, spool: Spool, ledger: Path, log: Logger) -> None:
        """Open the keys, and clear away what was half staged when we last ended."""
        self._spool = spool
        self._log = log
        self._history = History(ledger)
        self._db = sqlite3.connect(spool.paths.state / KEYS, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(_SCHEMA)
        self._clear_staging()

    def close(self) -> None:
        """Close the keys."""
        self._db.close()
        self._history.close()

    def submit(self, data: bytes, name: str, key: str | None) -> Submitted:
        """Put a picture into the queue durably, or find that it went there under the same key.

        Raises Unacceptable if the key was used for other bytes, Busy if too much waits in the queue.
        """
        sha256 = hashlib.sha256(data).hexdigest()
        now = datetime.now().astimezone()
        if key is not None and (known := self._known(key)) is not None:
            if known.sha256 != sha256:
                raise Unacceptable("this Idempotency-Key was used for another picture")
            if not self._is_ours(known.item_id):
                self._spool.submit(data, known.file_name, known.item_id)
            return known
        self._refuse_if_full()
        name = harmless_name(name)
        new_id = item_id.new(now.astimezone(UTC), os.urandom(10))
        if key is not None:
            self._remember(key, new_id, name, sha256, now)
        self._spool.submit(data, name, new_id)
        self._log.info("item_submitted", item=new_id, file=name, size_bytes=len(data))
        return Submitted(new_id, name, sha256, item_id.received_at(new_id).astimezone(), again=False)

    def _known(self, key: str) -> Submitted | None:
        row = self._db.execute("SELECT item_id, file_name, sha256 FROM submitted WHERE key = ?", (key,)).fetchone()
        if row is None:
            return None
        known, name, sha256 = row
        return Submitted(known, name, sha256, item_id.received_at(known).astimezone(), again=True)

    def _is_ours(self, wanted_id: str) -> bool:
        # the queue first: what leaves it between the two looks has its row by then
        return self._spool.find_queued(wanted_id) is not None or self._history.story(wanted_id) is not None

    def _remember(self, key: str, new_id: str, name: str, sha256: str, now: datetime) -> None:
        old = (now - timedelta(days=_KEPT_DAYS)).astimezone(UTC).isoformat()
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.execute("DELETE FROM submitted WHERE at < ?", (old,))
            self._db.execute(
                "INSERT INTO submitted VALUES (?, ?, ?, ?, ?)",
                (key, new_id, name, sha256, now.astimezone(UTC).isoformat()),
            )
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def _refuse_if_full(self) -> None:
        if len(os.listdir(self._spool.paths.queue)) > _MOST_QUEUED:
            raise Busy(30, f"more than {_MOST_QUEUED} pictures wait in the queue")

    def _clear_staging(self) -> None:
        staging = self._spool.paths.queue / STAGING
        if staging.is_dir():
            for draft in staging.iterdir():
                draft.unlink()


def harmless_name(name: str) -> str:
    """Return a file name as a picture may bear it in the queue: the last part of a path, printable, not too long.

    An empty name becomes `picture`; a long one loses its middle, never its suffix.
    """
    last = name.replace("\\", "/").rpartition("/")[2]
    text = "".join("_" if unicodedata.category(letter)[0] == "C" else letter for letter in last).strip()
    if text.strip(".") == "":
        return "picture"
    if len(text.encode()) <= _MOST_NAME_BYTES:
        return text
    suffix = PurePosixPath(text).suffix
    if len(suffix.encode()) > 16:
        suffix = ""
    stem = text.removesuffix(suffix).encode()[: _MOST_NAME_BYTES - len(suffix.encode())]
    return stem.decode(errors="ignore") + suffix

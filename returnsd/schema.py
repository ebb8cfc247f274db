"""The ledger's tables, and the steps that bring a ledger of any released returnsd up to this one.

All steps are one transaction: a crash leaves the ledger before them or after them. The ledger as it was is kept
beside the new one first, for who must go back to the older returnsd. There are no steps backwards.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from returnsd import disk
from returnsd.errors import SpoolError

_FIRST = """
CREATE TABLE item (
    item_id TEXT PRIMARY KEY,
    file_name BLOB NOT NULL,       -- bytes as in the inbox: names need not be UTF-8
    received_at TEXT NOT NULL,
    begun INTEGER NOT NULL         -- how many judgings of it were begun and not finished
) WITHOUT ROWID;
CREATE TABLE verdict (
    seq INTEGER PRIMARY KEY,       -- the order of the rows in the results
    item_id TEXT NOT NULL UNIQUE REFERENCES item,
    day TEXT NOT NULL,
    judged_at TEXT NOT NULL,
    return_id TEXT,
    category TEXT,
    confidence REAL,
    shelf TEXT NOT NULL,
    reason TEXT NOT NULL,
    runner_up TEXT,
    runner_up_confidence REAL,
    shortlist TEXT NOT NULL,       -- JSON list, best first
    duplicate_of TEXT,
    model TEXT NOT NULL,
    sha256 TEXT,
    expired_at TEXT                -- when its file was deleted under keep.*_days
);
CREATE INDEX verdict_by_day ON verdict (day, seq);
CREATE INDEX verdict_kept ON verdict (shelf, day) WHERE expired_at IS NULL;
CREATE INDEX verdict_by_sha256 ON verdict (sha256);
CREATE TABLE decision (
    seq INTEGER PRIMARY KEY,       -- the newest of an item counts
    item_id TEXT NOT NULL REFERENCES verdict (item_id),
    day TEXT NOT NULL,
    decided_at TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    shelf TEXT NOT NULL,
    category TEXT,
    reason TEXT                    -- why it was rejected; or `withdrawn`: the decision before it is taken back
);
CREATE INDEX decision_by_item ON decision (item_id, seq);
CREATE INDEX decision_by_day ON decision (day, seq);
CREATE TABLE vector (              -- what was seen in the pictures in review, to show alike ones together
    item_id TEXT PRIMARY KEY REFERENCES verdict (item_id),
    features BLOB NOT NULL         -- float16, little-endian
) WITHOUT ROWID;
CREATE TABLE written (             -- how far each CSV file was known to be written, one batch ago
    file TEXT PRIMARY KEY,
    seq INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL
) WITHOUT ROWID;
"""

STEPS: tuple[str, ...] = (_FIRST,)
"""The n-th step, counted from 1, makes a ledger of version n out of one of version n-1; 0 is an empty file.

A step that was released is never changed: a change is a new one, and tests/ledgers/ gets a ledger to try it on.
"""


def bring_up(db: sqlite3.Connection, path: Path, steps: Sequence[str] = STEPS) -> None:
    """Bring the open ledger up to the last step; SpoolError if it is beyond that."""
    if _version(db) < len(steps):
        _take(db, path, steps)
    if (version := _version(db)) > len(steps):
        raise SpoolError(_newer(path, version, len(steps)))


def check(db: sqlite3.Connection, path: Path) -> None:
    """SpoolError if the open ledger, which is only to be read, is not of this version."""
    version = _version(db)
    if version > len(STEPS):
        raise SpoolError(_newer(path, version, len(STEPS)))
    if version < len(STEPS):
        raise SpoolError(
            f"{path}: ledger version {version}, this returnsd reads {len(STEPS)}: start the service once,"
            " it brings the ledger up"
        )


def keep(ledger: Path, copy: Path) -> None:
    """Copy a ledger, whatever others write meanwhile, into one file that is whole or not there."""
    draft = copy.with_name(f".{copy.name}.tmp")
    draft.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(f"{ledger.absolute().as_uri()}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(draft, isolation_level=None)) as target,
    ):
        source.backup(target)
        target.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
    with draft.open("rb") as file:
        disk.sync_file(file.fileno())
    draft.replace(copy)
    disk.sync_folder(copy.parent)


def _take(db: sqlite3.Connection, path: Path, steps: Sequence[str]) -> None:
    db.execute("BEGIN IMMEDIATE")  # who else starts now waits, and then finds the work done
    try:
        version = _version(db)
        if 0 < version < len(steps):
            keep(path, path.with_name(f"{path.name}.version-{version}"))
        for step in steps[version:]:
            for statement in step.split(";\n"):
                db.execute(statement)
        if version < len(steps):
            db.execute(f"PRAGMA user_version = {len(steps)}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk may have ended it
            db.execute("ROLLBACK")
        raise


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _newer(path: Path, version: int, known: int) -> str:
    return (
        f"{path}: ledger version {version}, this returnsd knows {known}: run the newer returnsd,"
        f" or bring back the copy it kept ({path.name}.version-{known}, see docs/operations.md)"
    )

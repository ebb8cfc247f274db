"""Back-ups of the ledger, taken while the service runs, and the way back from one.

Pictures on the shelves and CSV files need no back-up of their own kind: copy them like any file, after the ledger.
On the way back the ledger rules, as always: what lies on a shelf without a row is judged anew, what lies elsewhere
than its row says is moved there, and the CSV files are written from the rows. No picture is deleted.
"""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from returnsd import disk, item_id, schema
from returnsd.config import Config
from returnsd.errors import SpoolError
from returnsd.ledger import LEDGER, Ledger
from returnsd.records import Shelf
from returnsd.results import Results
from returnsd.spool import Spool

REPLACED = ".replaced"
"""What the ledger that a restore replaces is called beside it, and CSV files of which no row is left."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of a restore: rows there are now, files put back into the queue, files moved to another shelf."""

    rows: int
    judged_anew: int
    moved: int


def back_up(config: Config, target: Path) -> int:
    """Write the ledger as it is now into a new file, durably; return the rows in it."""
    source = config.paths.state / LEDGER
    if not source.exists():
        raise SpoolError(f"{source} is not there: nothing was recorded yet")
    if target.exists():
        raise SpoolError(f"{target} is there already: give the back-up another name")
    schema.keep(source, target)
    return _rows_of_whole(target)


def restore(config: Config, source: BinaryIO) -> Restored:
    """Put a back-up in the ledger's place, and files where it says; AlreadyRunning while a service runs."""
    state = config.paths.state
    disk.make_folder(state)
    draft = state / f".{LEDGER}.restored"
    with ExitStack() as stack:
        for lock in sorted({*state.glob("*.lock"), state / "worker.lock"}):
            stack.enter_context(disk.lock(lock))
        with draft.open("wb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            disk.sync_file(copy.fileno())
        _rows_of_whole(draft)
        Ledger(draft).close()  # brings an older one up before it takes over; the back-up itself is the copy kept
        for copy_kept in state.glob(f"{draft.name}.version-*"):
            copy_kept.unlink()
        _replace(draft, state / LEDGER)
        with closing(Ledger(state / LEDGER)) as ledger:
            return _put_in_order(Spool(config.paths), ledger)


def _rows_of_whole(path: Path) -> int:
    """Return how many rows a ledger has; SpoolError if it is not whole."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
            (said,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if said == "ok":
                return int(db.execute("SELECT count(*) FROM verdict").fetchone()[0])
    except sqlite3.DatabaseError as error:
        said = str(error)
    raise SpoolError(f"{path.name} is no whole ledger ({said}): take another back-up")


def _replace(draft: Path, ledger: Path) -> None:
    """Let the draft take over; the old ledger is kept beside it."""
    if ledger.exists():
        with suppress(sqlite3.DatabaseError), closing(sqlite3.connect(ledger)) as old:
            old.execute("PRAGMA journal_mode = DELETE")
    for path in (ledger, ledger.with_name(ledger.name + "-wal"), ledger.with_name(ledger.name + "-shm")):
        aside = path.with_name(path.name + REPLACED)
        aside.unlink(missing_ok=True)
        if path == ledger and path.exists():
            os.link(path, aside)
        elif path.exists():
            # a log that the old ledger would not take back must not be taken for the new one's
            path.rename(aside)
    draft.replace(ledger)
    disk.sync_folder(ledger.parent)


# --- the ledger rules


def _put_in_order(spool: Spool, ledger: Ledger) -> Restored:
    decided = ledger.newest_decisions()
    judged_anew = moved = 0
    for place in list(_shelved(spool)):
        shelved_id = place.name[: item_id.LENGTH]
        verdict = ledger.verdict(shelved_id)
        if verdict is None:
            disk.move(place, spool.paths.queue / place.name)  # the queue names its items as the shelves do
            judged_anew += 1
        elif place not in (expected := spool.expected_places(verdict, decided.get(shelved_id))):
            disk.make_folder(expected[0].parent)
            with suppress(FileExistsError):
                disk.move(place, expected[0])
                moved += 1
    disk.sync_folder(spool.paths.queue)
    for kind in ("returns", "decisions"):
        _rewrite(Results(spool.paths.results, ledger, kind), spool.paths.results, kind, ledger)
    return Restored(ledger.counts()["rows"], judged_anew, moved)


def _shelved(spool: Spool) -> Iterator[Path]:
    for shelf in Shelf:
        for folder, _, names in os.walk(spool.shelf(shelf)):
            yield from (Path(folder, name) for name in names if item_id.is_valid(name[: item_id.LENGTH]))


def _rewrite(results: Results, folder: Path, kind: str, ledger: Ledger) -> None:
    days = results.days()
    for day in days:
        results.rebuild(day)
    kept = {results.file_of(day) for day in days}
    for path in folder.glob(f"{kind}-????-??-??.csv"):
        if path not in kept:
            path.replace(path.with_name(path.name + REPLACED))
    ledger.note_written(results.written)

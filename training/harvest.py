"""From what people decided to labelled pictures: the decisions of an installation as a table for `prepare`.

Each decision ends in exactly one table. A note in the installation's state says which are harvested already; it is
written before the table gets its name, and whoever comes next gives it that name if we could not. The ledger is
only read, the pictures stay where they lie, and the service may run meanwhile.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from returnsd import disk
from returnsd.config import Paths
from returnsd.ledger import LEDGER, Ledger
from returnsd.records import Decision, Shelf
from returnsd.spool import Spool
from training.labels import DataError

NOTE = "harvested.json"
"""The file's name in paths.state: every table with the decisions (by seq) and items that are in it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table; `decided_at` is empty where nobody but the model named the label."""

    path: str
    label: str
    item_id: str
    decided_at: str


@dataclass(frozen=True, slots=True)
class Harvest:
    """What is new: the lines, the decisions and items that they stand for, and what could not be had, in words.

    `void` are the items in earlier tables whose decision was taken back or replaced since.
    """

    lines: tuple[Line, ...]
    decisions: tuple[int, ...]
    items: tuple[str, ...]
    passed_over: tuple[str, ...]
    void: tuple[str, ...]


def harvest(paths: Paths, table: Path, *, archived: bool) -> Harvest:
    """Write what is new into a table and return it; nothing is written where nothing is new.

    :param archived: whether items that were archived by the model alone are wanted, too.
    DataError if there is no ledger, or the table exists: its decisions would be lost.
    """
    if not (paths.state / LEDGER).exists():
        raise DataError(f"{paths.state} holds no ledger: give the configuration of an installation that has run")
    if not table.parent.is_dir():
        raise DataError(f"{table.parent} is no folder: create it first")
    with disk.lock(paths.state / "harvest.lock", wait=True):
        note = _read_note(paths.state / NOTE)
        _finish(note)
        if table.exists():
            raise DataError(f"{table} exists: give another name; what it holds is harvested nowhere else")
        with closing(Ledger(paths.state / LEDGER, read_only=True)) as ledger, ledger.snapshot():
            found = gather(ledger, Spool(paths), note, archived=archived)
        if found.lines:
            _write(table.absolute(), found, note, paths.state / NOTE)
    return found


def gather(ledger: Ledger, spool: Spool, note: Sequence[Mapping[str, Any]], *, archived: bool) -> Harvest:
    """Return what is new since the tables of the note."""
    seqs = {seq for table in note for seq in table["decisions"]}
    known = {item for table in note for item in table["items"]}
    newest = {decision.item_id: (seq, decision) for seq, decision in ledger.decisions_of()}
    wanted = {item: (seq, one) for item, (seq, one) in newest.items() if one.category and not one.withdrawn}
    new = {item: (seq, one) for item, (seq, one) in wanted.items() if seq not in seqs}
    lines, passed_over, taken, items = [], [], [], []
    for item, (seq, decision) in new.items():
        path = _place(spool, item, decision.file_name, [spool.decided_place(decision)])
        if path is None:
            passed_over.append(f"{item}: its file is not where it was decided to be")
        else:
            lines.append(_line(path, decision))
            taken.append(seq)
            items.append(item)
    for _, verdict in ledger.verdicts_of() if archived else ():
        if verdict.shelf is Shelf.ARCHIVE and verdict.item_id not in newest and verdict.item_id not in known:
            path = _place(spool, verdict.item_id, verdict.file_name, spool.expected_places(verdict, None))
            if path is None:
                passed_over.append(f"{verdict.item_id}: its file is not in the archive any more")
            else:
                lines.append(Line(str(path.absolute()), verdict.category or "", verdict.item_id, ""))
                items.append(verdict.item_id)
    stale = (item for item in newest if item in known and (item in new or item not in wanted))
    return Harvest(tuple(lines), tuple(taken), tuple(items), tuple(passed_over), tuple(stale))


def summary(found: Harvest) -> list[str]:
    """Return what was harvested, a line each."""
    lines = [f"{len(found.decisions)} decisions, {len(found.lines) - len(found.decisions)} archived items"]
    lines += [f"passed over: {one}" for one in found.passed_over]
    if found.void:
        lines.append(
            f"{len(found.void)} items of earlier tables were decided anew or taken back since; do not train on"
            f" their lines: {', '.join(found.void)}"
        )
    return lines


def read(tables: Sequence[Path]) -> Iterator[Line]:
    """Yield the lines of tables; of an item that is in several, only what was decided last."""
    newest: dict[str, Line] = {}
    for table in tables:
        try:
            with table.open(newline="", encoding="utf-8", errors="surrogateescape") as rows:
                for row in csv.DictReader(rows):
                    line = Line(**row)
                    if line.item_id not in newest or newest[line.item_id].decided_at <= line.decided_at:
                        newest[line.item_id] = line
        except (OSError, TypeError, csv.Error) as error:
            raise DataError(f"{table} is no table of `harvest`: {error}") from error
    yield from newest.values()


def _place(spool: Spool, item: str, file_name: str, places: Sequence[Path]) -> Path | None:
    return spool.find(item, file_name, [place.parent for place in places])


def _line(path: Path, decision: Decision) -> Line:
    assert decision.category is not None  # only such are wanted
    return Line(str(path.absolute()), decision.category, decision.item_id, decision.decided_at.isoformat())


def _read_note(path: Path) -> list[dict[str, Any]]:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        return [{"table": t["table"], "decisions": t["decisions"], "items": t["items"]} for t in note["tables"]]
    except FileNotFoundError:
        return []
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path} is damaged ({error}): bring back a copy of it, or move it away to harvest every decision again"
        ) from error


def _write(table: Path, found: Harvest, note: list[dict[str, Any]], note_path: Path) -> None:
    """Write the draft, then the note, then give the draft its name: after a crash the note knows of both."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, [one.name for one in fields(Line)])
    writer.writeheader()
    writer.writerows(asdict(line) for line in found.lines)
    disk.replace(_draft(table), buffer.getvalue().encode("utf-8", "surrogateescape"))
    entry = {"table": str(table), "decisions": list(found.decisions), "items": list(found.items)}
    disk.replace(note_path, json.dumps({"tables": [*note, entry]}, indent=1).encode())
    _finish([entry])


def _finish(note: Sequence[Mapping[str, Any]]) -> None:
    """Give the newest table its name, if it has none yet."""
    if not note:
        return
    table = Path(note[-1]["table"])
    if not _draft(table).exists():
        return
    try:
        disk.move(_draft(table), table)
    except FileExistsError as error:
        raise DataError(f"{table} is taken by another file: move that away; ours waits beside it") from error
    disk.sync_folder(table.parent)


def _draft(table: Path) -> Path:
    return table.with_name(f".{table.name}.harvest")

"""The daily CSV files: a projection of the ledger that heals.

Rows are appended after the ledger has them. A file that is torn, edited, deleted or behind is found by its
size and brought back to exactly what the ledger says; a file someone changed by hand is kept beside it.
The ledger is the truth: nothing here decides anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from returnsd import disk
from returnsd.ledger import Ledger, Written
from returnsd.records import (
    DECISION_COLUMNS,
    VERDICT_COLUMNS,
    csv_bytes,
    decision_cells,
    verdict_cells,
)


@dataclass(frozen=True, slots=True)
class Healed:
    """A file that was not as we left it: its name, what was done, and where the foreign version was kept."""

    file: str
    how: str
    kept_as: str | None = None


class Results:
    """One kind of daily file: `returns` (verdicts) or `decisions`."""

    def __init__(self, folder: Path, ledger: Ledger, kind: str = "returns") -> None:
        """Bring every file of this kind up to the ledger later, in `project`; nothing is written yet."""
        self._folder = folder
        self._ledger = ledger
        self._kind = kind
        self._columns = VERDICT_COLUMNS if kind == "returns" else DECISION_COLUMNS
        self._table = "verdict" if kind == "returns" else "decision"
        known = ledger.written()
        self.written: dict[str, Written] = {f: mark for f, mark in known.items() if f.startswith(kind + "-")}

    def file_of(self, day: str) -> Path:
        """Return the path of a day's file."""
        return self._folder / f"{self._kind}-{day}.csv"

    def heal(self) -> list[Healed]:
        """Bring all files up to the ledger: the start-up call, cheap where nothing is amiss."""
        healed = []
        for day, newest in self._ledger.newest()[self._table].items():
            mark = self.written.get(self.file_of(day).name, Written(0, 0))
            if mark.seq != newest or self._size(day) != mark.size_bytes:
                healed += self.project([day])
        return healed

    def project(self, days: list[str]) -> list[Healed]:
        """Append to these days' files what the ledger has beyond them, durably; return what had to be healed."""
        with disk.lock(self._folder / ".lock", wait=True):
            return [healed for day in days if (healed := self._project(day)) is not None]

    def _project(self, day: str) -> Healed | None:
        path = self.file_of(day)
        mark = self.written.get(path.name, Written(0, 0))
        seq, rows = self._render(day, mark)
        size = self._size(day)
        healed = None
        if size == mark.size_bytes:
            disk.append(path, rows, at=size)
        else:
            # Not as we left it. Whatever else it is, it must end as the ledger's rows: compare, never trust.
            seq, whole = self._render(day, Written(0, 0))
            content = path.read_bytes() if size else b""
            if content == whole:
                healed = Healed(path.name, "complete")
            elif whole.startswith(content):
                disk.append(path, whole[len(content) :], at=len(content))
                healed = Healed(path.name, "completed")
            else:
                kept = self._keep_aside(path, content, mark)
                disk.replace(path, whole)
                healed = Healed(path.name, "rewritten", kept)
            rows, mark = whole, Written(0, 0)
        self.written[path.name] = Written(seq, mark.size_bytes + len(rows))
        return healed

    def _keep_aside(self, path: Path, content: bytes, mark: Written) -> str:
        # Its inode is kept, under a name of its own: whoever edited it finds the edit there.
        number = 1
        while (aside := path.with_name(f"{path.stem}.changed-{number}.csv")).exists():
            number += 1
        disk.replace(aside, content)
        return aside.name

    def _render(self, day: str, mark: Written) -> tuple[int, bytes]:
        """Return the last seq and the bytes of the day's rows beyond the mark; the header before the first."""
        seq = mark.seq
        lines: list[list[str]] = [] if mark.size_bytes else [list(self._columns)]
        for seq, cells in self._cells(day, mark.seq):  # noqa: B007 (the last seq is the result)
            lines.append(cells)
        return seq, csv_bytes(lines)

    def _cells(self, day: str, after: int) -> Iterator[tuple[int, list[str]]]:
        if self._kind == "returns":
            return ((seq, verdict_cells(v)) for seq, v in self._ledger.verdicts_of(day, after))
        return ((seq, decision_cells(d)) for seq, d in self._ledger.decisions_of(day, after))

    def _size(self, day: str) -> int:
        try:
            return self.file_of(day).stat().st_size
        except FileNotFoundError:
            return 0

    def days(self) -> list[str]:
        """Return the days that have rows, oldest first."""
        return sorted(self._ledger.newest()[self._table])

    def expected(self, day: str) -> bytes:
        """Return what the day's file must be, byte for byte."""
        return self._render(day, Written(0, 0))[1]

    def rebuild(self, day: str) -> bool:
        """Write the day's file anew from the ledger; say whether that changed a byte."""
        path = self.file_of(day)
        with disk.lock(self._folder / ".lock", wait=True):
            seq, whole = self._render(day, Written(0, 0))
            changed = not path.exists() or path.read_bytes() != whole
            if changed:
                disk.replace(path, whole)
            self.written[path.name] = Written(seq, len(whole))
            return changed

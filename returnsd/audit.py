"""The audit: proof that nothing is lost or doubled, from the disk and the ledger alone.

It recounts everything: each item seen has a row or lies in the queue; each row's file lies on the shelf its row
(or a person's decision) names, once, with the row's SHA-256; each CSV is what the ledger says, byte for byte.
It changes nothing and may run beside the service: what moves meanwhile is looked at again.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from returnsd import disk, item_id
from returnsd.errors import Unreadable
from returnsd.ledger import Ledger
from returnsd.records import Decision, Shelf, Verdict
from returnsd.results import Results
from returnsd.spool import Spool

_LOOKS = 5
_BETWEEN_LOOKS_S = 0.2
_MOST_NAMED = 100

Progress = Callable[[Iterable[tuple[int, Verdict]], int], Iterable[tuple[int, Verdict]]]


@dataclass(slots=True)
class Report:
    """What the audit counted. `faults` is empty if and only if all is well."""

    seen: int = 0
    rows: int = 0
    queued: int = 0
    shelved: int = 0
    expired: int = 0
    decisions: int = 0
    shelves: dict[str, int] = field(default_factory=dict)
    csv_files: int = 0
    hashed: bool = True
    faults: list[str] = field(default_factory=list)
    fault_count: int = 0

    def fault(self, text: str) -> None:
        """Note one thing that is not as promised."""
        self.fault_count += 1
        if len(self.faults) < _MOST_NAMED:
            self.faults.append(text)

    @property
    def clean(self) -> bool:
        """Say whether seen = shelved + queued, rows = items, and every file is where and what it should be."""
        return self.fault_count == 0

    def as_json(self) -> dict[str, object]:
        """Return the report for machines."""
        return {"clean": self.clean, **asdict(self)}


def audit(spool: Spool, ledger: Ledger, *, hashing: bool = True, progress: Progress | None = None) -> Report:
    """Check every promise about files and rows; `hashing` reads every file on a shelf whole."""
    report = Report(hashed=hashing)
    places = _Places(spool, ledger)
    rows = list(ledger.verdicts_of())
    decided = ledger.newest_decisions()
    expired = ledger.expired()
    report.rows, report.decisions, report.expired = len(rows), len(decided), len(expired)
    for _, verdict in progress(rows, len(rows)) if progress else rows:
        if verdict.item_id in expired:
            continue
        _check_row(report, places, spool, ledger, verdict, decided.get(verdict.item_id), hashing)
    _check_unjudged(report, spool, ledger)
    _check_strays(report, places, ledger, expired)
    for kind in ("returns", "decisions"):
        _check_files(report, spool, ledger, kind)
    if report.seen != report.shelved + report.expired + report.queued:
        report.fault(f"{report.seen} items were seen, but {report.shelved + report.expired + report.queued} found")
    return report


class _Places:
    """Where every shelved file lies, by the id in its name."""

    def __init__(self, spool: Spool, ledger: Ledger) -> None:
        self._spool = spool
        self._ledger = ledger
        self.found: dict[str, list[Path]] = {}
        for shelf in Shelf:
            for path in _files_below(spool.shelf(shelf)):
                if item_id.is_valid(path.name[: item_id.LENGTH]):
                    self.found.setdefault(path.name[: item_id.LENGTH], []).append(path)

    def of(self, verdict: Verdict, decision: Decision | None) -> tuple[list[Path], Decision | None]:
        """Return where the item's file lies and the decision about it; one that was moved since is looked for."""
        found = [path for path in self.found.get(verdict.item_id, []) if os.path.lexists(path)]
        if not found:
            decision = self._ledger.decision(verdict.item_id)
            found = [p for p in self._spool.expected_places(verdict, decision) if os.path.lexists(p)]
        return found, decision


def _files_below(folder: Path) -> Iterator[Path]:
    for base, _, names in os.walk(folder):
        for name in names:
            yield Path(base, name)


def _check_row(
    report: Report,
    places: _Places,
    spool: Spool,
    ledger: Ledger,
    verdict: Verdict,
    decision: Decision | None,
    hashing: bool,
) -> None:
    # queue, shelves, queue again: so that a file on its way from one to the other is neither missed nor doubled
    in_queue = _queued_file(spool, verdict.item_id)
    found, decision = places.of(verdict, decision)
    if in_queue is not None and found:
        in_queue = _queued_file(spool, verdict.item_id)
    if in_queue is not None and not found:
        report.queued += 1  # recorded, on its way to the shelf
        return
    if not found and ledger.expired([verdict.item_id]):
        report.expired += 1  # deleted for its age meanwhile
        return
    everywhere = found if in_queue is None else [*found, in_queue]
    if len(everywhere) != 1:
        what = ", ".join(str(path) for path in everywhere) or "nowhere"
        report.fault(
            f"item {verdict.item_id} ({verdict.file_name}): its file is found {len(everywhere)} times: {what}"
        )
        return
    report.shelved += 1
    shelf = decision.shelf if decision is not None else verdict.shelf
    lies_on = next(s for s in Shelf if found[0].is_relative_to(spool.shelf(s)))
    report.shelves[lies_on.value] = report.shelves.get(lies_on.value, 0) + 1
    if lies_on not in (shelf, verdict.shelf):
        report.fault(f"item {verdict.item_id}: its row says {shelf}, its file lies in {lies_on}: {found[0]}")
    if hashing and verdict.sha256 is not None:
        _check_bytes(report, verdict, found[0])


def _check_bytes(report: Report, verdict: Verdict, path: Path) -> None:
    try:
        actual = disk.sha256_of(path)
    except (OSError, Unreadable) as error:
        report.fault(f"item {verdict.item_id}: its file cannot be read: {error}")
        return
    if actual != verdict.sha256:
        report.fault(f"item {verdict.item_id}: {path} is not the file that was judged (SHA-256 differs)")


def _queued_file(spool: Spool, wanted_id: str) -> Path | None:
    found = spool.find_queued(wanted_id)
    return None if found is None else found.path


def _check_unjudged(report: Report, spool: Spool, ledger: Ledger) -> None:
    """Each item without a row must lie in the queue; one that got its row meanwhile is no fault."""
    with ledger.snapshot():
        unjudged, counts = ledger.unjudged(), ledger.counts()
    missing = [i for i in unjudged if _queued_file(spool, i) is None]
    rows = ledger.verdicts(missing)
    lost = [i for i in missing if i not in rows]
    for one in lost:
        report.fault(f"item {one} was taken in, has no row and is not in the queue")
    # an item that was renamed into the queue a moment ago may not be entered in the ledger yet
    waiting = spool.queue_ids()
    not_entered = waiting - set(ledger.begun(sorted(waiting)))
    report.queued += len(unjudged) - len(lost) + len(not_entered)
    # what was judged since we read the rows was seen since
    report.seen = counts["seen"] - (counts["rows"] - report.rows) + len(not_entered)


def _check_strays(report: Report, places: _Places, ledger: Ledger, expired: set[str]) -> None:
    rows = ledger.verdicts(sorted(places.found))
    for shelved_id, paths in places.found.items():
        if shelved_id not in rows:
            report.fault(f"{paths[0]} lies on a shelf without a row")
        elif shelved_id in expired and os.path.lexists(paths[0]):
            report.fault(f"{paths[0]} should have been deleted for its age")


def _check_files(report: Report, spool: Spool, ledger: Ledger, kind: str) -> None:
    results = Results(spool.paths.results, ledger, kind)
    for day in results.days():
        report.csv_files += 1
        path = results.file_of(day)
        if not any(_same(path, results.expected(day), look) for look in range(_LOOKS)):
            report.fault(f"{path} is not what the ledger says: returnsd rebuild-results --day {day}")


def _same(path: Path, expected: bytes, look: int) -> bool:
    """Compare; a running service may be between its ledger and its file, so look again a little later."""
    if look:
        time.sleep(_BETWEEN_LOOKS_S)
    try:
        return path.read_bytes() == expected
    except FileNotFoundError:
        return False

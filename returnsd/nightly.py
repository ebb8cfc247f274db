"""The one-shot batch for cron and timers: judge all that waits, write a report, stop.

Beside a running service it judges nothing itself; it waits until the service has caught up, and reports.
A report covers the rows since the report before it, so that every row is in exactly one.
"""

import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from returnsd import disk
from returnsd import report as reports
from returnsd.config import Config
from returnsd.errors import AlreadyRunning
from returnsd.figures import Figures
from returnsd.ledger import LEDGER, Ledger
from returnsd.records import Shelf, Verdict, printable
from returnsd.report import Report
from returnsd.sdnotify import Notifier
from returnsd.service import Service, without_events
from returnsd.status import gather

REPORTS = "reports"

_PATIENCE_S = 60.0
_LOOK_S = 0.5


def run(config: Config, progress: Callable[[int, int], None] = lambda judged, waiting: None) -> tuple[Report, Path]:
    """Judge all that waits and write the report into <state>/reports; return it and the path of its JSON.

    The same for people lies beside it: one HTML page that needs nothing else.
    """
    started = datetime.now().astimezone()
    begun = time.monotonic()
    report = Report(started.isoformat(timespec="seconds"))
    try:
        _judge_all(config, report, progress)
    except AlreadyRunning:
        report.judged_by = "service"
        _wait_for_service(config, report, progress)
    _count(config, report)
    report.ended_at = datetime.now().astimezone().isoformat(timespec="seconds")
    report.duration_s = round(time.monotonic() - begun, 3)
    folder = config.paths.state / REPORTS
    disk.make_folder(folder)
    path = folder / f"report-{started.strftime('%Y-%m-%dT%H%M%S')}-{report.last_row}.json"
    disk.replace(path.with_suffix(".html"), reports.page(report).encode())
    disk.replace(path, (json.dumps(report.as_json(), indent=2, ensure_ascii=False) + "\n").encode())
    return report, path


def _judge_all(config: Config, report: Report, progress: Callable[[int, int], None]) -> None:
    service = Service(lambda: without_events(config), Notifier.from_environment())
    try:
        report.model = service.worker.model.bundle.id
        worker = service.worker
        with service.listening_to_signals():
            while not service.stopping and not worker.idle and (worker.tally.problem is None or worker.patient):
                service.turn()
                progress(worker.tally.total, len(worker.inbox))
        service.drain()
        report.left = {why: count for why, count in worker.inbox.status().items() if count}
        report.problem = "stopped by a signal" if service.stopping else worker.tally.problem
    finally:
        service.close()


def _wait_for_service(config: Config, report: Report, progress: Callable[[int, int], None]) -> None:
    """Wait while the running service works off what lies in inbox and queue; give up when nothing moves."""
    before, moved_at = None, time.monotonic()
    while time.monotonic() - moved_at < _PATIENCE_S:
        found = gather(config)
        service = found["service"]
        if isinstance(service, dict):
            report.model = str(service["model"])
            report.left = {why: count for why, count in service["held"].items() if count}
            report.problem = service["problem"]
        waiting = int(str(found["inbox_files"])) - sum(report.left.values()) + int(str(found["queued"]))
        progress(0, waiting)
        if waiting <= 0:
            return
        if waiting != before:
            before, moved_at = waiting, time.monotonic()
        time.sleep(_LOOK_S)
    report.problem = report.problem or f"the running service left {before} files unjudged for {_PATIENCE_S:.0f} s"


def _count(config: Config, report: Report) -> None:
    path = config.paths.state / LEDGER
    report.first_row = report.last_row = _last_row_reported(config.paths.state / REPORTS)
    shelves, categories, rejected = Counter[str](), Counter[str](), Counter[str]()
    models = Counter[str]()
    with closing(Ledger(path)) as ledger:
        for row, verdict in ledger.verdicts_of(after=report.first_row):
            report.last_row = row
            shelves[verdict.shelf.value] += 1
            if verdict.model:
                models[verdict.model] += 1
            if verdict.shelf is Shelf.REJECTED:
                rejected[verdict.reason] += 1
                if len(report.rejected_files) < reports.MOST_NAMED:
                    report.rejected_files.append(_named(verdict))
            elif verdict.category is not None:
                categories[verdict.category] += 1
    report.judged = shelves.total()
    if models:  # the one in force may be another one by now
        counts = [f"{model} ({count})" for model, count in models.most_common()]
        report.model = ", ".join(counts) if len(models) > 1 else next(iter(models))
    report.shelves = {shelf.value: shelves[shelf.value] for shelf in Shelf}
    report.categories, report.rejected = dict(categories.most_common()), dict(rejected.most_common())
    seen = shelves[Shelf.ARCHIVE] + shelves[Shelf.REVIEW]
    report.archived_share = round(shelves[Shelf.ARCHIVE] / seen, 4) if seen else None
    with closing(Figures(path)) as figures:
        report.stands = {
            name: count
            for name, count in asdict(figures.rows(report.first_row, report.last_row)).items()
            if name not in ("day", "received", "unjudged")
        }
        report.waiting_in_review = figures.all().waiting


def _named(verdict: Verdict) -> dict[str, str]:
    return {"item_id": verdict.item_id, "file_name": printable(verdict.file_name), "reason": verdict.reason}


def _last_row_reported(folder: Path) -> int:
    """Return where the newest earlier report ended."""
    last = 0
    for path in folder.glob("report-*.json"):
        stem = path.stem.rpartition("-")[2]
        last = max(last, int(stem) if stem.isdigit() else 0)
    return last

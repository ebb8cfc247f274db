"""How things stand, for `returnsd status`: from the ledger and the folders, and from the service if one runs."""

import json
import os
from contextlib import closing, suppress
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from returnsd import disk, item_id, policy
from returnsd.config import Config
from returnsd.figures import Day, Figures
from returnsd.ledger import LEDGER, Ledger
from returnsd.records import Shelf
from returnsd.words import moment, percent, zone

LOCK = "worker.lock"
STATUS = "status.json"

_MOST_COUNTED = 100_000


def gather(config: Config) -> dict[str, object]:
    """Return the state of one installation; works while the service runs, and before it ever ran."""
    paths = config.paths
    running = (paths.state / LOCK).exists() and disk.is_locked(paths.state / LOCK)
    found: dict[str, object] = {
        "running": running,
        "inbox_files": _count_files(paths.inbox, config.watch.ignore, recursive=config.watch.recursive),
        "queued": _count_queued(paths.queue),
        "waiting": 0,
        "service": _told(paths.state) if running else None,
    }
    if (paths.state / LEDGER).exists():
        found |= _counted(paths.state / LEDGER)
    return found


def _counted(path: Path) -> dict[str, object]:
    """Return how what was received stands, and what was ever done: acts, which do not add up to anything."""
    today = datetime.now().astimezone().date().isoformat()
    with closing(Figures(path)) as figures, closing(Ledger(path, read_only=True)) as ledger:
        total = figures.all()
        of_today = next((day for day in figures.days(today) if day.day == today), Day(today))
        acts = ledger.counts()
    judged = {shelf.value: acts[shelf.value] for shelf in Shelf}
    return {
        "waiting": total.waiting,
        "today": asdict(of_today),
        "total": asdict(total),
        "acts": {"judged": judged, "decisions": acts["decisions"]},
    }


def lines(found: dict[str, object]) -> list[str]:
    """Return the same for a person."""
    service = found["service"]
    shown = [f"inbox {found['inbox_files']}, queue {found['queued']}, waiting for a person {found['waiting']}"]
    for span in ("today", "total"):
        counts = found.get(span)
        if isinstance(counts, dict):
            shown.append(f"{span}: {Day(**counts).sentence()}")
    if not found["running"]:
        return ["returnsd is not running here: start it with `returnsd run`", *shown]
    if not isinstance(service, dict):
        return ["returnsd is starting, and has not told yet how it is doing", *shown]
    held = {why: n for why, n in service["held"].items() if n}
    threshold = service["threshold"]
    archives = f"archives from {percent(threshold, 1)} sure on" if threshold is not None else "archives nothing"
    started = datetime.fromisoformat(service["started_at"])
    since = f"{moment(started)} ({zone(started)})"
    shown.insert(0, f"running since {since}, pid {service['pid']}, {service['per_second']}/s")
    shown.append(f"model {service['model']}: {archives} (target accuracy {percent(service['target_accuracy'])})")
    if held:
        shown.append("held in the inbox: " + ", ".join(f"{n} {why.replace('_', ' ')}" for why, n in held.items()))
    shown += [f"  stays in the inbox: {name} ({why.replace('_', ' ')})" for name, why in service.get("staying", ())]
    if service["problem"]:
        way = service.get("obstacle")
        shown.append(f"PAUSED: {way['what']}: {way['remedy']}" if way else f"PAUSED: {service['problem']}")
    elif service["last_error"]:
        shown.append(f"last error: {service['last_error']}")
    return shown


def _told(state: Path) -> dict[str, object] | None:
    """Return what the running service last told, if it did."""
    with suppress(OSError, ValueError):
        told = json.loads((state / STATUS).read_text())
        if isinstance(told, dict):
            return told
    return None


def _count_files(folder: Path, ignore: tuple[str, ...], *, recursive: bool = True) -> int:
    count = 0
    for _, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if recursive and not policy.ignored(name, ignore)]
        count += sum(not policy.ignored(name, ignore) for name in names)
        if count > _MOST_COUNTED:
            break
    return count


def _count_queued(queue: Path) -> int:
    try:
        return sum(item_id.is_valid(name[: item_id.LENGTH]) for name in os.listdir(queue))
    except FileNotFoundError:
        return 0

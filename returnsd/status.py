"""How things stand, for `returnsd status`: from the ledger and the folders, and from the service if one runs."""

import json
import os
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from returnsd import disk, item_id, policy
from returnsd.config import Config
from returnsd.ledger import LEDGER, Ledger

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
        "in_review": _count_files(paths.review, (".*",)),
        "service": _told(paths.state) if running else None,
    }
    if (paths.state / LEDGER).exists():
        ledger = Ledger(paths.state / LEDGER, read_only=True)
        found["today"] = ledger.counts(datetime.now().astimezone().date().isoformat())
        found["total"] = ledger.counts()
        ledger.close()
    return found


def lines(found: dict[str, object]) -> list[str]:
    """Return the same for a person."""
    service = found["service"]
    shown = [f"inbox {found['inbox_files']}, queue {found['queued']}, waiting in review {found['in_review']}"]
    for span in ("today", "total"):
        counts = found.get(span)
        if isinstance(counts, dict):
            shelves = ", ".join(f"{name} {counts[name]}" for name in ("archive", "review", "rejected"))
            shown.append(f"{span}: {counts['rows']} judged ({shelves}), {counts['decisions']} decided by people")
    if not found["running"]:
        return ["returnsd is not running here: start it with `returnsd run`", *shown]
    if not isinstance(service, dict):
        return ["returnsd is starting, and has not told yet how it is doing", *shown]
    held = {why: n for why, n in service["held"].items() if n}
    threshold = service["threshold"]
    archives = f"archives from a confidence of {threshold:.3f}" if threshold is not None else "archives nothing"
    shown.insert(0, f"running since {service['started_at']} (pid {service['pid']}), {service['per_second']}/s")
    shown.append(f"model {service['model']}: {archives} (target accuracy {service['target_accuracy']})")
    if held:
        shown.append("held in the inbox: " + ", ".join(f"{n} {why}" for why, n in held.items()))
    for key, what in (("problem", "PAUSED"), ("last_error", "last error")):
        if service[key]:
            shown.append(f"{what}: {service[key]}")
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

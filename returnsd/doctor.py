"""The doctor: looks at one installation and the machine under it, check by check.

It changes nothing, needs no running service, and keeps no opinion to itself: every check answers, with `fine` too.
What a fact means is said in `diagnosis`; here facts are gathered, by trying the real thing where that is possible.
"""

import grp
import os
import pwd
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path

import returnsd
from returnsd import diagnosis, disk, machine, policy
from returnsd.config import Config
from returnsd.diagnosis import ADVICE, FAULT, FINE, Finding, all_folders, moved_folders
from returnsd.doorbell import Doorbell
from returnsd.errors import ReturnsdError
from returnsd.ledger import LEDGER, Ledger
from returnsd.models import check_bundle
from returnsd.records import Decision
from returnsd.service import open_model
from returnsd.status import gather
from returnsd.survey import Meanings, survey

_MOST_FOLDERS = 200_000


def examine(config: Config, config_file: Path | None) -> Iterator[Finding]:
    """Yield what is found, check by check. As root it goes on as the user of the unit that uses this file."""
    units = machine.units()
    ours = next((unit for unit in units or [] if config_file and unit.uses(config_file.absolute())), None)
    yield from diagnosis.judge_units(units, ours, config)
    if ours is not None and ours.user and os.geteuid() == 0:
        machine.become(ours.user)  # what root may do says nothing
    if config_file is not None and not os.access(config_file, os.R_OK, effective_ids=True):
        text = f"{machine.user_name(os.geteuid())} may not read {config_file}"
        yield Finding(FAULT, "folders", text, f"chmod a+r {config_file}")
    checks: list[Callable[[Config], Iterator[Finding]]] = [_folders, _inbox_door, _file_systems, _room, _events]
    for check in [*checks, _records_and_clock, _review, _model, _service]:
        yield from check(config)


# --- folders


def _standing(path: Path) -> Path:
    """Return the path, or the nearest folder above it that exists."""
    return path if os.path.exists(path) or path == path.parent else _standing(path.parent)


def _may_use(folder: Path) -> bool:
    return os.access(folder, os.R_OK | os.W_OK | os.X_OK, effective_ids=True)


def _folders(config: Config) -> Iterator[Finding]:
    me = machine.user_name(os.geteuid())
    found = []
    for folder in all_folders(config):
        place = _standing(folder)
        if not place.is_dir():
            found.append(Finding(FAULT, "folders", f"{place} is no folder", "move it away, or change paths"))
        elif not _may_use(place):
            text = f"{me} may not {'write to' if place == folder else f'make {folder} in'} {place}"
            found.append(Finding(FAULT, "folders", text, f"chown {me} {place}; chmod u+rwx {place}"))
    queue = config.paths.queue
    if os.path.exists(queue) and queue.stat().st_mode & stat.S_IWOTH:
        text = f"everybody may write to {queue}, which is ours alone"
        found.append(Finding(FAULT, "folders", text, f"chmod o-w {queue}"))
    yield from found or [Finding(FINE, "folders", f"all seven are {me}'s to read and write")]


def _inbox_door(config: Config) -> Iterator[Finding]:
    inbox = config.paths.inbox
    if os.path.exists(inbox):
        found = inbox.stat()
        owner, (group, members) = machine.user_name(found.st_uid), _members(found.st_gid)
        yield diagnosis.judge_door(inbox, found.st_mode, owner, group, members)


def _members(gid: int) -> tuple[str, list[str]]:
    """Return a group's name and the people in it, the service itself left out."""
    try:
        group = grp.getgrgid(gid)
    except KeyError:
        return str(gid), [str(gid)]
    primary = [user.pw_name for user in pwd.getpwall() if user.pw_gid == gid]
    return group.gr_name, sorted({*group.gr_mem, *primary} - {"returnsd"})


# --- file systems


def _file_systems(config: Config) -> Iterator[Finding]:
    places = {folder: disk.place_of(_standing(folder)) for folder in moved_folders(config)}
    apart = [folder for folder, place in places.items() if place != places[config.paths.queue]]
    inbox = machine.mount_of(_standing(config.paths.inbox))
    state = machine.mount_of(_standing(config.paths.state))
    found = [
        *diagnosis.judge_apart(apart, config),
        *diagnosis.judge_inbox_mount(inbox, config),
        *diagnosis.judge_state_mount(state, config),
    ]
    together = f"{inbox.kind} at {inbox.point}, inbox and shelves together"
    yield from found or [Finding(FINE, "file system", together)]


def _room(config: Config) -> Iterator[Finding]:
    seen = set()
    for folder in map(_standing, (config.paths.queue, config.paths.results, config.paths.state)):
        if (device := folder.stat().st_dev) not in seen:
            seen.add(device)
            yield diagnosis.judge_space(folder, machine.space_of(folder))


# --- events


def _events(config: Config) -> Iterator[Finding]:
    inbox = config.paths.inbox
    if not config.watch.events:
        yield Finding(FINE, "events", f"switched off; the inbox is scanned every {config.watch.rescan_s:g} s")
        return
    if not inbox.is_dir() or not _may_use(inbox):
        return  # the folders' check said so
    with closing(Doorbell(inbox, recursive=config.watch.recursive)) as bell:
        try:
            bell.start()
        except OSError as error:
            yield diagnosis.judge_refusal(error, config)
            return
    folders = _count_folders(inbox) if config.watch.recursive else 1
    yield diagnosis.judge_watches(folders, machine.kernel_number("fs/inotify/max_user_watches"))


def _count_folders(inbox: Path) -> int:
    count = 0
    for _ in os.walk(inbox):
        count += 1
        if count >= _MOST_FOLDERS:
            break
    return count


# --- returnsd itself


def _records_and_clock(config: Config) -> Iterator[Finding]:
    path = config.paths.state / LEDGER
    newest = None
    if not os.path.exists(path):
        yield Finding(FINE, "ledger", f"{path} is not there yet; the first start makes it")
    else:
        try:
            with closing(Ledger(path, read_only=True)) as ledger:
                newest = max(ledger.newest()["verdict"], default=None)
                yield Finding(FINE, "ledger", f"{ledger.counts()['rows']} rows")
        except (ReturnsdError, sqlite3.Error) as error:
            remedy = "docs/operations.md, `Back-up and restore`"
            yield Finding(FAULT, "ledger", f"{path} cannot be read: {error}", remedy)
    now = datetime.now().astimezone()
    yield diagnosis.judge_clock(now, newest, machine.clock_is_synchronised())


def _review(config: Config) -> Iterator[Finding]:
    path = config.paths.state / LEDGER
    if not path.exists() or not config.paths.review.is_dir() or not os.access(path, os.R_OK):
        return
    try:
        with closing(Ledger(path, read_only=True)) as ledger:
            found = survey(config.paths, ledger, Meanings(open_model(config).bundle.categories))
            pending = [one for one in ledger.newest_decisions().values() if _waits_for_its_file(config, one)]
    except (ReturnsdError, OSError, sqlite3.Error):
        return  # the checks of ledger, folders and model say so
    yield from diagnosis.judge_review(found, [one.item_id for one in pending])


def _waits_for_its_file(config: Config, decision: Decision) -> bool:
    """Say whether a decision was recorded and its file still lies in review."""
    usual = policy.shelf_name(decision.item_id, decision.file_name)
    return not decision.withdrawn and os.path.lexists(config.paths.review / usual)


def _model(config: Config) -> Iterator[Finding]:
    try:
        told = check_bundle(config, config.model.bundle)
    except (ReturnsdError, OSError) as error:
        yield Finding(FAULT, "model", str(error), "returnsd model list shows the bundles at hand")
        return
    if "archives nothing" in told:
        yield Finding(ADVICE, "model", told, "returnsd model show tells what each target accuracy costs")
    else:
        yield Finding(FINE, "model", told)


def _service(config: Config) -> Iterator[Finding]:
    running = gather(config)["service"] if os.access(config.paths.state, os.X_OK, effective_ids=True) else None
    if not isinstance(running, dict):
        return
    if running["version"] != returnsd.__version__:
        text = f"version {running['version']} runs, {returnsd.__version__} is installed"
        yield Finding(ADVICE, "service", text, "systemctl restart returnsd")
    if running["problem"]:
        found = running.get("obstacle") or {"what": running["problem"], "remedy": "see its log"}
        yield Finding(FAULT, "service", f"intake is paused: {found['what']}", found["remedy"])
    elif running["last_error"]:
        yield Finding(ADVICE, "service", f"its last error: {running['last_error']}")
    else:
        yield Finding(FINE, "service", f"runs, {running['arriving']} arriving")

"""What facts about a machine mean for returnsd: findings, each with what to do about it.

Pure: facts in, findings out. A fault keeps pictures from being judged or recorded; advice is what will be a fault
some day, or surprises.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from returnsd.config import Config
from returnsd.machine import Mount, Space, Unit
from returnsd.records import printable
from returnsd.survey import Survey
from returnsd.words import times

FINE, ADVICE, FAULT = "fine", "advice", "FAULT"

# Whoever writes to these from another machine rings no doorbell here.
_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "ceph", "9p", "afs", "virtiofs", "vboxsf", "glusterfs"}
# what ProtectHome= and PrivateTmp= of our units hide
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
_MEMORY = {"tmpfs", "ramfs"}
_SMALL_BYTES, _LITTLE_BYTES = 200 << 20, 2 << 30
_SMALL_INODES, _LITTLE_SHARE = 1_000, 0.05
_MOST_NAMED = 5
_OLDEST_CLOCK = datetime(2026, 1, 1).astimezone()


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: how bad it is, what it is about, what was found, and what to do about it."""

    level: str
    about: str
    text: str
    remedy: str = ""

    def as_json(self) -> dict[str, str]:
        """Return it for machines."""
        return asdict(self)

    def lines(self) -> list[str]:
        """Return it for a person."""
        return [f"{self.level:7}{self.about}: {self.text}", *([f"       -> {self.remedy}"] if self.remedy else [])]


# --- systemd


def judge_units(units: list[Unit] | None, ours: Unit | None, config: Config) -> Iterator[Finding]:
    """Yield what is to be said of systemd's units, of which `ours` runs with this configuration."""
    if units is None:
        yield Finding(ADVICE, "units", "systemd does not run here", "start it with: returnsd run")
        return
    if ours is None:
        names = ", ".join(unit.name for unit in units if unit.loaded) or "none of ours is installed"
        yield Finding(
            ADVICE,
            "units",
            f"no unit runs with this configuration ({names})",
            "sudo make install, or give --config",
        )
        return
    yield from _judge_state(ours)
    yield from _judge_walls(ours, config)


def _judge_state(unit: Unit) -> Iterator[Finding]:
    name = unit.name
    if unit.needs_daemon_reload:
        yield Finding(ADVICE, "units", f"{name} was changed on disk", f"systemctl daemon-reload; restart {name}")
    if not unit.enabled:
        yield Finding(ADVICE, "units", f"{name} does not start at boot", f"systemctl enable {name}")
    if unit.active == "failed":
        why = f"{unit.result}, status {unit.exit_status}"
        check = "returnsd config check" if unit.exit_status == 78 else f"journalctl -u {name} -n 50"
        yield Finding(FAULT, "units", f"{name} failed ({why})", f"{check}; then: systemctl restart {name}")
    elif unit.active not in ("active", "reloading", "activating"):
        yield Finding(ADVICE, "units", f"{name} does not run", f"systemctl start {name}")
    elif unit.restarts:
        text = f"{name} had to be restarted {unit.restarts} times since it was started"
        yield Finding(ADVICE, "units", text, f"journalctl -u {name} -p warning")
    else:
        yield Finding(FINE, "units", f"{name} runs")


def _judge_walls(unit: Unit, config: Config) -> Iterator[Finding]:
    """What the unit may not write to fails, and what lies in two of its ReadWritePaths cannot be renamed."""
    if unit.may_write is None:
        return
    bundle = Path(config.model.bundle)
    for path in [*all_folders(config), *([bundle] if bundle.is_absolute() else [])]:
        if any(path.is_relative_to(hidden) for hidden in _HIDDEN):
            yield Finding(FAULT, "units", f"{unit.name} cannot see {path}", "move it to /srv or below /var/lib")
    holders: dict[Path, Path | None] = {}
    for folder in all_folders(config):
        roots = [root for root in unit.may_write if folder.is_relative_to(root)]
        holders[folder] = max(roots, key=lambda root: len(root.parts), default=None)
    outside = [folder for folder, root in holders.items() if root is None]
    if outside:
        yield Finding(
            FAULT, "units", f"{unit.name} may not write to {', '.join(map(str, outside))}", _drop_in(unit, outside)
        )
    elif len({holders[folder] for folder in moved_folders(config)}) > 1:
        text = f"{unit.name}: inbox, queue and shelves lie in several ReadWritePaths: no file can be renamed"
        yield Finding(FAULT, "units", text, _drop_in(unit, moved_folders(config)))


def _drop_in(unit: Unit, folders: Sequence[Path]) -> str:
    together = os.path.commonpath(folders)
    if together == "/":
        return "put inbox, queue and shelves below one folder"
    return f"systemctl edit {unit.name}, add [Service] ReadWritePaths={together}, restart"


# --- folders


def moved_folders(config: Config) -> list[Path]:
    """Return the folders between which files are renamed."""
    paths = config.paths
    return [paths.inbox, paths.queue, paths.archive, paths.review, paths.rejected]


def all_folders(config: Config) -> list[Path]:
    """Return all seven."""
    return [*moved_folders(config), config.paths.results, config.paths.state]


def judge_door(inbox: Path, mode: int, owner: str, group: str, members: list[str]) -> Finding:
    """Say who may put pictures into the inbox."""
    about = "inbox"
    if mode & stat.S_IWOTH:
        return Finding(ADVICE, about, f"everybody on this machine may write to {inbox}", f"chmod o-w {inbox}")
    if not mode & stat.S_IWGRP:
        text = f"only {owner} may put pictures into {inbox}"
        return Finding(ADVICE, about, text, f"chgrp returnsd-inbox {inbox}; chmod 2770 {inbox}")
    if not mode & stat.S_ISGID:
        text = f"files in {inbox} do not take over its group {group}: the service may not be able to read them"
        return Finding(ADVICE, about, text, f"chmod g+s {inbox}")
    if not members:
        return Finding(ADVICE, about, f"nobody is in the group {group} yet", f"usermod -aG {group} USER")
    return Finding(FINE, about, f"pictures come from the group {group}: {', '.join(members)}")


# --- file systems


def judge_apart(apart: Sequence[Path], config: Config) -> Iterator[Finding]:
    """Yield why these folders, which lie on another mount than the queue, cannot work with it."""
    if apart:
        text = (
            f"{', '.join(map(str, apart))} and {config.paths.queue} lie on different mounts: no file can be renamed"
        )
        yield Finding(FAULT, "file system", text, "put inbox, queue and shelves below one folder of one mount")


def judge_inbox_mount(mount: Mount, config: Config) -> Iterator[Finding]:
    """Yield what the inbox's file system means: no events from other machines, or no pictures after a boot."""
    if mount.kind in _MEMORY:
        text = f"inbox and shelves lie in memory ({mount.kind} at {mount.point}): a boot deletes them"
        yield Finding(FAULT, "file system", text, "move paths to a disk")
    if is_network(mount) and config.watch.events:
        text = (
            f"the inbox is on a network mount ({mount.kind} at {mount.point}): other machines' files ring no bell"
        )
        remedy = f"watch: {{events: false, rescan_s: 2}}; now a picture waits up to {config.watch.rescan_s:g} s"
        yield Finding(ADVICE, "file system", text, remedy)


def judge_state_mount(mount: Mount, config: Config) -> Iterator[Finding]:
    """Yield why the ledger must not lie there."""
    if is_network(mount) or mount.kind in _MEMORY:
        why = "a boot deletes it" if mount.kind in _MEMORY else "SQLite's locks do not hold there"
        text = f"the ledger ({config.paths.state}) is on {mount.kind} at {mount.point}: {why}"
        yield Finding(
            FAULT, "file system", text, "move paths.state to a local disk; it may lie apart from the inbox"
        )


def is_network(mount: Mount) -> bool:
    """Say whether other machines may write to a mount unseen."""
    return mount.kind in _NETWORK or mount.kind.startswith("fuse.")


def judge_space(folder: Path, space: Space) -> Finding:
    """Say whether a file system has room for more."""
    remedy = "free some, or let it happen by itself: keep.archive_days, keep.rejected_days"
    free = f"{space.free_bytes / (1 << 30):.1f} GiB free of {space.total_bytes / (1 << 30):.1f}"
    if space.free_bytes < _SMALL_BYTES:
        return Finding(FAULT, "space", f"{folder}: {free}", remedy)
    if space.free_inodes is not None and space.total_inodes is not None:
        if space.free_inodes < _SMALL_INODES:
            return Finding(FAULT, "space", f"{folder}: {space.free_inodes} inodes free: no more files fit", remedy)
        if space.free_inodes < space.total_inodes * _LITTLE_SHARE:
            return Finding(ADVICE, "space", f"{folder}: only {space.free_inodes} inodes free", remedy)
    if space.free_bytes < min(_LITTLE_BYTES, space.total_bytes * _LITTLE_SHARE):
        return Finding(ADVICE, "space", f"{folder}: only {free}", remedy)
    return Finding(FINE, "space", f"{folder}: {free}")


# --- review


def judge_review(found: Survey, pending: Sequence[str]) -> Iterator[Finding]:
    """Yield what is missing from review, and what lies there that no one will settle."""
    about = "review"
    findings = []
    if found.missing:
        wait = times(len(found.missing), "item waits and has", "items wait and have")
        text = f"{wait} no file: {_some(found.missing)}"
        findings.append(Finding(ADVICE, about, text, "put the files back; or returnsd decide ITEM CATEGORY"))
    if found.strangers:
        belong = times(len(found.strangers), "file belongs", "files belong")
        text = f"{belong} to no item: {_some(found.strangers)}"
        findings.append(Finding(ADVICE, about, text, "pictures to be judged go into the inbox"))
    if found.unknown:
        text = f"files lie in folders that are no category: {_some(found.unknown)}"
        findings.append(Finding(ADVICE, about, text, "move them to the folder of a category"))
    if found.left:
        lie = times(len(found.left), "file lies", "files lie")
        text = f"{lie} in the folders of categories and not taken up: {_some(found.left)}"
        findings.append(Finding(ADVICE, about, text, "returnsd web must run; its log says why (review_file_left)"))
    if pending:
        are = times(len(pending), "decision is recorded, and its file", "decisions are recorded, and their files")
        text = f"{are} still in review: {_some(pending)}"
        remedy = "returnsd web moves them; its log says what is in the way (decision_pending)"
        findings.append(Finding(ADVICE, about, text, remedy))
    yield from findings or [Finding(FINE, about, "every item that waits has its file, and nothing else lies there")]


def _some(names: Sequence[str]) -> str:
    more = [f"and {len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else []
    return ", ".join([*map(printable, names[:_MOST_NAMED]), *more])


# --- events, clock


def judge_refusal(error: OSError, config: Config) -> Finding:
    """Say which of the kernel's limits keeps us from listening to file events."""
    name = {errno.ENOSPC: "fs.inotify.max_user_watches", errno.EMFILE: "fs.inotify.max_user_instances"}
    text = f"file events cannot be had ({error.strerror}): a picture waits up to {config.watch.rescan_s:g} s"
    limit = name.get(error.errno or 0)
    return Finding(ADVICE, "events", text, f"raise {limit}: sysctl -w {limit}=524288" if limit else "")


def judge_watches(folders: int, limit: int | None) -> Finding:
    """Say whether the kernel lets us watch every folder of the inbox; other programs of the user count too."""
    if limit is not None and folders > limit * 0.8:
        text = f"{folders} folders in the inbox, the kernel lets a user watch {limit}"
        remedy = "sysctl -w fs.inotify.max_user_watches=524288, or remove empty folders, or watch.recursive: false"
        return Finding(ADVICE, "events", text, remedy)
    return Finding(FINE, "events", f"{folders} folders to watch, {limit} allowed")


def judge_clock(now: datetime, newest_day: str | None, synchronised: bool | None) -> Finding:
    """Say whether the clock can be right: it dates the rows and names the day's files."""
    set_it = "timedatectl set-ntp true, then look again"
    if now < _OLDEST_CLOCK:
        return Finding(FAULT, "clock", f"it says {now.date()}, which is long past", set_it)
    if newest_day is not None and newest_day > now.date().isoformat():
        return Finding(FAULT, "clock", f"it says {now.date()}, but the newest row is of {newest_day}", set_it)
    if synchronised is False:
        text = f"{now.isoformat(timespec='seconds')}; nothing keeps it right"
        return Finding(ADVICE, "clock", text, "timedatectl set-ntp true")
    return Finding(FINE, "clock", f"{now.isoformat(timespec='seconds')}, synchronised")

"""Facts about this machine that a person would otherwise look up one by one: mounts, space, limits, clock, units.

It judges nothing: what a fact means for returnsd is the doctor's business. Linux only.
"""

import ctypes
import os
import pwd
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from returnsd import disk

_TIME_ERROR = 5
_TIMEX_BYTES = 512  # struct timex has 208; the rest is room for a newer kernel's
_SYSTEMD = Path("/run/systemd/system")
_PROPERTIES = (
    "Id,LoadState,ActiveState,Result,ExecMainStatus,UnitFileState,NeedDaemonReload,User,ExecStart,NRestarts,"
    "ProtectSystem,ReadWritePaths,StateDirectory"
)


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount: the kernel's number for it, where it is mounted, and the kind of its file system."""

    id: int
    point: str
    kind: str


@dataclass(frozen=True, slots=True)
class Space:
    """What a file system has left for a process that is not root; inodes are None where it has no fixed number."""

    free_bytes: int
    total_bytes: int
    free_inodes: int | None
    total_inodes: int | None


@dataclass(frozen=True, slots=True)
class Unit:
    """One systemd unit of ours, as systemd has it loaded now."""

    name: str
    loaded: bool
    active: str
    result: str
    exit_status: int
    enabled: bool
    needs_daemon_reload: bool
    user: str
    command: str
    restarts: int
    may_write: tuple[Path, ...] | None
    """The folders it may write to, or None if systemd does not restrict that."""

    def uses(self, config: Path) -> bool:
        """Say whether it runs with that configuration file."""
        return str(config) in self.command.split()


def become(user: str) -> None:
    """Go on as another user, for good; only root can."""
    entry = pwd.getpwnam(user)
    os.initgroups(user, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)


def user_name(uid: int) -> str:
    """Return a user's name, or the number of one that has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def mount_of(path: Path) -> Mount:
    """Return the mount on which a path lies."""
    _, wanted = disk.place_of(path)
    mounts = parse_mounts(Path("/proc/self/mountinfo").read_text(errors="surrogateescape"))
    return mounts.get(wanted, Mount(wanted, "?", "?"))


def parse_mounts(text: str) -> dict[int, Mount]:
    """Return the mounts of /proc/self/mountinfo, see proc(5), by their numbers."""
    found = {}
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        number, *_, point = before.split(" ")[:5]
        readable = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point)
        found[int(number)] = Mount(int(number), readable, after.split(" ")[0])
    return found


def space_of(path: Path) -> Space:
    """Return what is left on a path's file system."""
    told = os.statvfs(path)
    counted = told.f_files > 0
    return Space(
        told.f_bavail * told.f_frsize,
        told.f_blocks * told.f_frsize,
        told.f_favail if counted else None,
        told.f_files if counted else None,
    )


def kernel_number(name: str) -> int | None:
    """Return a number below /proc/sys, such as fs/inotify/max_user_watches; None if there is none."""
    try:
        return int(Path("/proc/sys", name).read_text())
    except (OSError, ValueError):
        return None


def clock_is_synchronised() -> bool | None:
    """Say whether something keeps this clock right (NTP, chrony), by adjtimex(2); None if the kernel won't say."""
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    return None if state < 0 else bool(state != _TIME_ERROR)


def units() -> list[Unit] | None:
    """Return returnsd.service and the instances of returnsd@.service; None where systemd does not run."""
    program = shutil.which("systemctl")
    if program is None or not _SYSTEMD.is_dir():
        return None
    shown = subprocess.run(
        [program, "show", "--property", _PROPERTIES, "returnsd.service", "returnsd@*.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    return [parse_unit(part) for part in shown.stdout.strip().split("\n\n")] if shown.stdout.strip() else None


def parse_unit(text: str) -> Unit:
    """Read what `systemctl show` prints of one unit."""
    told = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    argv = re.search(r"argv\[\]=(.*?) ;", told.get("ExecStart", ""))
    writable = [f"/var/lib/{name}" for name in told.get("StateDirectory", "").split()]
    writable += [path.lstrip("-+") for path in told.get("ReadWritePaths", "").split()]
    return Unit(
        name=told.get("Id", "returnsd.service"),
        loaded=told.get("LoadState") == "loaded",
        active=told.get("ActiveState", "inactive"),
        result=told.get("Result", "success"),
        exit_status=int(told.get("ExecMainStatus") or 0),
        enabled=told.get("UnitFileState", "") in ("enabled", "enabled-runtime", "static", "generated"),
        needs_daemon_reload=told.get("NeedDaemonReload") == "yes",
        user=told.get("User", ""),
        command=argv[1] if argv else "",
        restarts=int(told.get("NRestarts") or 0),
        may_write=tuple(map(Path, writable)) if told.get("ProtectSystem") == "strict" else None,
    )

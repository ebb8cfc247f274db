"""The inbox: which files have arrived whole, found by looking, hurried by events.

The periodic scan is the truth; events only say where to look sooner. Nothing here is remembered across a
restart, and forgetting costs one settle period. A file is offered for take-in when it has not changed for
settle_s, is plain, readable and ours alone, nobody has it open for writing (where the kernel tells), and its
bytes are structurally whole. One that stays unchanged but not whole is offered after patience_s, to be rejected.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

from returnsd import disk, policy
from returnsd.config import Watch
from returnsd.errors import Unreadable
from returnsd.policy import Sighting
from returnsd.vision import formats

WINDOW = 20_000
"""How many files are watched at once; further ones wait their turn in the inbox, at no cost to us."""

STAY = ("refused", "no_permission")
"""The counts of `status` that are about files which no waiting will bring in."""

_STRETCH = 2_000
_MAY_BECOME_WHOLE = ("empty", "incomplete")


@dataclass(slots=True)
class _Held:
    """A settled file that is not taken in yet: since which sighting, why, and when to look into it again."""

    sighting: Sighting
    why: str
    again_at: float


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about one path that a person may want to know: it is refused, held, or welcome again."""

    path: str
    why: str


class Inbox:
    """The sightings of one inbox folder. Times are monotonic seconds, given by the caller."""

    def __init__(self, folder: Path, watch: Watch, limit_bytes: int) -> None:
        """Watch a folder; files above `limit_bytes` are offered without a look inside."""
        self.folder = folder
        self.watch = watch
        self.findings: list[Finding] = []
        self._limit_bytes = limit_bytes
        # Insertion order is arrival order, and all wait settle_s: the first of them is due first.
        self._arriving: dict[str, Sighting] = {}
        self._held: dict[str, _Held] = {}
        self._refused: dict[str, str] = {}
        self._walk: Iterator[str] | None = None
        self._walked: set[str] = set()
        self._next_scan = float("-inf")
        self._scans = 0
        self._identity: tuple[int, int] | None = None

    def reconfigure(self, watch: Watch, limit_bytes: int) -> None:
        """Go on under other settings, beginning with a scan: what was left alone before may be welcome now."""
        self.watch, self._limit_bytes = watch, limit_bytes
        for known in (self._arriving, self._held):
            for path in [path for path in known if self._is_ignored(path)]:
                del known[path]
        self._walk = None
        self.rescan()

    def __len__(self) -> int:
        """Return how many files are known to be on their way."""
        return len(self._arriving) + len(self._held)

    @property
    def quiet(self) -> bool:
        """Say whether a whole scan found nothing that will arrive by itself if nobody writes to it."""
        may_come = any(held.why in _MAY_BECOME_WHOLE for held in self._held.values())
        return self._scans > 0 and self._walk is None and not self._arriving and not may_come

    # --- looking

    def changed_identity(self) -> bool:
        """Say whether the folder is another one than before (mounted, swapped); FileNotFoundError if it is gone."""
        status = os.stat(self.folder)
        if not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(f"{self.folder} is not a directory")
        identity = (status.st_dev, status.st_ino)
        before, self._identity = self._identity, identity
        return before is not None and before != identity

    def scan(self, now: float) -> bool:
        """Look at the next stretch of the folder if a scan is due or under way; say whether it looked."""
        if self._walk is None:
            if now < self._next_scan:
                return False
            self._walk = self._files(str(self.folder))
            self._walked = set()
        for _ in range(_STRETCH):
            if len(self) >= WINDOW:
                return False  # full: the walk goes on when some have been taken in
            path = next(self._walk, None)
            if path is None:
                self._end_walk(now)
                break
            self._walked.add(path)
            self.look(path, now)
        return True

    def _end_walk(self, now: float) -> None:
        self._walk = None
        self._scans += 1
        self._next_scan = now + self.watch.rescan_s
        for known in (self._arriving, self._held, self._refused):
            for path in [path for path in known if path not in self._walked]:
                self.look(path, now)

    def rescan(self) -> None:
        """Scan again at the next opportunity: events were lost, or the folder is another one."""
        self._next_scan = float("-inf")

    def _files(self, folder: str) -> Iterator[str]:
        """Yield the paths of all entries that are not ignored, below sub-folders too where configured."""
        folders = [folder]
        while folders:
            try:
                entries = os.scandir(folders.pop())
            except (FileNotFoundError, NotADirectoryError, PermissionError):
                continue  # a sub-folder that went away meanwhile, or is not for us
            with entries:
                for entry in entries:
                    if policy.ignored(entry.name, self.watch.ignore):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        if self.watch.recursive:
                            folders.append(entry.path)
                    else:
                        yield entry.path

    def hint(self, path: str, now: float) -> None:
        """Look at a path that an event named, if it is one of ours."""
        if self._is_ignored(path):
            return
        if path in self._held:
            self._held[path].again_at = now
        self.look(path, now)

    def _is_ignored(self, path: str) -> bool:
        parts = os.path.relpath(path, self.folder).split(os.sep)
        if len(parts) > 1 and not self.watch.recursive:
            return True
        return any(part == os.pardir or policy.ignored(part, self.watch.ignore) for part in parts)

    def look(self, path: str, now: float) -> None:
        """Look at one path: begin, go on or begin anew to wait for it to settle, or forget it if it is gone."""
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            self.forget(path)
            return
        if stat.S_ISDIR(status.st_mode):
            return
        sighting = Sighting(status.st_size, status.st_mtime_ns, status.st_ino, now)
        if not stat.S_ISREG(status.st_mode):
            self._refuse(path, "not_a_regular_file")
        elif status.st_nlink != 1:
            self._refuse(path, "hard_link")
        elif not self._known_unchanged(path, sighting):
            self.forget(path)
            self._arriving[path] = sighting  # at the end: it settles after all others

    def _known_unchanged(self, path: str, sighting: Sighting) -> bool:
        known = self._arriving.get(path) or (self._held[path].sighting if path in self._held else None)
        return known is not None and policy.unchanged(known, sighting)

    def _refuse(self, path: str, why: str) -> None:
        if path not in self._refused:
            self.forget(path)
            self.findings.append(Finding(path, why))
        self._refused[path] = why

    def forget(self, path: str) -> None:
        """Forget a path: it was taken in, or is gone."""
        for known in (self._arriving, self._held, self._refused):
            known.pop(path, None)

    # --- offering

    def arrivals(self, now: float, places: int) -> list[str]:
        """Return up to `places` paths that have arrived whole, in a fair order; each was just looked into."""
        ready = list(islice(self._due(iter(self._arriving), now), places))
        newest = list(islice(self._due(reversed(self._arriving), now), places)) if len(ready) == places else []
        held = [path for path, held in self._held.items() if held.again_at <= now][:places]
        chosen = policy.fair_share(ready, newest, places)
        return [path for path in held + chosen if self._examine(path, now)][:places]

    def _due(self, paths: Iterator[str], now: float) -> Iterator[str]:
        return (path for path in paths if now - self._arriving[path].at >= self.watch.settle_s)

    def due_at(self) -> float:
        """Return when the next file may have arrived or the next scan is due, whichever comes first."""
        times = [self._next_scan if self._walk is None else float("-inf")]
        if self._arriving:
            times.append(next(iter(self._arriving.values())).at + self.watch.settle_s)
        times.extend(held.again_at for held in self._held.values())
        return min(times)

    def _examine(self, path: str, now: float) -> bool:
        """Say whether a settled file may be taken in; if not, hold or refuse it."""
        first = self._held[path].sighting if path in self._held else self._arriving[path]
        try:
            descriptor = disk.open_regular(Path(path))
        except FileNotFoundError:
            self.forget(path)
            return False
        except Unreadable as finding:
            self._refuse(path, finding.reason)
            return False
        except PermissionError:
            return self._hold(path, first, "no_permission", now)
        try:
            status = os.fstat(descriptor)
            current = Sighting(status.st_size, status.st_mtime_ns, status.st_ino, now)
            if not policy.settled(first, current, self.watch.settle_s):
                self.look(path, now)
                return False
            if disk.open_for_writing_elsewhere(descriptor):
                return self._hold(path, first, "open_for_writing", now)
            if now - first.at < self.watch.patience_s and not self._whole(descriptor, status.st_size):
                return self._hold(path, first, "incomplete", now)
            disk.start_writeback(descriptor)
        finally:
            os.close(descriptor)
        return True

    def _whole(self, descriptor: int, size_bytes: int) -> bool:
        """Say whether nothing is missing at the file's end, by its structure; strange files count as whole."""
        if size_bytes == 0:
            return False
        if size_bytes > self._limit_bytes:
            return True
        try:
            # read, not mapped: a file that its writer cuts short under a map would kill us (SIGBUS)
            formats.inspect(os.pread(descriptor, size_bytes, 0))
        except Unreadable as finding:
            return finding.reason not in _MAY_BECOME_WHOLE
        return True

    def _hold(self, path: str, sighting: Sighting, why: str, now: float) -> bool:
        held = self._held.get(path)
        if held is None or held.why != why:
            self.findings.append(Finding(path, why))
        self.forget(path)
        patience_ends = sighting.at + self.watch.patience_s
        again_at = now + self.watch.rescan_s
        if why == "incomplete":
            again_at = max(patience_ends, now)
        self._held[path] = _Held(sighting, why, again_at)
        return False

    def status(self) -> dict[str, int]:
        """Return how many files are arriving, held by reason, and refused by reason."""
        counts = {"arriving": len(self._arriving)}
        for why in [held.why for held in self._held.values()]:
            counts[why] = counts.get(why, 0) + 1
        counts["refused"] = len(self._refused)
        return counts

    def staying(self, limit: int) -> list[tuple[str, str]]:
        """Return (name below the inbox, why) of up to `limit` files that no waiting will bring in."""
        held = ((path, held.why) for path, held in self._held.items() if held.why in STAY)
        found = islice(chain(self._refused.items(), held), limit)
        return [(os.path.relpath(path, self.folder), why) for path, why in found]

"""Decisions made with a file manager: a file moved from review/ into review/<Category>/ is decided, too.

The folders of all categories, and of the reasons to reject, are made for people to find. What lies in one of them
is looked at every second: an item whose file is no longer in review itself, and is the file that was judged, is
recorded and moved on to where decisions put files. A file that lost its id in a new name is known by its bytes. A
file whose item was decided before goes where that decision says. Everything else is left alone, told once, and
kept in `left` for the dashboard. Belongs to the thread that decides.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from returnsd import disk, item_id, review
from returnsd.errors import DecisionError, Unreadable
from returnsd.ledger import Ledger
from returnsd.logs import Logger
from returnsd.obstacles import obstacle
from returnsd.records import BY_FOLDER, Decision, Shelf, Verdict
from returnsd.spool import Spool
from returnsd.survey import Meaning, Meanings

_ALL_EVERY = 5
_MOST_TOLD = 10_000
_HASHED_BYTES = 64 << 20
"""How many bytes one step reads to know files by; what is over waits for the next."""


class Folders:
    """Looks into the folders of review. Use from one thread."""

    def __init__(self, spool: Spool, ledger: Ledger, log: Logger) -> None:
        """Begin without folders; the first step makes them."""
        self._spool = spool
        self._ledger = ledger
        self._log = log
        self._made: tuple[str, ...] = ()
        self.meanings = Meanings(())
        self.left: dict[str, str] = {}
        self._looks = 0
        self._told: set[str] = set()
        self._hashes: dict[Path, tuple[disk.Mark, str]] = {}
        self._may_hash_bytes = 0

    def step(self, categories: Sequence[str]) -> list[Decision]:
        """Take up what people moved; return the decisions that were recorded."""
        if self._made != tuple(categories):
            self.meanings = Meanings(categories)
            for name in self.meanings.folders:
                disk.make_folder(self._spool.paths.review / name)
            self._made = tuple(categories)
        decided = []
        self._may_hash_bytes = _HASHED_BYTES
        for folder in self._folders():
            meaning = self.meanings.of(folder.name)
            files = _files(folder)
            self._forget_left(folder)
            for path in files:
                if meaning is None:
                    self._tell_unknown(folder)
                elif (decision := self._take_up(path, meaning)) is not None:
                    decided.append(decision)
        return decided

    def _folders(self) -> Iterator[Path]:
        """Yield the folders that we made, and now and then all there are: listing a full review folder costs."""
        parent = self._spool.paths.review
        self._looks += 1
        if self._looks % _ALL_EVERY == 1:
            with os.scandir(parent) as entries:
                yield from [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
            return
        yield from [parent / name for name in self.meanings.folders]

    def _take_up(self, path: Path, meaning: Meaning) -> Decision | None:
        """Decide on the item of a file and move the file on; return the decision if it is a new one."""
        named = path.name[: item_id.LENGTH]
        verdict = self._ledger.verdict(named) if item_id.is_valid(named) else None
        if verdict is None:
            verdict = self._known_by_its_bytes(path)
        if verdict is None:
            return None
        if self._lies_in_review(verdict):
            return None  # still being copied; or a copy, which changes nothing
        if not self._is_judged(path, verdict):
            self._leave(path, "not the file that was judged")
            return None
        before = self._ledger.decision(verdict.item_id)
        if before is not None and not before.withdrawn:
            self._move(path, before)
            return None
        try:
            now = datetime.now().astimezone()
            decision = review.note(self._ledger, verdict.item_id, meaning.category, BY_FOLDER, now, meaning.reason)
        except DecisionError as error:
            self._leave(path, str(error))
            return None
        review.finish(self._spool, self._ledger, [decision])
        self._move(path, decision)
        return decision

    def _lies_in_review(self, verdict: Verdict) -> bool:
        return self._spool.find(verdict.item_id, verdict.file_name, [self._spool.paths.review]) is not None

    def _known_by_its_bytes(self, path: Path) -> Verdict | None:
        """Return the verdict on the item whose file this is, by its SHA-256; of twins, one that misses its file."""
        sha256 = self._sha256(path)
        if sha256 is None:
            return None
        twins = self._ledger.with_sha256(sha256)
        for verdict in twins:
            decision = self._ledger.decision(verdict.item_id)
            if decision is None or decision.withdrawn:
                misses = verdict.shelf is Shelf.REVIEW and not self._lies_in_review(verdict)
            else:
                misses = not self._spool.lies_where_decided(decision)
            if misses:
                return verdict
        self._leave(path, "a copy: its item lies elsewhere" if twins else "no item's file")
        return None

    def _sha256(self, path: Path) -> str | None:
        """Return a file's hash, read once as long as it does not change; None if it cannot be had now."""
        try:
            status = os.lstat(path)
            mark = disk.Mark.of(status)
            known = self._hashes.get(path)
            if known is not None and known[0] == mark:
                return known[1]
            if self._may_hash_bytes <= 0:
                return None
            self._may_hash_bytes -= status.st_size
            sha256 = disk.sha256_of(path)
        except FileNotFoundError:
            return None
        except (OSError, Unreadable):
            self._leave(path, "it cannot be read")
            return None
        if len(self._hashes) >= _MOST_TOLD:
            self._hashes.clear()
        self._hashes[path] = (mark, sha256)
        return sha256

    def _is_judged(self, path: Path, verdict: Verdict) -> bool:
        try:
            return verdict.sha256 is None or disk.sha256_of(path) == verdict.sha256
        except (OSError, Unreadable):
            return False

    def _move(self, path: Path, decision: Decision) -> None:
        if self._spool.lies_where_decided(decision):
            self._leave(path, "a copy: its item lies elsewhere")
            return
        try:
            self._spool.put_decided(path, decision)
        except FileNotFoundError:
            return  # another process carries out the same decision
        except OSError as error:  # recorded all the same: the next step tries again
            self._leave(path, str(obstacle(error, self._spool.paths)))

    def _leave(self, path: Path, why: str) -> None:
        self.left[self._below(path)] = why
        self._tell_once(f"{path} {why}", "review_file_left", file=str(path), reason=why)

    def _forget_left(self, folder: Path) -> None:
        """Forget what was left in a folder that is looked at anew."""
        inside = self._below(folder) + "/"
        self.left = {place: why for place, why in self.left.items() if not place.startswith(inside)}

    def _below(self, path: Path) -> str:
        return str(path.relative_to(self._spool.paths.review))

    def _tell_unknown(self, folder: Path) -> None:
        closest = self.meanings.closest(folder.name)
        self._tell_once(str(folder), "review_folder_unknown", folder=folder.name, closest=closest)

    def _tell_once(self, key: str, event: str, **fields: object) -> None:
        if key not in self._told:
            if len(self._told) >= _MOST_TOLD:
                self._told.clear()
            self._told.add(key)
            self._log.warning(event, **fields)


def _files(folder: Path) -> list[Path]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
    return [folder / name for name in sorted(names) if not name.startswith(".") and _is_plain_file(folder / name)]


def _is_plain_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False

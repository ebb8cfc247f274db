"""Decisions made with a file manager: a file moved from review/ into review/<Category>/ is decided, too.

The folders of all categories, and of the reasons to reject, are made for people to find. What lies in one of them
is looked at every second: an item whose file is no longer in review itself, and is the file that was judged, is
recorded and moved on to where decisions put files. A file whose item was decided before goes where that decision
says. Everything else is left alone and told once. Belongs to the thread that decides.
"""

import os
import stat
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

from returnsd import disk, item_id, policy, review
from returnsd.errors import DecisionError, Unreadable
from returnsd.ledger import Ledger
from returnsd.logs import Logger
from returnsd.records import Decision, Verdict
from returnsd.spool import Spool

BY = "folder"
"""Who decided, in the ledger and the results: a file manager does not say whose hand it was."""

REASONS = ("not_a_product", "retake")

_ALL_EVERY = 5
_MOST_TOLD = 10_000


class Folders:
    """Looks into the folders of review. Use from one thread."""

    def __init__(self, spool: Spool, ledger: Ledger, log: Logger) -> None:
        """Begin without folders; the first step makes them."""
        self._spool = spool
        self._ledger = ledger
        self._log = log
        self._made: tuple[str, ...] = ()
        self._looks = 0
        self._told: set[str] = set()

    def step(self, categories: Sequence[str]) -> list[Decision]:
        """Take up what people moved; return the decisions that were recorded."""
        meanings = _meanings(categories)
        if self._made != tuple(categories):
            for name in [*map(policy.category_folder, categories), *REASONS]:
                disk.make_folder(self._spool.paths.review / name)
            self._made = tuple(categories)
        decided = []
        for folder in self._folders():
            meaning = meanings.get(_plain(folder.name))
            for path in _files(folder):
                if meaning is None:
                    self._tell_unknown(folder, meanings)
                elif (decision := self._take_up(path, *meaning)) is not None:
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
        yield from [parent / name for name in [*map(policy.category_folder, self._made), *REASONS]]

    def _take_up(self, path: Path, category: str | None, reason: str | None) -> Decision | None:
        """Decide on the item of a file and move the file on; return the decision if it is a new one."""
        moved = path.name[: item_id.LENGTH]
        verdict = self._ledger.verdict(moved) if item_id.is_valid(moved) else None
        if verdict is None:
            self._leave(path, "no item's file")
            return None
        if self._spool.find(moved, verdict.file_name, [self._spool.paths.review]) is not None:
            return None  # still being copied; or a copy, which changes nothing
        if not self._is_judged(path, verdict):
            self._leave(path, "not the file that was judged")
            return None
        before = self._ledger.decision(moved)
        if before is not None and not before.withdrawn:
            self._move(path, before)
            return None
        try:
            now = datetime.now().astimezone()
            decision = review.note(self._ledger, moved, category, BY, now, reason)
        except DecisionError as error:
            self._leave(path, str(error))
            return None
        review.finish(self._spool, self._ledger, [decision])
        self._move(path, decision)
        return decision

    def _is_judged(self, path: Path, verdict: Verdict) -> bool:
        try:
            return verdict.sha256 is None or disk.sha256_of(path) == verdict.sha256
        except (OSError, Unreadable):
            return False

    def _move(self, path: Path, decision: Decision) -> None:
        if self._spool.decided_place(decision).exists():
            self._leave(path, "a copy: its item lies elsewhere already")
        else:
            self._spool.file_decision(decision, [path])

    def _leave(self, path: Path, why: str) -> None:
        self._tell_once(str(path), "review_file_left", file=str(path), reason=why)

    def _tell_unknown(self, folder: Path, meanings: dict[str, tuple[str | None, str | None]]) -> None:
        close = get_close_matches(_plain(folder.name), meanings, n=1)
        self._tell_once(
            str(folder), "review_folder_unknown", folder=folder.name, closest=close[0] if close else None
        )

    def _tell_once(self, key: str, event: str, **fields: object) -> None:
        if key not in self._told:
            if len(self._told) >= _MOST_TOLD:
                self._told.clear()
            self._told.add(key)
            self._log.warning(event, **fields)


def _meanings(categories: Sequence[str]) -> dict[str, tuple[str | None, str | None]]:
    """Return what each folder's name stands for: a category, or a reason to reject."""
    meant: dict[str, tuple[str | None, str | None]] = {_plain(reason): (None, reason) for reason in REASONS}
    meant.update({_plain(policy.category_folder(category)): (category, None) for category in categories})
    return meant


def _plain(name: str) -> str:
    """Return a folder's name without what people and file systems vary: case, spaces, composed letters."""
    return unicodedata.normalize("NFC", name).casefold().replace("_", " ").strip()


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

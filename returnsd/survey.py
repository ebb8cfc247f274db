"""What is amiss in review: items that wait and have no file, and files that no one will settle.

People work in that folder with file managers, so anything can happen in it. Here it is only looked at; the page's
process takes up what it understands. The folders of the categories mean what their names say, whatever people and
file systems vary in them: case, spaces, `&` and `and`, composed letters.
"""

import os
import time
import unicodedata
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from returnsd import item_id, policy
from returnsd.config import Paths
from returnsd.ledger import Ledger

REASONS = ("not_a_product", "retake")
"""The folders that reject."""

_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a folder of review stands for: a category, or a reason to reject."""

    category: str | None
    reason: str | None


class Meanings:
    """What the folders of review stand for, by their names."""

    def __init__(self, categories: Sequence[str]) -> None:
        """Know the folders of these categories and of the reasons."""
        meant = {policy.category_folder(category): Meaning(category, None) for category in categories}
        meant |= {reason: Meaning(None, reason) for reason in REASONS}
        self.folders = list(meant)
        self._exact = {_plain(name): meaning for name, meaning in meant.items()}
        alike = Counter(_bare(name) for name in meant)
        self._loose = {_bare(name): meaning for name, meaning in meant.items() if alike[_bare(name)] == 1}

    def of(self, folder: str) -> Meaning | None:
        """Return what a folder stands for; None if that is nothing, or cannot be told."""
        return self._exact.get(_plain(folder)) or self._loose.get(_bare(folder))

    def closest(self, folder: str) -> str | None:
        """Return the folder that may have been meant."""
        close = get_close_matches(_plain(folder), self._exact, n=1)
        return next((name for name in self.folders if close and _plain(name) == close[0]), None)


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().replace("_", " ").strip()


def _bare(name: str) -> str:
    text = unicodedata.normalize("NFKC", name).casefold().replace("&", " and ")
    return "".join(letter for letter in text if letter.isalnum())


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found amiss; names are below the folder of review."""

    missing: tuple[str, ...] = ()
    """Ids of items that wait and have no file in review."""
    strangers: tuple[str, ...] = ()
    """Files in review itself that bear no item's id."""
    unknown: tuple[str, ...] = ()
    """Folders with files in them that stand for no category."""
    left: tuple[str, ...] = ()
    """Files in the folders of categories that nobody took up for a minute."""


def survey(paths: Paths, ledger: Ledger, meanings: Meanings, now: float | None = None) -> Survey:
    """Look through review (one level of folders deep) and at what waits (now: seconds since 1970)."""
    now = time.time() if now is None else now
    # what waits before what lies there, the queue before review: an item on its way is not taken for missing
    waiting = ledger.waiting()
    found = {name[: item_id.LENGTH] for names in _entries(paths.queue) for name in names}
    names, folders = _entries(paths.review)
    unknown: list[str] = []
    left: list[str] = []
    for folder in folders:
        inside, _ = _entries(paths.review / folder)
        found |= {name[: item_id.LENGTH] for name in inside}
        if inside and meanings.of(folder) is None:
            unknown.append(folder)
        elif inside:
            old = (name for name in inside if _has_lain(paths.review / folder / name, now))
            left += [f"{folder}/{name}" for name in old]
    found |= {name[: item_id.LENGTH] for name in names}
    missing = waiting - found
    return Survey(
        missing=tuple(sorted(missing & ledger.waiting() if missing else missing)),
        strangers=tuple(name for name in names if not item_id.is_valid(name[: item_id.LENGTH])),
        unknown=tuple(unknown),
        left=tuple(left),
    )


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of files and of folders, hidden ones left out."""
    names: list[str] = []
    folders: list[str] = []
    with suppress(FileNotFoundError, NotADirectoryError, PermissionError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                (folders if entry.is_dir(follow_symlinks=False) else names).append(entry.name)
    return sorted(names), sorted(folders)


def _has_lain(path: Path, now: float) -> bool:
    try:
        return now - path.lstat().st_ctime > _PATIENCE_S
    except OSError:
        return False

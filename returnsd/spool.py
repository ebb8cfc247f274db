"""The queue and the shelves: where a file is from the moment we take it until it rests.

A file in the queue is named `<id>_<its own name>`, so that everything about an unjudged item is on the disk in one
atomic rename. Where that is too long for a name, the file keeps its own in a folder named by the id (a folder for
each would cost more than judging: 0.9 ms, measured); an empty folder is a step that was interrupted and means
nothing. Who may enter the queue is the inbox's business; which shelf, the verdict's.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from returnsd import disk, item_id, policy
from returnsd.config import Paths
from returnsd.errors import SpoolError
from returnsd.obstacles import obstacle
from returnsd.records import Decision, Item, Shelf, Verdict

STAGING = ".staging"
"""A folder in the queue where the page's process builds items; no id, so the worker passes it over."""


_OWN_NAME_BYTES = 255 - item_id.LENGTH - 1


@dataclass(frozen=True, slots=True)
class Queued:
    """An item and where its file lies in the queue."""

    item: Item
    path: Path


class Spool:
    """Queue, shelves and the moves between them. One process owns the queue, another the review shelf."""

    def __init__(self, paths: Paths) -> None:
        """Create the folders that are missing; SpoolError if they cannot work together."""
        self.paths = paths
        for folder in (paths.queue, paths.archive, paths.review, paths.rejected, paths.results, paths.state):
            try:
                disk.make_folder(folder)
            except OSError as error:
                found = obstacle(error, paths)
                raise SpoolError(f"{folder} cannot be made: {found.what}: {found.remedy}") from error
        self.check_same_filesystem(paths.archive, paths.review, paths.rejected)

    def check_same_filesystem(self, *folders: Path) -> None:
        """SpoolError if a file could not be renamed from the queue to these folders or back."""
        for folder in folders:
            if disk.place_of(folder) != disk.place_of(self.paths.queue):
                raise SpoolError(
                    f"inbox and spool must share a file system: {folder}, {self.paths.queue}:"
                    " move one of them in the paths section of the configuration"
                    " (in a systemd unit: give ReadWritePaths= one folder that holds them all)"
                )

    # --- the queue

    def take_in(self, source: Path, new_id: str) -> Queued:
        """Rename a file of the inbox into the queue under a new id; FileNotFoundError if it is gone."""
        target = self._queue_place(new_id, source.name)
        own_folder = target.parent != self.paths.queue
        if own_folder:
            os.mkdir(target.parent)
        try:
            disk.move(source, target)
        except OSError:
            if own_folder:
                os.rmdir(target.parent)
            raise
        return Queued(_item(new_id, source.name), target)

    def submit(self, data: bytes, file_name: str, new_id: str) -> Queued:
        """Put a picture that came over the network into the queue, durably: the worker finds it there.

        It is staged beside the items and enters by a rename, so that none is ever seen half-written.
        ValueError if the name is too long for the queue (228 bytes).
        """
        target = self._queue_place(new_id, file_name)
        if target.parent != self.paths.queue:
            raise ValueError(f"a file name of at most {_OWN_NAME_BYTES} bytes is wanted")
        staging = self.paths.queue / STAGING
        disk.make_folder(staging)
        disk.replace(staging / new_id, data)
        disk.move(staging / new_id, target)
        disk.sync_folder(self.paths.queue)
        return Queued(_item(new_id, file_name), target)

    def _queue_place(self, new_id: str, name: str) -> Path:
        if len(os.fsencode(name)) <= _OWN_NAME_BYTES:
            return self.paths.queue / f"{new_id}_{name}"
        return self.paths.queue / new_id / name

    def queued(self, limit: int, passing_over: set[str] | None = None) -> list[Queued]:
        """Return up to `limit` items of the queue, oldest first; interrupted take-ins are cleared away."""
        known = passing_over or set()
        names = sorted(name for name in os.listdir(self.paths.queue) if _id_of(name) not in known)
        found: list[Queued] = []
        for name in names:
            if len(found) == limit:
                break
            item = self._queued(name, clearing=True)
            if item is not None:
                found.append(item)
        return found

    def queue_ids(self) -> set[str]:
        """Return the ids of all items in the queue."""
        names = os.listdir(self.paths.queue)
        return {item.item.id for name in names if (item := self._queued(name)) is not None}

    def find_queued(self, wanted_id: str) -> Queued | None:
        """Return an item of the queue by its id."""
        for name in os.listdir(self.paths.queue):
            if name.startswith(wanted_id):
                return self._queued(name)
        return None

    def _queued(self, name: str, *, clearing: bool = False) -> Queued | None:
        """Return the item behind an entry of the queue; None for anything else."""
        queue_id = _id_of(name)
        if queue_id is None:
            return None
        if name != queue_id:
            return Queued(_item(queue_id, name[item_id.LENGTH + 1 :]), self.paths.queue / name)
        try:
            files = sorted(os.listdir(self.paths.queue / name))
        except (FileNotFoundError, NotADirectoryError):
            return None  # shelved while another process looked; or a stranger's file
        if files:
            return Queued(_item(queue_id, files[0]), self.paths.queue / name / files[0])
        if clearing:
            os.rmdir(self.paths.queue / name)
        return None

    def sync_queue(self) -> None:
        """Make what was taken in durable: in the queue for good, out of the inbox for good."""
        disk.sync_folder(self.paths.queue)
        # An inbox that is gone was renamed away as a whole: its names are as durable as they can be.
        with suppress(OSError):
            disk.sync_folder(self.paths.inbox)

    # --- the shelves

    def shelf(self, shelf: Shelf) -> Path:
        """Return the folder of a shelf."""
        return {
            Shelf.ARCHIVE: self.paths.archive,
            Shelf.REVIEW: self.paths.review,
            Shelf.REJECTED: self.paths.rejected,
        }[shelf]

    def shelve(self, queued: Queued, verdict: Verdict) -> Path:
        """Rename an item's file to the shelf that its row names; return where it lies now."""
        target = self.shelf(verdict.shelf) / policy.shelf_place(verdict)
        place = self._put(queued.path, target)
        if queued.path.parent != self.paths.queue:
            os.rmdir(queued.path.parent)
        return place

    def file_decision(self, decision: Decision, lay_at: list[Path]) -> Path | None:
        """Rename an item's file to where a person decided; None if it lies there already or is found nowhere.

        :param lay_at: the places that its verdict and the decision before named.
        """
        target = self.decided_place(decision)
        folders = dict.fromkeys(place.parent for place in lay_at)
        folders.pop(target.parent, None)
        source = self.find_below(decision.item_id, decision.file_name, list(folders))
        if source is None:
            return None
        with suppress(FileNotFoundError):  # another process carries out the same decision
            return self._put(source, target)
        return None

    def put_decided(self, source: Path, decision: Decision) -> Path:
        """Rename a file, whatever its name, to where a decision puts it; return where it lies now."""
        return self._put(source, self.decided_place(decision))

    def lies_where_decided(self, decision: Decision) -> bool:
        """Say whether an item's file lies where a decision puts it, as far as we may look there."""
        return os.path.lexists(self.decided_place(decision))

    def decided_place(self, decision: Decision) -> Path:
        """Return where a decision puts the item's file."""
        name = policy.shelf_name(decision.item_id, decision.file_name)
        if decision.category is not None:
            return self.paths.archive / policy.archive_place(decision.day, decision.category, name)
        return self.shelf(decision.shelf) / name

    def _put(self, source: Path, target: Path) -> Path:
        """Rename without replacing; a stranger's file of the same name makes ours a numbered one."""
        disk.make_folder(target.parent)
        target_id, name = target.name[: item_id.LENGTH], target.name[item_id.LENGTH + 1 :]
        for number in count(2):
            try:
                disk.move(source, target)
                return target
            except FileExistsError:
                target = target.with_name(policy.shelf_name(f"{target_id}~{number}", name))
        raise AssertionError("unreachable")

    def expected_places(self, verdict: Verdict, decision: Decision | None) -> list[Path]:
        """Return where the item's file should lie: on its verdict's shelf, or where a decision moved it."""
        if decision is None:
            return [self.shelf(verdict.shelf) / policy.shelf_place(verdict)]
        return [self.decided_place(decision)]

    def find_below(self, wanted_id: str, file_name: str, folders: list[Path]) -> Path | None:
        """Return what `find` does; of review, the folders that people have made there are looked into, too."""
        found = self.find(wanted_id, file_name, folders)
        if found is None and self.paths.review in folders:
            with suppress(FileNotFoundError), os.scandir(self.paths.review) as entries:
                made = sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
                return self.find(wanted_id, file_name, made)
        return found

    def find(self, wanted_id: str, file_name: str, folders: list[Path]) -> Path | None:
        """Return the file of an item in these folders, by its usual name or else by the id in its name."""
        for folder in folders:
            usual = folder / policy.shelf_name(wanted_id, file_name)
            if os.path.lexists(usual):
                return usual
            with suppress(FileNotFoundError):
                for name in os.listdir(folder):
                    if name.startswith(wanted_id):
                        return folder / name
        return None


def _id_of(name: str) -> str | None:
    """Return the id that an entry of the queue bears: `<id>` or `<id>_<name>`; None if it bears none."""
    wanted = name[: item_id.LENGTH]
    return wanted if item_id.is_valid(wanted) and name[item_id.LENGTH : item_id.LENGTH + 1] in ("", "_") else None


def _item(queue_id: str, file_name: str) -> Item:
    return Item(queue_id, file_name, item_id.received_at(queue_id).astimezone())

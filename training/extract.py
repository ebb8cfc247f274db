"""Features of many pictures, in parallel, kept on disk: done once per content, whatever happens in between.

A store is a folder for one way of seeing (its name holds a fingerprint of all that is learnt): `rows.f32` holds one
row after the other, `index.txt` the SHA-256 of each row's picture. Rows are synced before their index lines, and
each is written where the last good one ends; so what a crash or a full disk left beyond that is written over.
"""

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
from numpy.typing import NDArray

from returnsd import disk
from returnsd.errors import AlreadyRunning, Unreadable
from returnsd.vision.decode import DecodeLimits, decode
from returnsd.vision.extractor import Extractor
from training.labels import DataError
from training.prepare import Entry

_BATCH = 128


@dataclass(frozen=True, slots=True)
class Failed:
    """A picture that could not be described, and why."""

    path: str
    reason: str


def fingerprint(learnt: Mapping[str, NDArray[Any]], settings: Mapping[str, Any]) -> str:
    """Return a name for one way of making rows: the same arrays and settings give the same.

    What is made from rows (directions) does not count.
    """
    seen = {key: settings[key] for key in ("version", "colours", "blocks", "sizes")}
    digest = hashlib.sha256(repr(sorted(seen.items())).encode())
    for name in sorted(learnt):
        if not name.startswith("near_"):
            digest.update(name.encode() + np.ascontiguousarray(learnt[name]).tobytes())
    return digest.hexdigest()[:12]


class Store:
    """The rows that are done. Any number of processes may read; one at a time extracts into it."""

    def __init__(self, folder: Path, width: int) -> None:
        """Open or begin the store of rows of `width` float32 values; nothing in it is changed by that."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.width = folder, width
        self._rows, self._index = folder / "rows.f32", folder / "index.txt"
        self.place: dict[str, int] = {}
        self._count = self._index_bytes = 0
        self.refresh()

    def refresh(self) -> None:
        """See what other processes have done since."""
        for path in (self._rows, self._index):
            if not path.exists():
                path.touch()
        text = self._index.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        names = whole.decode("ascii", "replace").split()[: self._rows.stat().st_size // (4 * self.width)]
        self.place = {name: number for number, name in enumerate(names)}
        self._count = len(names)
        self._index_bytes = sum(len(name) + 1 for name in names)

    def append(self, names: Sequence[str], rows: NDArray[np.float32]) -> None:
        """Add rows for good. DataError if there is no room; what was there before is as it was."""
        data = np.ascontiguousarray(rows, np.float32).tobytes()
        lines = "".join(f"{name}\n" for name in names).encode()
        try:
            _write_at(self._rows, data, self._count * self.width * 4)
            _write_at(self._index, lines, self._index_bytes)
        except OSError as error:
            raise DataError(
                f"{self.folder} takes no more ({error.strerror}): {len(self.place)} pictures are done and kept;"
                " make room, and the same command goes on from there"
            ) from error
        self.place |= {name: self._count + number for number, name in enumerate(names)}
        self._count += len(names)
        self._index_bytes += len(lines)

    def rows(self, names: Sequence[str], columns: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
        """Return the (n, width) rows of these pictures, or some columns of them; DataError if some are not done."""
        missing = sum(name not in self.place for name in names)
        if missing:
            raise DataError(f"{missing} pictures have no features yet: run `python -m training extract`")
        width = self.width if columns is None else len(columns)
        found = np.empty((len(names), width), np.float32)
        if names:
            mapped = np.memmap(self._rows, np.float32, "r", shape=(self._count, self.width))
            for start in range(0, len(names), _BATCH):
                part = mapped[[self.place[name] for name in names[start : start + _BATCH]]]
                found[start : start + _BATCH] = part if columns is None else part[:, columns]
        return found


def _write_at(path: Path, data: bytes, at: int) -> None:
    """Write the end of a file that begins at byte `at`, durably; whatever was there is gone."""
    with path.open("r+b", buffering=0) as file:
        file.truncate(at)
        file.seek(at)
        written = 0
        while written < len(data):
            written += file.write(data[written:])
        os.fsync(file.fileno())


def extract(store: Store, entries: Sequence[Entry], extractor: Extractor, jobs: int) -> Iterator[Failed | None]:
    """Fill the store; yield once for every picture looked at: None, or why it failed.

    Pictures of one content are looked at once. DataError if another process extracts into this store.
    """
    try:
        with disk.lock(store.folder / "lock"):
            store.refresh()
            yield from _extract(store, entries, extractor, jobs)
    except AlreadyRunning as error:
        raise DataError(f"another process extracts into {store.folder}: wait until it is done") from error


def _extract(store: Store, entries: Sequence[Entry], extractor: Extractor, jobs: int) -> Iterator[Failed | None]:
    todo = list({entry.sha256: entry for entry in entries if entry.sha256 not in store.place}.values())
    batches = [todo[start : start + _BATCH] for start in range(0, len(todo), _BATCH)]
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", pre_dispatch=2 * jobs)
    for names, rows, failed in parallel(joblib.delayed(_describe)(batch, extractor) for batch in batches):
        if names:
            store.append(names, rows)
        yield from [None] * len(names)
        yield from failed


def _describe(batch: Iterable[Entry], extractor: Extractor) -> tuple[list[str], NDArray[np.float32], list[Failed]]:
    cv2.setNumThreads(1)
    names, rows, failed = [], [], []
    for entry in batch:
        try:
            rows.append(extractor.row(picture_of(entry)))
            names.append(entry.sha256)
        except Unreadable as finding:
            failed.append(Failed(entry.path, str(finding)))
    return names, np.asarray(rows, np.float32).reshape(len(names), extractor.width), failed


def write_failures(failures: Sequence[Failed], path: Path) -> None:
    """Write the failures as CSV, whole or not at all."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(["path", "reason"])
    writer.writerows((one.path, one.reason) for one in failures)
    disk.replace(path, buffer.getvalue().encode("utf-8", "surrogateescape"))


def picture_of(entry: Entry) -> NDArray[np.uint8]:
    """Return the pixels that the manifest's line means; Unreadable if they are gone, changed or damaged."""
    try:
        data = Path(entry.path).read_bytes()
    except OSError as error:
        raise Unreadable("missing", str(error)) from error
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise Unreadable("changed", "the file is not what it was when `prepare` saw it")
    return decode(data, DecodeLimits())

"""Features of many pictures, in parallel, kept on disk: done once per content, whatever happens in between.

A store is a folder for one way of seeing (its name holds a fingerprint of all that is learnt): `rows.f32` holds one
row after the other, `index.txt` the SHA-256 of each row's picture. Rows are synced before their index lines, so
that after a crash whatever the index does not name is cut off and made again.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import joblib
import numpy as np
from numpy.typing import NDArray

from returnsd.errors import Unreadable
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

    What is made from rows (scores, directions) does not count.
    """
    seen = {key: settings[key] for key in ("version", "colours", "blocks", "sizes")}
    digest = hashlib.sha256(repr(sorted(seen.items())).encode())
    for name in sorted(learnt):
        if not name.startswith(("score_", "near_")):
            digest.update(name.encode() + np.ascontiguousarray(learnt[name]).tobytes())
    return digest.hexdigest()[:12]


class Store:
    """The rows that are done; opening it cuts off what a crash left unfinished."""

    def __init__(self, folder: Path, width: int) -> None:
        """Open or begin the store of rows of `width` float32 values."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.width = folder, width
        self._rows, self._index = folder / "rows.f32", folder / "index.txt"
        for path in (self._rows, self._index):
            path.touch()
        text = self._index.read_bytes()
        whole = text[: text.rfind(b"\n") + 1]
        names = whole.decode().split()[: self._rows.stat().st_size // (4 * width)]
        self.place = {name: number for number, name in enumerate(names)}
        os.truncate(self._index, sum(len(name) + 1 for name in names))
        os.truncate(self._rows, len(names) * width * 4)

    def append(self, names: Sequence[str], rows: NDArray[np.float32]) -> None:
        """Add rows for good. OSError (a full disk, say) leaves the store as it was when it is opened again."""
        with self._rows.open("ab") as file:
            file.write(np.ascontiguousarray(rows, np.float32).tobytes())
            file.flush()
            os.fsync(file.fileno())
        with self._index.open("ab") as file:
            file.write("".join(f"{name}\n" for name in names).encode())
        self.place.update({name: len(self.place) + number for number, name in enumerate(names)})

    def rows(self, names: Sequence[str], columns: NDArray[np.intp] | None = None) -> NDArray[np.float32]:
        """Return the (n, width) rows of these pictures, or some columns of them; DataError if some are not done."""
        missing = sum(name not in self.place for name in names)
        if missing:
            raise DataError(f"{missing} pictures have no features yet: run `python -m training extract`")
        width = self.width if columns is None else len(columns)
        found = np.empty((len(names), width), np.float32)
        if names:
            mapped = np.memmap(self._rows, np.float32, "r", shape=(len(self.place), self.width))
            for start in range(0, len(names), _BATCH):
                part = mapped[[self.place[name] for name in names[start : start + _BATCH]]]
                found[start : start + _BATCH] = part if columns is None else part[:, columns]
        return found


def extract(store: Store, entries: Sequence[Entry], extractor: Extractor, jobs: int) -> Iterator[Failed | None]:
    """Fill the store; yield once for every picture looked at: None, or why it failed."""
    todo = [entry for entry in entries if entry.sha256 not in store.place]
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
    return names, np.asarray(rows, np.float32).reshape(len(names), -1), failed


def picture_of(entry: Entry) -> NDArray[np.uint8]:
    """Return the pixels that the manifest's line means; Unreadable if they are gone, changed or damaged."""
    try:
        data = Path(entry.path).read_bytes()
    except OSError as error:
        raise Unreadable("missing", str(error)) from error
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise Unreadable("changed", "the file is not what it was when `prepare` saw it")
    return decode(data, DecodeLimits())

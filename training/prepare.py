"""From labelled pictures to a manifest: cleaned, and split so that no picture is on two sides.

Pictures of one content are one group: byte-identical ones, and those whose tiny grey versions agree in every
comparison (difference hash). A group goes to one split as a whole, and only one of it is kept; groups whose labels
contradict each other are left out. The originals are never touched: the manifest says what was left out and why.
"""

import csv
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import cv2
import joblib
import numpy as np
from numpy.typing import NDArray

from returnsd import disk
from returnsd.errors import Unreadable
from returnsd.progress import shown
from returnsd.records import printable
from returnsd.vision.decode import DecodeLimits, decode
from training.labels import DataError, Labelled

SPLITS = ("train", "validation", "calibration", "test")
SHARES = {"train": 0.73, "validation": 0.04, "calibration": 0.10, "test": 0.13}
FEWEST = 8
"""A category with fewer usable pictures cannot be learnt, calibrated and tested."""

_HASH_SIDE = 16
_AGAIN = ": run `python -m training prepare` first"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the manifest; `split` is empty where `left_out` says why."""

    path: str
    label: str
    sha256: str
    group: str
    split: str
    left_out: str


COLUMNS = tuple(column.name for column in fields(Entry))


def prepare(pictures: Sequence[Labelled], seed: int, jobs: int = 1) -> list[Entry]:
    """Return the manifest of these pictures; DataError if there is nothing to learn from them."""
    parallel = joblib.Parallel(n_jobs=jobs, batch_size=64, return_as="generator")
    looking = parallel(joblib.delayed(_look)(one) for one in pictures)
    looked = list(shown(looking, len(pictures), "pictures looked at"))
    entries = _one_of_each(_contradictions(looked))
    counts = Counter(entry.label for entry in entries if not entry.left_out)
    few = {label for label in {entry.label for entry in entries} if counts[label] < FEWEST}
    entries = [_without(e, f"fewer than {FEWEST} pictures of {e.label}") if e.label in few else e for e in entries]
    if len(counts.keys() - few) < 2:
        raise DataError(f"at least two categories with {FEWEST} usable pictures each are needed: {dict(counts)}")
    return _split(entries, seed)


def _look(one: Labelled) -> Entry:
    try:
        data = one.path.read_bytes()
        picture = decode(data, DecodeLimits())
    except (Unreadable, OSError) as error:
        return Entry(str(one.path), one.label, "", "", "", f"unreadable: {error}")
    return Entry(str(one.path), one.label, hashlib.sha256(data).hexdigest(), group_of(*appearance(picture)), "", "")


def appearance(picture: NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """Return what a picture looks like from afar: the clear steps of its tiny grey version, and its mean colour."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    small = cv2.resize(grey, (_HASH_SIDE + 1, _HASH_SIDE), interpolation=cv2.INTER_AREA).astype(np.int16)
    # flat places compare by chance after recompression: only clear steps count
    steps = np.diff(small, axis=1)
    code = np.packbits(np.concatenate([(steps > 4).ravel(), (steps < -4).ravel()]))
    return code.tobytes(), bytes(int(c) // 16 for c in cv2.mean(picture)[:3])


def group_of(code: bytes, mean: bytes) -> str:
    """Return the name of all pictures of that appearance."""
    return hashlib.sha256(code + mean).hexdigest()[:16]


def _contradictions(entries: Iterable[Entry]) -> list[Entry]:
    """Leave out groups that bear several labels: nobody can learn from them, and placeholders are among them."""
    entries = list(entries)
    labels: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        labels[entry.group].add(entry.label)
    return [
        _without(entry, f"same picture under {len(labels[entry.group])} labels")
        if entry.group and len(labels[entry.group]) > 1
        else entry
        for entry in entries
    ]


def _one_of_each(entries: Iterable[Entry]) -> list[Entry]:
    seen: set[str] = set()
    kept = []
    for entry in sorted(entries, key=lambda e: (e.group, e.sha256, e.path)):
        if entry.left_out:
            kept.append(entry)
        elif entry.group in seen:
            kept.append(_without(entry, "a copy of another picture"))
        else:
            seen.add(entry.group)
            kept.append(entry)
    return kept


def _without(entry: Entry, why: str) -> Entry:
    return entry if entry.left_out else replace(entry, left_out=why)


def _split(entries: Sequence[Entry], seed: int) -> list[Entry]:
    """Deal each category's pictures out in an order that depends on seed and content alone."""

    def order(entry: Entry) -> bytes:
        return hashlib.sha256(f"{seed}:{entry.group}".encode()).digest()

    by_label: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        if not entry.left_out:
            by_label[entry.label].append(entry)
    bounds = np.cumsum([SHARES[split] for split in SPLITS])
    dealt = [entry for entry in entries if entry.left_out]
    for members in by_label.values():
        places = np.searchsorted(bounds, (np.arange(len(members)) + 0.5) / len(members))
        splits = _none_empty([SPLITS[place] for place in places])
        dealt += [
            replace(entry, split=split) for entry, split in zip(sorted(members, key=order), splits, strict=True)
        ]
    return sorted(dealt, key=lambda entry: entry.path)


def _none_empty(splits: list[str]) -> list[str]:
    """Return the splits of a category's pictures with at least one of each, at the cost of training."""
    for split in SPLITS:
        if split not in splits:
            splits[len(splits) - 1 - splits[::-1].index("train")] = split
    return splits


def write(entries: Sequence[Entry], path: Path) -> None:
    """Write the manifest as CSV, whole or not at all."""
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, COLUMNS)
    writer.writeheader()
    writer.writerows(asdict(entry) for entry in entries)
    disk.replace(path, buffer.getvalue().encode("utf-8", "surrogateescape"))


def read(path: Path) -> list[Entry]:
    """Read a manifest; a picture with a reason to be left out is left out, whatever its split.

    DataError names what is wrong with it, as people may have edited it.
    """
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as lines:
            reader = csv.DictReader(lines)
            if sorted(reader.fieldnames or []) != sorted(COLUMNS):
                raise DataError(f"{path} is no manifest: its columns are not {', '.join(COLUMNS)}{_AGAIN}")
            rows = list(reader)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}){_AGAIN}") from error
    except csv.Error as error:
        raise DataError(f"{path} is no manifest ({error}){_AGAIN}") from error
    entries = []
    for number, row in enumerate(rows, 2):
        if list(row) != list(reader.fieldnames or []) or None in row.values():
            raise DataError(f"{path}, line {number}: it has not as many values as there are columns{_AGAIN}")
        entry = Entry(**{**row, "split": "" if row["left_out"] else row["split"]})
        if entry.split not in (*SPLITS, ""):
            raise DataError(f"{path}, line {number}: {entry.split!r} is no split; {', '.join(SPLITS)} are")
        if entry.split and not entry.label.strip():
            raise DataError(f"{path}, line {number}: no label; to leave the picture out, say why in left_out")
        entries.append(entry)
    _check_disjoint(entries, path)
    return entries


def _check_disjoint(entries: Iterable[Entry], path: Path) -> None:
    """DataError if a content is in two splits: what is measured would have been learnt by heart."""
    splits: dict[str, str] = {}
    for entry in entries:
        if entry.split and splits.setdefault(entry.sha256, entry.split) != entry.split:
            raise DataError(
                f"{path}: the content of {printable(entry.path)} is in {splits[entry.sha256]} and in {entry.split}:"
                " give it one split"
            )


def summary(entries: Sequence[Entry]) -> list[str]:
    """Return what was kept and what was left out, a line each."""
    splits = Counter(entry.split for entry in entries if entry.split)
    lines = [
        f"{len(entries)} pictures, {sum(splits.values())} kept: " + ", ".join(f"{s} {splits[s]}" for s in SPLITS)
    ]
    why = Counter(entry.left_out.split(":")[0] for entry in entries if entry.left_out)
    return lines + [f"left out: {count} {reason}" for reason, count in why.most_common()]

"""What is in a heap of labelled pictures, before anything is decided about it. Reads, and changes nothing.

Pictures are compared by their bytes and by what they look like from afar. Two look nearly the same if at least 90 %
of their clear steps agree (`prepare.appearance`) and so do their thumbnails: that finds copies that were compressed
again, resized or slightly cut, and does not take two bottles for one because both are upright and narrow.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import joblib
import numpy as np
from numpy.typing import NDArray

from returnsd.errors import Unreadable
from returnsd.progress import shown
from returnsd.vision import formats
from returnsd.vision.decode import DecodeLimits, decode
from training.labels import Labelled
from training.prepare import appearance

PLACEHOLDER_LABELS = 3
"""One content under so many labels shows nothing of any of them: "no picture available", a logo."""

_ALIKE = 0.9
_FEWEST_STEPS = 48  # a stick on white has 32; with fewer steps it is the thumbnails that must agree
_SMALL = 12
_SAME, _SAME_IF_PLAIN = 8.0, 1.5  # mean difference of thumbnails, of 255; copies compressed again differ by 0 to 5
_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Look:
    """What one picture is; `reason` says why there is nothing to see, and then most else is empty."""

    path: str
    label: str
    split: str
    size_bytes: int
    format: str
    width: int
    height: int
    sha256: str
    code: bytes
    small: bytes
    reason: str


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found; a set holds the numbers of pictures that belong together, largest set first."""

    looks: tuple[Look, ...]
    missing: tuple[str, ...]
    identical: tuple[tuple[int, ...], ...]
    alike: tuple[tuple[int, ...], ...]
    conflicting: tuple[tuple[int, ...], ...]
    placeholders: tuple[tuple[int, ...], ...]
    leaking: tuple[tuple[int, ...], ...]
    spelt_alike: tuple[tuple[str, ...], ...]

    @property
    def labels(self) -> Mapping[str, int]:
        """How many pictures there are of each label, readable or not."""
        return Counter(look.label for look in self.looks)

    @property
    def unreadable(self) -> list[Look]:
        """The pictures that cannot be seen."""
        return [look for look in self.looks if look.reason]


def explore(pictures: Sequence[Labelled], missing: Sequence[str], jobs: int = 1) -> Findings:
    """Look at every picture and return what was found; `missing` are the lines of labels.read."""
    parallel = joblib.Parallel(n_jobs=jobs, batch_size=64, return_as="generator")
    looking = parallel(joblib.delayed(look_at)(one) for one in pictures)
    looks = tuple(shown(looking, len(pictures), "pictures looked at"))
    seen = [number for number, look in enumerate(looks) if not look.reason]
    identical = _sets([looks[number].sha256 for number in seen], seen)
    alike = _sets(_clusters(looks, seen), seen)
    several_labels = [one for one in alike if len({looks[number].label for number in one}) > 1]
    return Findings(
        looks=looks,
        missing=tuple(missing),
        identical=identical,
        alike=tuple(one for one in alike if len({looks[number].sha256 for number in one}) > 1),
        conflicting=tuple(one for one in several_labels if _labels(looks, one) < PLACEHOLDER_LABELS),
        placeholders=tuple(one for one in several_labels if _labels(looks, one) >= PLACEHOLDER_LABELS),
        leaking=tuple(one for one in alike if len({looks[number].split for number in one} - {""}) > 1),
        spelt_alike=_spelt_alike({look.label for look in looks}),
    )


def look_at(one: Labelled) -> Look:
    """Return what a picture is, or why it cannot be seen."""
    path, data = str(one.path), b""
    try:
        data = Path(path).read_bytes()
        header = formats.inspect(data)
        pixels = decode(data, DecodeLimits())
    except OSError as error:
        return Look(path, one.label, one.split, 0, "", 0, 0, "", b"", b"", f"missing: {error.strerror}")
    except Unreadable as error:
        return Look(path, one.label, one.split, len(data), "", 0, 0, "", b"", b"", str(error))
    code, _ = appearance(pixels)
    small = cv2.resize(pixels, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA).tobytes()
    size, sha256 = (header.width, header.height), hashlib.sha256(data).hexdigest()
    return Look(path, one.label, one.split, len(data), header.format, *size, sha256, code, small, "")


def nearly_same(codes: NDArray[np.uint8], small: NDArray[np.float32]) -> Iterator[tuple[int, int]]:
    """Yield the pairs, by number and in order, that look nearly the same.

    :param codes: (n, steps) 1 where a picture has a clear step. :param small: (n, values) their thumbnails.
    """
    steps = codes.astype(np.float32)
    count = steps.sum(axis=1)
    for start in range(0, len(steps), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        both = steps[part] @ steps[start:].T
        either = count[part, np.newaxis] + count[start:] - both
        for first, second in np.argwhere(both >= _ALIKE * either):
            one, other = start + int(first), start + int(second)
            allowed = _SAME if both[first, second] >= _FEWEST_STEPS else _SAME_IF_PLAIN
            if one < other and np.abs(small[one] - small[other]).mean() < allowed:
                yield one, other


def _clusters(looks: Sequence[Look], seen: Sequence[int]) -> list[int]:
    """Return for each picture that is seen the number of the set it belongs to."""
    contents = [looks[number].sha256 for number in seen]
    firsts = {sha256: place for place, sha256 in reversed(list(enumerate(contents)))}
    distinct = sorted(firsts.values())
    codes = np.frombuffer(b"".join(looks[seen[place]].code for place in distinct), np.uint8)
    small = np.frombuffer(b"".join(looks[seen[place]].small for place in distinct), np.uint8)
    parent = list(range(len(distinct)))

    def root(place: int) -> int:
        while parent[place] != place:
            parent[place] = parent[parent[place]]
            place = parent[place]
        return place

    if distinct:
        bits = np.unpackbits(codes.reshape(len(distinct), -1), axis=1)
        for one, other in nearly_same(bits, small.reshape(len(distinct), -1).astype(np.float32)):
            parent[root(other)] = root(one)
    cluster = {place: root(number) for number, place in enumerate(distinct)}
    return [cluster[firsts[sha256]] for sha256 in contents]


def _sets(keys: Sequence[object], numbers: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return the numbers that share a key with another one."""
    members: dict[object, list[int]] = defaultdict(list)
    for key, number in zip(keys, numbers, strict=True):
        members[key].append(number)
    found = [tuple(one) for one in members.values() if len(one) > 1]
    return tuple(sorted(found, key=lambda one: (-len(one), one)))


def _labels(looks: Sequence[Look], numbers: Sequence[int]) -> int:
    return len({looks[number].label for number in numbers})


def _spelt_alike(labels: set[str]) -> tuple[tuple[str, ...], ...]:
    """Return labels that differ only in case, spaces or signs."""
    spelt: dict[str, list[str]] = defaultdict(list)
    for label in sorted(labels):
        spelt["".join(letter for letter in label.casefold() if letter.isalnum()) or label].append(label)
    return tuple(tuple(one) for one in spelt.values() if len(one) > 1)


def summary(findings: Findings) -> list[str]:
    """Return the main findings, a line each."""
    looks = findings.looks
    lines = [f"{len(looks)} pictures under {len(findings.labels)} labels"]
    counts = {
        "named but missing": len(findings.missing),
        "unreadable": len(findings.unreadable),
        "byte-identical to another": sum(len(one) - 1 for one in findings.identical),
        "in sets that look nearly the same": sum(len(one) for one in findings.alike),
        "in sets under two labels": sum(len(one) for one in findings.conflicting),
        f"placeholders (under {PLACEHOLDER_LABELS} labels or more)": sum(len(one) for one in findings.placeholders),
        "in sets on several sides of the given splits": sum(len(one) for one in findings.leaking),
        "labels spelt alike": sum(len(one) for one in findings.spelt_alike),
    }
    return lines + [f"{count} {what}" for what, count in counts.items() if count]

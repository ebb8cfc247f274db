"""Every decision the service takes, as pure functions: has a file arrived, what is it, where does it go.

No I/O, no clock, no log. The accuracy promise lives here too: `choose_threshold` and `shortlist_floor` turn a
calibration set and the operator's demand into the two numbers a `Rule` judges by.
"""

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import translate
from functools import cache
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray

from returnsd.records import Item, Prediction, Shelf, Verdict, printable

RISK = 0.05
"""How often, at most, a chosen threshold may miss the target: one minus the promised 95 % confidence."""

AMBIGUOUS = "ambiguous_within_group"

_STARTS = 4
_TRUST = 0.8  # the share of the risk that the pilot's start gets: pilots are small
_FEWEST_PILOTS = 200  # fewer pictures promise nothing that could be relied on
_NAME_BYTES = 255


@dataclass(frozen=True, slots=True)
class Sighting:
    """One look at a file in the inbox: size in bytes, mtime in ns, inode, when (monotonic s)."""

    size: int
    mtime_ns: int
    inode: int
    at: float


@dataclass(frozen=True, slots=True)
class Rule:
    """The numbers in force: archive from `threshold` up (None: never); list categories from `floor` up.

    `groups` are categories that nearly coincide, by number; a group is certain from `group_threshold` up.
    """

    threshold: float | None
    floor: float
    groups: tuple[tuple[int, ...], ...] = ()
    group_threshold: float | None = None


def settled(first: Sighting, now: Sighting, settle_s: float) -> bool:
    """Say whether a file has stopped changing for settle_s seconds (monotonic)."""
    return unchanged(first, now) and now.at - first.at >= settle_s


def unchanged(first: Sighting, now: Sighting) -> bool:
    """Say whether two sightings show the same file in the same state."""
    return (first.inode, first.size, first.mtime_ns) == (now.inode, now.size, now.mtime_ns)


def ignored(name: str, patterns: tuple[str, ...]) -> bool:
    """Say whether a file name matches one of the patterns that mark a file as not meant for us (yet)."""
    return _any_of(patterns).match(name.lower()) is not None


@cache
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(translate(pattern.lower()) for pattern in patterns) or r"(?!)")


def fair_share(ready: Sequence[str], newest: Sequence[str], places: int) -> list[str]:
    """Choose who is taken in next: half the places for who waits longest, half for who came last.

    First come, first served would let one large drop hold up everything behind it; newest first would let
    the oldest wait for ever.

    :param ready: names by arrival, oldest first (at least `places` of them, if there are as many).
    :param newest: names by arrival, newest first (the same).
    """
    chosen = dict.fromkeys(ready[: (places + 1) // 2])
    chosen.update(dict.fromkeys(newest[: places // 2]))
    for name in ready:
        if len(chosen) >= places:
            break
        chosen[name] = None
    return list(chosen)


# --- the accuracy promise


def choose_threshold(
    confidence: NDArray[np.float64],
    correct: NDArray[np.bool_],
    target_accuracy: float,
    risk: float = RISK,
    pilot: tuple[NDArray[np.float64], NDArray[np.bool_]] | None = None,
) -> float | None:
    """Return the lowest certified threshold, or None if no threshold reaches the target.

    Learn-then-Test (Angelopoulos et al., 2021): each threshold's error is tested with an exact binomial
    (Clopper-Pearson) bound. Thresholds are tried from a start downwards, and only as long as the tests hold; so
    the chance that any certified threshold errs more often than 1 - target_accuracy is at most `risk`. There are
    several starts, each with its share of the risk; where there is a pilot of some size, most of it goes to where
    that promises most. Starts depend on the pilot and on the confidences, never on what was `correct`.

    :param confidence: (n,) calibrated probability of the predicted category, on pictures training never saw.
    :param correct: (n,) whether that prediction was right.
    :param pilot: the same of other pictures.
    """
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    errors = np.cumsum(~correct[order])
    # a threshold takes all pictures of equal confidence or none: test only where the confidence changes
    last = np.flatnonzero(np.append(ranked[1:] < ranked[:-1], True)) if len(ranked) else np.empty(0, int)
    allowed = 1.0 - target_accuracy
    share = risk / _STARTS
    starts = [(_fewest(target_accuracy, share) * factor, share) for factor in (1, 2, 4, 8)]
    if pilot is not None and len(pilot[0]) >= _FEWEST_PILOTS:
        trusted, share = _TRUST * risk, risk - _TRUST * risk
        starts = [(2 * _fewest(target_accuracy, share), share)]
        starts.append((_promising(*pilot, len(ranked), target_accuracy, trusted), trusted))
    best: float | None = None
    for start, share in starts:
        for index in last[np.searchsorted(last, start - 1) :]:
            if binomial_tail(int(errors[index]), int(index) + 1, allowed) > share:
                break
            best = float(ranked[index]) if best is None else min(best, float(ranked[index]))
    return best


def _fewest(target_accuracy: float, risk: float) -> int:
    """Return how many pictures prove the target if all of them are right; fewer prove nothing."""
    return math.ceil(math.log(risk) / math.log(target_accuracy))


def fewest_proofs(target_accuracy: float) -> int:
    """Return how many calibration pictures a certificate takes at the very least, if all of them are right."""
    return _fewest(target_accuracy, RISK)


def _promising(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], count: int, target_accuracy: float, risk: float
) -> int:
    """Return how many of `count` pictures, the surest, would prove most if they were like the pilot's."""
    order = np.argsort(-confidence, kind="stable")
    errors = np.cumsum(~correct[order])
    fewest = _fewest(target_accuracy, risk)
    best, proof = fewest, math.inf
    for percent in range(1, 101):
        of_pilot, of_all = math.ceil(len(order) * percent / 100), count * percent // 100
        if of_all < fewest:
            continue
        expected = round((int(errors[of_pilot - 1]) + 0.5) / of_pilot * of_all)  # none in few is not none in many
        if (found := binomial_tail(expected, of_all, 1.0 - target_accuracy)) < proof:
            best, proof = of_all, found
    return best


def binomial_tail(errors: int, count: int, rate: float) -> float:
    """Return P(X <= errors) for X ~ Binomial(count, rate): the p-value of "it errs at least at this rate"."""
    if errors >= count:
        return 1.0
    terms = np.arange(errors + 1)
    logs = math.lgamma(count + 1) - np.array(
        [math.lgamma(k + 1) + math.lgamma(count - k + 1) for k in range(errors + 1)]
    )
    logs += terms * math.log(rate) + (count - terms) * math.log1p(-rate)
    peak = float(logs.max())
    return min(1.0, math.exp(peak) * float(np.exp(logs - peak).sum()))


def shortlist_floor(true_probability: NDArray[np.float64], coverage: float) -> float:
    """Return the probability from which on a category belongs on the shortlist.

    Split conformal prediction with the LAC score (Sadinle, Lei, Wasserman, 2019): the list holds the right
    category with at least the given probability, whatever the model is worth.

    :param true_probability: (n,) calibrated probability of each calibration picture's true category.
    """
    count = len(true_probability)
    rank = math.floor((count + 1) * (1.0 - coverage))
    if rank < 1:
        return 0.0
    return float(np.sort(true_probability)[rank - 1])


def predict(
    categories: Sequence[str],
    probabilities: NDArray[np.float64],
    floor: float,
    groups: Sequence[Sequence[int]] = (),
) -> Prediction:
    """Return the prediction for one picture from its (n_categories,) calibrated probabilities."""
    shares: list[float] = probabilities.tolist()
    order: list[int] = np.argsort(-probabilities, kind="stable").tolist()
    top = order[0]
    second = order[1] if len(order) > 1 else None
    listed = tuple(categories[i] for i in order if shares[i] >= floor) or (categories[top],)
    group, together = _best_group(shares, top, groups)
    return Prediction(
        category=categories[top],
        confidence=shares[top],
        runner_up=None if second is None else categories[second],
        runner_up_confidence=None if second is None else shares[second],
        shortlist=listed,
        group=tuple(categories[i] for i in order if i in group),
        group_confidence=together,
    )


def _best_group(shares: list[float], top: int, groups: Sequence[Sequence[int]]) -> tuple[Sequence[int], float]:
    """Return the likeliest group and its share; none if a category on its own is likelier than every group."""
    best: Sequence[int] = ()
    together = 0.0
    for group in groups:
        share = sum([shares[member] for member in group])
        if share > together:
            best, together = group, share
    return (best, together) if together > shares[top] or top in best else ((), 0.0)


def merged(values: NDArray[np.float64], groups: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """Return (n, categories) probabilities with a group's sum at its first category, 0 at its others."""
    together = values.copy()
    for first, *others in groups:
        together[:, first] += values[:, others].sum(axis=1)
        together[:, others] = 0.0
    return together


# --- verdicts


def judge(
    item: Item,
    prediction: Prediction,
    rule: Rule,
    *,
    judged_at: datetime,
    return_id: str | None,
    duplicate_of: str | None,
    model: str,
    sha256: str,
) -> Verdict:
    """Return the verdict on a picture that was seen: archived if confident enough, else to review."""
    shelf, reason = choose_shelf(prediction, rule)
    return Verdict(
        item_id=item.id,
        received_at=item.received_at,
        judged_at=judged_at,
        file_name=item.file_name,
        return_id=return_id,
        category=prediction.category,
        confidence=prediction.confidence,
        shelf=shelf,
        reason=reason,
        runner_up=prediction.runner_up,
        runner_up_confidence=prediction.runner_up_confidence,
        shortlist=shortlist(prediction, reason),
        duplicate_of=duplicate_of,
        model=model,
        sha256=sha256,
    )


def choose_shelf(prediction: Prediction, rule: Rule) -> tuple[Shelf, str]:
    """Return the shelf of a picture that was seen, and the machine-readable reason."""
    if rule.threshold is not None and prediction.confidence >= rule.threshold:
        return Shelf.ARCHIVE, "confident"
    if (
        prediction.group
        and rule.group_threshold is not None
        and prediction.group_confidence >= rule.group_threshold
    ):
        return Shelf.REVIEW, AMBIGUOUS
    return Shelf.REVIEW, "no_certified_threshold" if rule.threshold is None else "below_threshold"


def shortlist(prediction: Prediction, reason: str) -> tuple[str, ...]:
    """Return the categories to offer a person, best first: those of the group where only that is certain."""
    return prediction.group if reason == AMBIGUOUS else prediction.shortlist


def reject(
    item: Item,
    reason: str,
    *,
    judged_at: datetime,
    return_id: str | None,
    duplicate_of: str | None,
    model: str,
    sha256: str | None,
) -> Verdict:
    """Return the verdict on a file that is no usable picture."""
    return Verdict(
        item_id=item.id,
        received_at=item.received_at,
        judged_at=judged_at,
        file_name=item.file_name,
        return_id=return_id,
        category=None,
        confidence=None,
        shelf=Shelf.REJECTED,
        reason=reason,
        runner_up=None,
        runner_up_confidence=None,
        shortlist=(),
        duplicate_of=duplicate_of,
        model=model,
        sha256=sha256,
    )


def find_return_id(pattern: re.Pattern[str] | None, file_name: str) -> str | None:
    """Return what the pattern's first group finds in the name, or None."""
    found = pattern.search(printable(file_name)) if pattern else None
    return (found.group(1) or None) if found else None


# --- names on the shelves


def shelf_place(verdict: Verdict) -> PurePath:
    """Return where the item's file belongs, below the folder of its shelf."""
    name = shelf_name(verdict.item_id, verdict.file_name)
    if verdict.shelf is Shelf.ARCHIVE and verdict.category is not None:
        return archive_place(verdict.day, verdict.category, name)
    return PurePath(name)


def archive_place(day: str, category: str, name: str) -> PurePath:
    """Return an archived file's place below the archive: <date>/<category>/<name>."""
    return PurePath(day, category_folder(category), name)


def category_folder(category: str) -> str:
    """Return the folder name of a category."""
    return category.replace("/", "_")


def shelf_name(item_id: str, file_name: str) -> str:
    """Return the name a file bears on its shelf: its id, then its own name made harmless and short enough.

    The id makes it unique and tells the row; the rest is for people. Control characters, bytes that are no
    UTF-8 and characters that reorder text become "_"; a long name loses its middle, never its suffix.
    """
    harmless = "".join("_" if unicodedata.category(letter)[0] == "C" else letter for letter in file_name)
    room = _NAME_BYTES - len(item_id) - 1
    if len(harmless.encode()) > room:
        stem, suffix = PurePath(harmless).stem, PurePath(harmless).suffix
        if len(suffix.encode()) > 16:
            stem, suffix = harmless, ""
        harmless = stem.encode()[: room - len(suffix.encode())].decode(errors="ignore") + suffix
    return f"{item_id}_{harmless}"

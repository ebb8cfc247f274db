"""The overview: today and the last 30 days in numbers, how sure they are, and what a person should know.

Gathered from the ledger, the running service and the model's card; pure but for `gather`, which asks the desk.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from returnsd.figures import Day, Figures, total
from returnsd.inbox import STAY
from returnsd.records import printable
from returnsd.review import Pending
from returnsd.survey import Meanings, Survey
from returnsd.web.api import AUDITED_DAYS
from returnsd.web.desk import Desk
from returnsd.web.estimates import differ, share_bounds
from returnsd.web.pulse import Beat
from returnsd.words import moment, percent, times
from returnsd.worker import Model

BINS = 20
DAYS = 30

_RECENT = 500
_ENOUGH = 200
_MUCH = 0.1
_LOW_DISK_SHARE, _LOW_DISK_BYTES = 0.05, 1 << 30
_LONG_WAIT = timedelta(days=2)
_MOST_NAMED = 5
_SHIFTED, _SHIFTED_SHARE = 0.75, 0.1


@dataclass(frozen=True, slots=True)
class Audited:
    """How often what was archived without a person was right: so many of the sample were looked at."""

    sample: int
    looked_at: int
    wrong: int
    low: float
    high: float

    @property
    def accuracy(self) -> float | None:
        """The share of those looked at that were right."""
        return None if not self.looked_at else 1 - self.wrong / self.looked_at


@dataclass(frozen=True, slots=True)
class Estimated:
    """How often the model was right about the calibration pictures that it would archive; bounds 95 % sure."""

    pictures: int
    right: int
    low: float
    high: float

    @property
    def accuracy(self) -> float | None:
        """The share of those pictures that it was right about."""
        return None if not self.pictures else self.right / self.pictures


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should know, and what to do about it."""

    text: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the dashboard shows."""

    today: Day
    days: list[Day]
    total: Day
    waiting: int
    oldest_waiting: datetime | None
    queued: int
    running: bool
    per_second: float | None
    categories: dict[str, int]
    reasons: dict[str, int]
    histogram: list[tuple[int, int]]
    archived: int
    mean_confidence: float | None
    estimated: Estimated
    audited: Audited
    model: str
    threshold: float | None
    target_accuracy: float
    shortlist_coverage: float
    notices: list[Notice]


@dataclass(frozen=True, slots=True)
class Counted:
    """What the ledger says, read in one go."""

    days: list[Day]
    categories: dict[str, int]
    reasons: dict[str, int]
    histogram: list[tuple[int, int]]
    archived: int
    mean_confidence: float | None
    sample: tuple[int, int, int]
    confidences: NDArray[np.float64]
    vectors: NDArray[np.float32]


async def gather(desk: Desk, now: datetime) -> Overview:
    """Return how things stand."""
    config, model = desk.config, desk.judge.model
    first = now.date() - timedelta(days=DAYS - 1)
    counted = await desk.counting.ask(
        lambda figures: count(figures, first, config.web.audit_share, model.bundle.id)
    )
    waiting, oldest = await desk.reading.ask(lambda reading: (reading.count(), reading.history.oldest_waiting()))
    beat = await desk.pulse.feel(config)
    days = every_day(counted.days, first, now.date())
    sample, looked_at, wrong = counted.sample
    low, high = share_bounds(looked_at - wrong, looked_at)
    audited = Audited(sample, looked_at, wrong, low, high)
    pending, found, left, meanings = await desk.deciding.ask(
        lambda deciding: (deciding.pending, deciding.survey, dict(deciding.left), deciding.meanings)
    )
    notices = [
        *of_service(beat),
        *of_decisions(pending),
        *of_review(found, left, meanings),
        *of_model(model, config.model.target_accuracy, audited),
        *of_drift(model, counted.confidences, counted.vectors),
    ]
    if oldest is not None and now - oldest > _LONG_WAIT:
        wait = f"{times(waiting, 'picture')} {'waits' if waiting == 1 else 'wait'}"
        notices.append(Notice(f"{wait}, the oldest since {moment(oldest)}", "review what waits"))
    return Overview(
        today=days[-1],
        days=days,
        total=total(days),
        waiting=waiting,
        oldest_waiting=oldest,
        queued=beat.found["queued"],
        running=beat.service is not None,
        per_second=None if beat.service is None else beat.service["per_second"],
        categories=counted.categories,
        reasons=counted.reasons,
        histogram=counted.histogram,
        archived=counted.archived,
        mean_confidence=counted.mean_confidence,
        estimated=estimate(model),
        audited=audited,
        model=model.bundle.id,
        threshold=model.rule.threshold,
        target_accuracy=config.model.target_accuracy,
        shortlist_coverage=config.model.shortlist_coverage,
        notices=notices,
    )


def count(figures: Figures, first: date, audit_share: float, model: str) -> Counted:
    """Ask the ledger for everything since a day."""
    day = first.isoformat()
    archived, mean_confidence = figures.archived_confidence(day)
    audited_from = (first + timedelta(days=DAYS - AUDITED_DAYS)).isoformat()
    return Counted(
        days=figures.days(day),
        categories=figures.categories(day),
        reasons=figures.reasons(day),
        histogram=figures.histogram(day, BINS),
        archived=archived,
        mean_confidence=mean_confidence,
        sample=figures.sampled(audited_from, audit_share),
        confidences=figures.recent_confidences(model, _RECENT),
        vectors=figures.recent_vectors(model, _RECENT),
    )


def estimate(model: Model) -> Estimated:
    """Return how right the model was, at the threshold in force, on the pictures that it was calibrated with."""
    known, threshold = model.bundle.calibration, model.rule.threshold
    chosen = known.correct[known.confidence >= threshold] if threshold is not None else known.correct[:0]
    pictures, right = len(chosen), int(chosen.sum())
    return Estimated(pictures, right, *share_bounds(right, pictures))


def every_day(found: list[Day], first: date, last: date) -> list[Day]:
    """Return one entry for each day, also for those without any items."""
    by_day = {day.day: day for day in found}
    names = [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]
    return [by_day.get(name, Day(name)) for name in names]


# --- what a person should know


def of_service(beat: Beat) -> list[Notice]:
    """Return what is wrong with the worker or the disk."""
    notices = []
    service = beat.service
    if service is None:
        notices.append(Notice("The worker does not run: nothing new is judged", "start it: returnsd run"))
    elif beat.problem is not None:
        found = service.get("obstacle") or {"what": beat.problem.replace("_", " "), "remedy": "returnsd doctor"}
        notices.append(Notice(f"Nothing is taken in: {found['what']}", found["remedy"]))
    elif (service["last_error"] or "").startswith("reload refused"):
        notices.append(Notice(service["last_error"], "correct it, and reload again; the old one is in force"))
    if service is not None and service.get("staying"):
        notices.append(_of_staying(service["staying"], service["held"]))
    if beat.free_bytes < max(_LOW_DISK_BYTES, _LOW_DISK_SHARE * beat.total_bytes):
        free = beat.free_bytes / (1 << 30)
        notices.append(Notice(f"The disk has {free:.1f} GiB left", "free some space, or set keep.archive_days"))
    return notices


def _of_staying(named: Sequence[Sequence[str]], held: Mapping[str, int]) -> Notice:
    """Return which files of the inbox will not be taken in by waiting."""
    count = max(len(named), sum(held.get(why, 0) for why in STAY))
    names = [f"{printable(name)} ({why.replace('_', ' ')})" for name, why in named[:_MOST_NAMED]]
    if count > len(names):
        names.append(f"and {count - len(names)} more")
    text = f"{times(count, 'file')} {'stays' if count == 1 else 'stay'} in the inbox: {', '.join(names)}"
    return Notice(text, "only plain files that we may read are taken in: replace, or remove them")


def of_decisions(pending: Sequence[Pending]) -> list[Notice]:
    """Return which decisions are recorded and not carried out, by what is in the way."""
    counts = Counter(one.obstacle for one in pending if one.obstacle is not None)
    notices = []
    for found, count in counts.items():
        are = "is recorded, but its file is" if count == 1 else "are recorded, but their files are"
        text = f"{times(count, 'decision')} {are} not moved yet: {found.what}"
        notices.append(Notice(text, found.remedy))
    return notices


def of_review(found: Survey, left: Mapping[str, str], meanings: Meanings) -> list[Notice]:
    """Return what is missing from review, and what lies there that no one will settle."""
    notices = []
    if found.missing:
        text = f"{times(len(found.missing), 'item')} without a file in review: {_some(found.missing)}"
        remedy = "put the file back, under any name, into the folder of its category; or settle it without"
        notices.append(Notice(text, remedy))
    if found.strangers:
        belong = times(len(found.strangers), "file in review belongs", "files in review belong")
        text = f"{belong} to no item: {_some(found.strangers)}"
        notices.append(Notice(text, "pictures to be judged go into the inbox; what else there is, elsewhere"))
    for folder in found.unknown:
        closest = meanings.closest(folder)
        remedy = f"did you mean {closest}? Move them there" if closest else "move them to the folder of a category"
        notices.append(Notice(f"Files lie in review/{printable(folder)}, which is no category", remedy))
    if left:
        named = [f"{place} ({why})" for place, why in left.items()]
        text = f"{times(len(left), 'file')} in the folders of review decided nothing: {_some(named)}"
        notices.append(Notice(text, "look at them, and remove what does not belong there"))
    return notices


def _some(names: Sequence[str]) -> str:
    more = [f"and {len(names) - _MOST_NAMED} more"] if len(names) > _MOST_NAMED else []
    return ", ".join([*map(printable, names[:_MOST_NAMED]), *more])


def of_model(model: Model, target_accuracy: float, audited: Audited) -> list[Notice]:
    """Return where the model does not do what was asked of it."""
    notices = []
    if model.rule.threshold is None:
        reach = percent(target_accuracy)
        text = f"Nothing is archived without a person: no threshold reaches an accuracy of {reach}"
        notices.append(Notice(text, "lower model.target_accuracy (returnsd model show tells what each costs)"))
    if audited.looked_at and audited.high < target_accuracy:
        text = f"The audit found at most {percent(audited.high, 1)} right, {percent(target_accuracy)} was asked for"
        notices.append(Notice(text, "raise model.threshold, or train with the decisions (training harvest)"))
    return notices


def of_drift(model: Model, confidences: NDArray[np.float64], vectors: NDArray[np.float32]) -> list[Notice]:
    """Return how the newest pictures differ from those that the model was calibrated on.

    Confidences are compared with the calibration set's, features with the card's `reference` (the mean and
    deviation of each feature), where the card has one. A difference must be certain and large to be told.
    """
    notices = []
    known = model.bundle.calibration.confidence
    if len(confidences) >= _ENOUGH and len(known):
        apart = differ(confidences, known)
        now, then = float(confidences.mean()), float(known.mean())
        if apart is not None and apart > _MUCH and abs(now - then) > _MUCH / 2:
            change = "less sure" if now < then else "surer"
            text = f"The model is {change} than it was in calibration: {percent(now)} on average now,"
            text += f" {percent(then)} then"
            notices.append(Notice(text, "look at what arrives; train with the decisions (training harvest)"))
    reference = model.bundle.card.get("reference")
    if reference and len(vectors) >= _ENOUGH and vectors.shape[1] == len(reference["mean"]):
        mean, deviation = np.asarray(reference["mean"]), np.maximum(np.asarray(reference["deviation"]), 1e-6)
        shifted = float((np.abs(vectors.mean(axis=0) - mean) / deviation > _SHIFTED).mean())
        if shifted > _SHIFTED_SHARE:
            text = f"What waits looks unlike the training pictures: {percent(shifted)} of the features have moved"
            notices.append(Notice(text, "look at what arrives; train with the decisions (training harvest)"))
    return notices

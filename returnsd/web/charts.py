"""Numbers as places on a drawing, for the templates to draw as SVG. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from returnsd.figures import Day

WIDTH, HEIGHT = 600.0, 160.0
_GAP = 0.22


@dataclass(frozen=True, slots=True)
class Block:
    """A rectangle of one kind (a shelf): its place and size in the drawing's units."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One column of blocks standing on each other, and what it says when pointed at."""

    label: str
    title: str
    middle: float
    blocks: list[Block]


@dataclass(frozen=True, slots=True)
class Chart:
    """Columns, the value at the top of the drawing, and a mark on the way (the threshold) if there is one."""

    bars: list[Bar]
    top: int
    mark: float | None = None


def days(found: Sequence[Day]) -> Chart:
    """Return a column for each day: what was received then, by where it is now; the last one is today."""
    rows, titles = [], []
    for number, day in enumerate(found):
        parts = {"archive": day.archived, "review": day.waiting + day.unjudged, "rejected": day.rejected}
        rows.append(("today" if number == len(found) - 1 else day.day[5:], parts))
        titles.append(f"{day.day}: {day.sentence()}")
    return _columns(rows, titles)


def histogram(bins: Sequence[tuple[int, int]], threshold: float | None) -> Chart:
    """Return a column for each range of confidence: archived, to review; the mark is the threshold."""
    rows, titles = [], []
    for number, (archived, review) in enumerate(bins):
        low, high = 100 * number // len(bins), 100 * (number + 1) // len(bins)
        rows.append((f"{low}", {"archive": archived, "review": review}))
        titles.append(f"{low} to {high} %: {archived} archived, {review} to review")
    chart = _columns(rows, titles)
    mark = None if threshold is None or threshold > 1 else round(threshold * WIDTH, 1)
    return Chart(chart.bars, chart.top, mark)


def shares(counts: Mapping[str, int]) -> list[tuple[str, int, float]]:
    """Return (name, count, length from 0 to 100) for a list of bars."""
    most = max(counts.values(), default=1)
    return [(name, count, round(100 * count / most, 1)) for name, count in counts.items()]


def _columns(rows: Sequence[tuple[str, Mapping[str, int]]], titles: Sequence[str]) -> Chart:
    top = _round_up(max((sum(parts.values()) for _, parts in rows), default=0))
    step = WIDTH / max(1, len(rows))
    bars = []
    for number, ((label, parts), title) in enumerate(zip(rows, titles, strict=True)):
        blocks, foot = [], HEIGHT
        for kind, value in parts.items():
            if value:
                height = HEIGHT * value / top
                foot -= height
                x, width = (number + _GAP / 2) * step, (1 - _GAP) * step
                blocks.append(Block(kind, round(x, 1), round(foot, 1), round(width, 1), round(height, 1)))
        bars.append(Bar(label, title, round((number + 0.5) * step, 1), blocks))
    return Chart(bars, top)


def _round_up(value: int) -> int:
    """Return the next of 1, 2, 5, 10, 20, 50, ... that is at least the value."""
    size = 1
    while True:
        for step in (1, 2, 5):
            if step * size >= value:
                return max(1, step * size)
        size *= 10

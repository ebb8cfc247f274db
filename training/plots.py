"""The plots of the reports, each a function from numbers to a matplotlib figure; what one means, its page says."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from numpy.typing import NDArray

from training.curves import Bin, Coverage, Roc, Shortlist
from training.evaluate import Interval

_BLUE, _ORANGE, _GREY = "#2f5fd0", "#c25b00", "#9aa2b1"
_MOST_NAMED = 8
_ONE_DECIMAL = 12


def bars(values: Mapping[str, float], label: str, *, share: bool = False) -> Figure:
    """Return horizontal bars, the first on top."""
    figure, axes = _begin(7.2, max(1.6, 0.26 * len(values) + 0.8))
    axes.barh(list(values), list(values.values()), color=_BLUE)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.grid(axis="y", visible=False)
    if share:
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    return figure


def bars_with_intervals(values: Mapping[str, tuple[float, Interval]], label: str) -> Figure:
    """Return horizontal bars of shares with their intervals as whiskers."""
    figure = bars({name: value for name, (value, _) in values.items()}, label, share=True)
    axes = figure.axes[0]
    lows = [max(0.0, value - low) for value, (low, _) in values.values()]
    highs = [max(0.0, high - value) for value, (_, high) in values.values()]
    axes.errorbar(
        [value for value, _ in values.values()],
        range(len(values)),
        xerr=[lows, highs],
        fmt="none",
        ecolor="#1b2030",
        elinewidth=1,
    )
    axes.set_xlim(0, 1.02)
    return figure


def histogram(values: Sequence[float], label: str) -> Figure:
    """Return how often values occur; a logarithmic axis where they differ much."""
    figure, axes = _begin(7.2, 2.8)
    low, high = max(min(values), 1e-9), max(values)
    if high / low > 50:
        axes.set_xscale("log")
        axes.hist(values, np.geomspace(low, high, 40).tolist(), color=_BLUE)
    else:
        axes.hist(values, 40, color=_BLUE)
    axes.set_xlabel(label)
    axes.set_ylabel("pictures")
    return figure


def confusion(counts: NDArray[np.int64], categories: Sequence[str]) -> Figure:
    """Return the matrix with each row's counts as shares of it."""
    side = 2.6 + 0.42 * len(categories)
    figure, axes = _begin(side + 0.8, side)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(categories)), categories, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(categories)), categories)
    axes.set_xlabel("what the model says")
    axes.set_ylabel("what the picture is")
    axes.grid(visible=False)
    size = 8 if len(categories) > _ONE_DECIMAL else 9
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.005:
            colour = "white" if share > 0.55 else "#1b2030"
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=size, color=colour)
    return figure


def roc(curves: Sequence[Roc]) -> Figure:
    """Return the curves of all categories; of many, only the best and worst are named."""
    figure, axes = _begin(6.4, 5.2)
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", linewidth=1)
    ranked = sorted(curves, key=lambda curve: -curve.area)
    named = ranked if len(ranked) <= _MOST_NAMED else ranked[: _MOST_NAMED // 2] + ranked[-_MOST_NAMED // 2 :]
    names = {id(curve) for curve in named}
    colours = iter(_colours(len(named)))
    for curve in ranked:
        if id(curve) in names:
            label = f"{curve.category} ({curve.area:.3f})"
            axes.plot(curve.false_alarms, curve.found, label=label, linewidth=1.3, color=next(colours))
        else:
            axes.plot(curve.false_alarms, curve.found, color=_GREY, linewidth=0.7, alpha=0.7)
    axes.set_xlabel("of all others, the share mistaken for it")
    axes.set_ylabel("of its pictures, the share found")
    _in_percent(axes)
    if named:
        axes.legend(fontsize=8, title="category (area below)", title_fontsize=8, loc="lower right")
    return figure


def reliability(bins: Sequence[Bin]) -> Figure:
    """Return how often the model is right against how sure it was."""
    figure, axes = _begin(6.0, 4.8)
    axes.plot([0, 1], [0, 1], color=_GREY, linestyle=":", label="as sure as right")
    confidence = [one.confidence for one in bins]
    accuracy = [one.accuracy for one in bins]
    below = [max(0.0, one.accuracy - one.interval[0]) for one in bins]
    above = [max(0.0, one.interval[1] - one.accuracy) for one in bins]
    axes.errorbar(confidence, accuracy, [below, above], fmt="o-", color=_BLUE, capsize=2, label="this model")
    axes.set_xlabel("how sure the model is")
    axes.set_ylabel("how often it is right")
    _in_percent(axes)
    axes.legend(loc="upper left")
    return figure


def coverage(curve: Coverage, target_accuracy: float, chosen: tuple[float, float] | None) -> Figure:
    """Return accuracy against the share archived; `chosen` is (share, accuracy) at the threshold in force."""
    figure, axes = _begin(7.2, 4.2)
    axes.fill_between(curve.share, curve.low, curve.high, color=_BLUE, alpha=0.15, linewidth=0)
    axes.plot(curve.share, curve.accuracy, color=_BLUE)
    axes.axhline(target_accuracy, color=_ORANGE, linestyle="--", linewidth=1, label="target accuracy")
    if chosen is not None:
        axes.plot(*chosen, "o", color=_ORANGE, markersize=8, label="the chosen threshold")
    axes.set_xlabel("share of pictures archived without a person")
    axes.set_ylabel("of those, right")
    _in_percent(axes)
    axes.set_ylim(min(0.5, float(curve.accuracy.min()) - 0.05), 1.01)
    axes.legend(loc="lower left")
    return figure


def shortlists(lists: Sequence[Shortlist], categories: int) -> Figure:
    """Return the mean length of a shortlist against how often it is to hold the right category."""
    figure, axes = _begin(7.2, 3.8)
    axes.plot([one.promised for one in lists], [one.size for one in lists], "o-", color=_BLUE, markersize=3)
    axes.set_xlabel("how often the list is to hold the right category")
    axes.set_ylabel("categories on it, in the mean")
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_ylim(0, categories + 0.5)
    return figure


def _begin(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(color="#e3e6ec", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def _in_percent(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))


def _colours(count: int) -> list[str]:
    base = ["#2f5fd0", "#c25b00", "#1d7f4f", "#b3261e", "#7b3fb3", "#8a6d00", "#00808a", "#c0368a", "#555c6b"]
    return [base[number % len(base)] for number in range(count)]

"""The report of `analyze`: which of the forest's inputs matter, and what they cost."""

from collections.abc import Mapping, Sequence

from returnsd.bundle import Bundle
from training import plots
from training.analyze import Worth
from training.costs import Cost
from training.report import Report, percent

_MOST = 40
_FEW = 300


def page(
    bundle: Bundle,
    families: Sequence[Worth],
    features: Sequence[Worth],
    looked_at: Sequence[Worth],
    family_costs: Mapping[str, Cost],
    steps: Sequence[Cost],
    refits: Mapping[str, float],
    pictures: int,
    trees: int,
) -> Report:
    """Return the report; `refits` holds the accuracy of forests of `trees` without each family, "" with all."""
    report = Report(
        f"What does {bundle.id} look at?",
        f"Measured on {pictures} validation pictures. Names are those of the code: a family is a set of values that"
        " are made together; the memory answers with several numbers a category, from what it compares.",
    )
    if pictures < _FEW:
        report.say(f"{pictures} pictures are few: differences of some points are chance here.", loud=True)
    total_ms = sum(step.own_ms for step in steps)
    best = max(families, key=lambda one: one.accuracy_lost)
    report.figures(
        [
            ("Inputs", str(sum(one.inputs for one in families)), f"in {len(families)} families"),
            (
                "Matters most",
                best.name,
                f"without what it says, accuracy falls by {100 * best.accuracy_lost:.1f} points",
            ),
            ("Time", f"{total_ms:.1f} ms", "from decoded pixels to probabilities, one picture on one core"),
        ]
    )
    _looked_at(report, looked_at, family_costs)
    _importance(report, families)
    _table(report, families, family_costs, refits, trees)
    _costs(report, steps)
    _features(report, features)
    return report


def _looked_at(report: Report, looked_at: Sequence[Worth], costs: Mapping[str, Cost]) -> None:
    report.heading("What it looks at")
    report.table(
        ("family", "values", "accuracy lost", "log-loss gained", "ms"),
        [
            (one.name, one.inputs, _points(one), f"{one.loss_gained:+.4f}", f"{costs[one.name].own_ms:.3f}")
            for one in sorted(looked_at, key=lambda one: -one.loss_gained)
        ],
        "How much worse the answers become, from beginning to end, when a family of what is seen in a picture is"
        " taken from other pictures (permutation). Below zero is chance.",
    )


def _points(one: Worth) -> str:
    return f"{100 * one.accuracy_lost:+.2f} \u00b1 {100 * one.accuracy_spread:.2f}"


def _importance(report: Report, families: Sequence[Worth]) -> None:
    ranked = sorted(families, key=lambda one: -one.loss_gained)
    report.heading("What matters")
    report.plot(
        plots.bars(
            {one.name: one.loss_gained for one in ranked}, "log-loss gained when the family is dealt out anew"
        ),
        "How much worse the answers become when a family's values are taken from other pictures (permutation). Long"
        " bars matter. Families that say the same stand in for each other, so a short bar need not mean useless.",
    )
    gains = {one.name: one.impurity or 0.0 for one in families}
    report.plot(
        plots.bars(
            dict(sorted(gains.items(), key=lambda gain: -gain[1])), "share of all that splits gained", share=True
        ),
        "What the trees used in training (impurity). It favours values that differ finely, whether or not that"
        " helps with new pictures.",
    )


def _table(
    report: Report, families: Sequence[Worth], costs: Mapping[str, Cost], refits: Mapping[str, float], trees: int
) -> None:
    columns = ["family", "inputs", "impurity", "accuracy lost", "own ms", "saved ms", "saved with it"]
    meaning = (
        "Accuracy lost: in points, when the family's columns are permuted among the pictures, mean and deviation of"
        " several deals; below zero is chance. Own ms: its own time. Saved ms: what leaving out this family alone"
        " would save."
    )
    if refits:
        columns.insert(4, "accuracy without")
        meaning += (
            f" Accuracy without: of a forest of {trees} trees grown anew without the family's columns; with all of"
            f" them such a forest reaches {percent(refits[''])}."
        )
    rows = []
    for one in sorted(families, key=lambda one: -one.accuracy_lost):
        cost = costs.get(one.name)
        row: list[object] = [
            one.name,
            one.inputs,
            percent(one.impurity or 0.0),
            _points(one),
            "-" if cost is None else f"{cost.own_ms:.3f}",
            "-" if cost is None else f"{cost.saved_ms:.3f}",
            "" if cost is None else cost.words,
        ]
        if refits:
            row.insert(4, percent(refits[one.name]))
        rows.append(row)
    report.heading("Without a family")
    report.table(columns, rows, meaning)


def _costs(report: Report, steps: Sequence[Cost]) -> None:
    report.heading("Where the time goes")
    report.plot(
        plots.bars({step.name: step.own_ms for step in steps}, "milliseconds a picture"),
        "The steps from decoded pixels to probabilities, in their order, for one picture on one core.",
    )
    report.table(
        ("step", "ms", "what it is"),
        [(step.name, f"{step.own_ms:.3f}", step.words) for step in steps],
        "The same in numbers. A batch of pictures takes less each: the trees are asked together.",
    )


def _features(report: Report, features: Sequence[Worth]) -> None:
    report.heading("Single inputs")
    idle = sum(one.impurity == 0 for one in features)
    report.table(
        ("input", "impurity", "log-loss gained", "accuracy lost"),
        [
            (
                one.name,
                f"{100 * (one.impurity or 0.0):.2f} %",
                f"{one.loss_gained:.5f}",
                f"{100 * one.accuracy_lost:+.2f}",
            )
            for one in sorted(features, key=lambda one: -one.loss_gained)[:_MOST]
        ],
        f"The {min(_MOST, len(features))} of {len(features)} inputs that matter most by permutation; {idle} inputs"
        " are asked for by no tree. All of them are in analyze.json.",
    )

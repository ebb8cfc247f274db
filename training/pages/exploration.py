"""The report of `explore`: what there is, what it looks like, and what is wrong with it."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from returnsd.errors import Unreadable
from returnsd.vision.decode import DecodeLimits, decode
from training import plots
from training.explore import PLACEHOLDER_LABELS, Findings, Look
from training.prepare import FEWEST
from training.report import Report

FEW = 100
"""Pictures of a category; below it a model learns little of it."""

_SHEET, _COLUMNS = 24, 12
_LISTED = 50
_SHOWN = 24


def page(findings: Findings, source: str, seed: int) -> Report:
    """Return the report; which pictures a contact sheet shows depends on the seed alone."""
    looks = findings.looks
    report = Report(
        "What is in these pictures?",
        f"{len(looks)} labelled pictures of {source}, as they are; nothing was changed. What to leave out is"
        " decided by `prepare`, which lists it.",
    )
    _advice(report, findings)
    _counts(report, findings)
    _kinds(report, [look for look in looks if not look.reason])
    _faults(report, findings)
    _sets(report, findings)
    report.heading("What the categories look like")
    for label in sorted(findings.labels):
        _sheet(report, label, [look for look in looks if look.label == label and not look.reason], seed)
    return report


def _advice(report: Report, findings: Findings) -> None:
    labels = findings.labels
    if len(labels) < 2:
        report.say("There is one category only: a model needs at least two to tell apart.", loud=True)
    few = sorted(label for label, count in labels.items() if count < FEWEST)
    if few:
        names = ", ".join(f"{label} ({labels[label]})" for label in few)
        report.say(f"Too few pictures to be learnt at all (fewer than {FEWEST}): {names}.", loud=True)
    small = sorted(label for label, count in labels.items() if FEWEST <= count < FEW)
    if small:
        report.say(f"Few pictures, so that their figures will be rough (fewer than {FEW}): {', '.join(small)}.")
    if labels and max(labels.values()) > 5 * min(labels.values()):
        report.say("Some categories have over five times the pictures of others: see class weights in `train`.")
    for spellings in findings.spelt_alike:
        report.say(f"Spelt alike, perhaps one category: {' / '.join(spellings)}.", loud=True)


def _counts(report: Report, findings: Findings) -> None:
    copies = sum(len(one) - 1 for one in findings.identical)
    report.figures(
        [
            ("Pictures", str(len(findings.looks)), f"under {len(findings.labels)} labels"),
            ("Missing", str(len(findings.missing)), "named in the table without a picture or a label"),
            ("Unreadable", str(len(findings.unreadable)), "are there and cannot be seen"),
            ("Copies", str(copies), "are byte for byte the same as another picture"),
            (
                "Contradicted",
                str(sum(map(len, findings.conflicting)) + sum(map(len, findings.placeholders))),
                "look the same as one with another label",
            ),
        ]
    )
    counts = dict(sorted(findings.labels.items(), key=lambda one: (-one[1], one[0])))
    if counts:
        report.heading("How many of what")
        report.plot(
            plots.bars(counts, "pictures"),
            "How many pictures there are of each category. The longer the bar, the better it can be learnt.",
        )


def _kinds(report: Report, looks: Sequence[Look]) -> None:
    if not looks:
        return
    report.heading("Formats and sizes")
    count, total = Counter(look.format for look in looks), len(looks)
    report.table(
        ("format", "pictures", "share"),
        [(kind, number, f"{100 * number / total:.1f} %") for kind, number in count.most_common()],
        "What the files are, by their content; their names do not matter.",
    )
    report.plot(
        plots.histogram([max(look.width, look.height) for look in looks], "longest side in pixels"),
        "How large the pictures are. The model looks at 100 pixels a side: smaller pictures show it less, larger"
        " ones no more.",
    )
    report.plot(
        plots.histogram([look.size_bytes / 1024 for look in looks], "size of the file in KiB"),
        "How large the files are. Very small ones are often icons or placeholders.",
    )


def _faults(report: Report, findings: Findings) -> None:
    if findings.missing:
        report.heading("Missing")
        report.table(("what",), [(line,) for line in findings.missing[:_LISTED]], _some(len(findings.missing)))
    if findings.unreadable:
        report.heading("Unreadable")
        reasons = Counter(look.reason.split(":")[0] for look in findings.unreadable)
        report.table(("reason", "pictures"), reasons.most_common(), "Why pictures cannot be seen, and how many.")
        rows = [(look.path, look.label, look.reason) for look in findings.unreadable[:_LISTED]]
        report.table(("file", "label", "reason"), rows, _some(len(findings.unreadable)))


def _some(count: int) -> str:
    return f"All {count} of them." if count <= _LISTED else f"The first {_LISTED} of {count}."


def _sets(report: Report, findings: Findings) -> None:
    parts = (
        (
            "Placeholders",
            findings.placeholders,
            f"One content under {PLACEHOLDER_LABELS} labels or more shows nothing of any of them: often"
            ' "no picture available", a logo or a set. `prepare` leaves those of one content out.',
        ),
        (
            "Contradicting labels",
            findings.conflicting,
            "Pictures that look the same and bear two labels: one of them is wrong, or the categories overlap."
            " `prepare` leaves those of one content out; correcting the labels is better.",
        ),
        (
            "Leaks between the given splits",
            findings.leaking,
            "Pictures that look the same on several sides of the splits given in the table. Figures measured on"
            " such a test side flatter the model. `prepare` makes splits without such leaks.",
        ),
        (
            "Nearly identical pictures",
            findings.alike,
            "Not the same bytes, but the same picture: compressed again, resized or slightly cut.",
        ),
        ("Identical pictures", findings.identical, "The same bytes more than once; `prepare` keeps one of each."),
    )
    for name, sets, meaning in parts:
        if sets:
            report.heading(name)
            of = f" {len(sets)} sets, {sum(map(len, sets))} pictures"
            report.pictures(
                _examples(findings, sets), meaning + of + (", the largest first." if len(sets) > 1 else ".")
            )


def _examples(findings: Findings, sets: Sequence[Sequence[int]]) -> list[tuple[NDArray[np.uint8], str]]:
    shown = []
    for numbers in sets[:_SHOWN]:
        looks = [findings.looks[number] for number in numbers]
        pixels = _pixels(looks[0])
        if pixels is not None:
            labels = Counter(f"{look.label} ({look.split})" if look.split else look.label for look in looks)
            words = ", ".join(f"{label} x {count}" for label, count in labels.most_common(5))
            shown.append((pixels, f"{words}{' ...' if len(labels) > 5 else ''}: {Path(looks[0].path).name}"))
    return shown


def _sheet(report: Report, label: str, looks: Sequence[Look], seed: int) -> None:
    chosen = np.random.default_rng(seed).permutation(len(looks))[:_SHEET]
    pictures = [pixels for number in sorted(chosen) if (pixels := _pixels(looks[number])) is not None]
    if pictures:
        report.sheet(label, pictures, _COLUMNS, f"{len(pictures)} of {len(looks)} pictures, drawn at random.")


def _pixels(look: Look) -> NDArray[np.uint8] | None:
    try:
        return decode(Path(look.path).read_bytes(), DecodeLimits())
    except (OSError, Unreadable):
        return None  # gone since it was looked at

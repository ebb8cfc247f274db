"""The report of `evaluate`: what the model gets right, what it mistakes, and how sure these figures are."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from returnsd.bundle import Bundle
from returnsd.errors import Unreadable
from returnsd.vision.decode import DecodeLimits, decode
from training import curves, plots
from training.evaluate import CategoryFigures, Evaluation, Figures, Interval
from training.report import Report, between, percent

FEW = 30
"""Test pictures a category; below it the figures of a category say little."""

_WORST = 24
_PROMISES = tuple(np.round(np.arange(0.5, 0.996, 0.02), 2).tolist())
_PROMISES_SHOWN = (0.5, 0.75, 0.9, 0.95)


def page(evaluation: Evaluation, bundle: Bundle, paths: Sequence[str], target_accuracy: float) -> Report:
    """Return the report on a bundle's test pictures; `paths` (n,) are theirs."""
    report = Report(
        f"How good is {bundle.id}?",
        f"Measured on {evaluation.figures.count} test pictures that neither training nor calibration has seen."
        " Ranges are 95 % confidence intervals: what other pictures of the same kind would give.",
    )
    _warn(report, evaluation)
    report.figures(_tiles(evaluation.figures, evaluation.intervals, target_accuracy))
    _archiving(report, evaluation, bundle, target_accuracy)
    _categories(report, evaluation, bundle)
    _groups(report, evaluation, bundle, target_accuracy)
    _probabilities(report, evaluation, bundle)
    _worst(report, evaluation, bundle, paths)
    return report


def _warn(report: Report, evaluation: Evaluation) -> None:
    fewest = min(evaluation.by_category, key=lambda one: one.count)
    if fewest.count < FEW:
        report.say(
            f"These figures are rough: of some categories there are few test pictures ({fewest.category}:"
            f" {fewest.count}). All that can be said of the accuracy is that it lies within"
            f" {between(evaluation.intervals['accuracy'])}. More labelled pictures make this narrower.",
            loud=True,
        )


def _tiles(figures: Figures, sure: Mapping[str, Interval], target_accuracy: float) -> list[tuple[str, str, str]]:
    low, high = sure["macro_f1"]
    right = "nothing is archived without a person"
    if figures.archived_accuracy is not None:
        right = f"of the archived ones ({between(sure['archived_accuracy'])})"
    tiles = [
        ("Accuracy", percent(figures.accuracy), f"of the pictures are named right ({between(sure['accuracy'])})"),
        (
            "Macro-F1",
            f"{figures.macro_f1:.3f}",
            f"of 1; every category counts alike, whatever its size ({low:.3f} to {high:.3f})",
        ),
        ("Top 3", percent(figures.top_3), f"have their category among the first three ({between(sure['top_3'])})"),
        (
            "Archived",
            percent(figures.archived),
            f"need no person if {100 * target_accuracy:g} % of them must be right ({between(sure['archived'])})",
        ),
        ("Archived and right", percent(figures.archived_accuracy), right),
        (
            "Calibration error",
            percent(figures.calibration_error),
            "the mean gap between how sure the model is and how often it is right (ECE)",
        ),
        ("Log-loss", f"{figures.log_loss:.3f}", "lower is better; being sure and wrong costs most"),
    ]
    if figures.macro_auc is not None:
        words = "how often a picture of a category looks more like it than one of another does (macro AUC)"
        tiles.append(("Ranking", f"{figures.macro_auc:.3f}", words))
    return tiles


def _archiving(report: Report, evaluation: Evaluation, bundle: Bundle, target_accuracy: float) -> None:
    figures, target = evaluation.figures, f"{100 * target_accuracy:g} %"
    confidence = evaluation.probabilities.max(axis=1)
    correct = evaluation.probabilities.argmax(axis=1) == evaluation.truth
    report.heading("What needs no person")
    if evaluation.threshold is None:
        report.say(
            f"No threshold is certified for {target}: from {len(bundle.calibration.truth)} calibration pictures it"
            " cannot be shown that any part of the answers is right often enough. The service archives nothing by"
            " itself until the target is lowered or more pictures are labelled.",
            loud=True,
        )
    chosen = None
    if evaluation.threshold is not None and figures.archived_accuracy is not None:
        chosen = (figures.archived, figures.archived_accuracy)
    report.plot(
        plots.coverage(curves.coverage(confidence, correct), target_accuracy, chosen),
        "The surest answers are archived first. Going right, more pictures need no person, and more of them are"
        " wrong; the band is the 95 % interval. The dot is where the service stops: where calibration pictures"
        f" prove that {target} are right.",
    )
    lists = curves.shortlists(
        bundle.calibration.true_probability, evaluation.probabilities, evaluation.truth, _PROMISES
    )
    report.plot(
        plots.shortlists(lists, len(bundle.categories)),
        "Whoever decides the rest gets a shortlist. The more often it is to hold the right category, the longer it"
        " is: few are better, and one would be perfect.",
    )
    shown = curves.shortlists(
        bundle.calibration.true_probability, evaluation.probabilities, evaluation.truth, _PROMISES_SHOWN
    )
    report.table(
        ("promised", "categories on the list", "held the right one", "95 % interval"),
        [(percent(one.promised), f"{one.size:.1f}", percent(one.coverage), between(one.interval)) for one in shown],
        "What was promised of the shortlists, and what came true on the test pictures.",
    )


def _categories(report: Report, evaluation: Evaluation, bundle: Bundle) -> None:
    report.heading("By category")
    report.table(
        ("category", "pictures", "precision", "95 %", "recall", "95 %", "F1", "archived"),
        [_category_row(one) for one in sorted(evaluation.by_category, key=lambda one: -(one.f1 or 0.0))],
        "Precision: of the pictures called so, how many are. Recall: of the pictures that are, how many are called"
        " so. F1 is between the two. The best categories come first.",
    )
    report.plot(
        plots.confusion(evaluation.confusion, bundle.categories),
        "Each row is a category: of 100 of its pictures, so many are called by the column's name. A perfect model"
        " has 100 all the way from the upper left to the lower right; dark fields elsewhere are what it mixes up.",
    )
    confusions = _confusions(evaluation, bundle)
    if confusions:
        report.table(
            ("is", "is called", "pictures", "of all that are"),
            confusions,
            "What is mixed up most. Pairs that not even people tell apart can be grouped: train with --group A=B.",
        )
    found = curves.roc_curves(evaluation.probabilities, evaluation.truth, bundle.categories)
    if found:
        report.plot(
            plots.roc(found),
            "One curve a category, against all others (ROC). The nearer it comes to the upper left corner, the"
            " better the category can be told; the dotted line is guessing.",
        )


def _category_row(one: CategoryFigures) -> tuple[object, ...]:
    return (
        one.category,
        one.count,
        percent(one.precision),
        between(one.precision_interval),
        percent(one.recall),
        between(one.recall_interval),
        "-" if one.f1 is None else f"{one.f1:.3f}",
        percent(one.archived),
    )


def _confusions(evaluation: Evaluation, bundle: Bundle) -> list[tuple[object, ...]]:
    wrong = evaluation.confusion.copy()
    np.fill_diagonal(wrong, 0)
    rows: list[tuple[object, ...]] = []
    for place in np.argsort(-wrong, axis=None, kind="stable")[:12]:
        true, said = divmod(int(place), len(bundle.categories))
        if wrong[true, said]:
            share = wrong[true, said] / evaluation.confusion[true].sum()
            rows.append((bundle.categories[true], bundle.categories[said], int(wrong[true, said]), percent(share)))
    return rows


def _groups(report: Report, evaluation: Evaluation, bundle: Bundle, target_accuracy: float) -> None:
    if evaluation.grouped is None:
        return
    names = "; ".join(" and ".join(bundle.categories[number] for number in group) for group in bundle.groups)
    report.heading("With grouped categories taken as one")
    report.say(
        f"These categories nearly coincide and are grouped in the card: {names}. Calling one by another name of its"
        " group does not count as an error here. An answer that is certain only of its group goes to review with"
        " the group's categories as its shortlist."
    )
    tiles = _tiles(evaluation.grouped, evaluation.grouped_intervals, target_accuracy)
    certain = {"Archived": "Certain of the group", "Archived and right": "Certain and right"}
    report.figures([(certain.get(name, name), value, words) for name, value, words in tiles])


def _probabilities(report: Report, evaluation: Evaluation, bundle: Bundle) -> None:
    confidence = evaluation.probabilities.max(axis=1)
    correct = evaluation.probabilities.argmax(axis=1) == evaluation.truth
    report.heading("Does it know what it knows?")
    report.plot(
        plots.reliability(curves.reliability(confidence, correct)),
        "Each point is as many pictures: how sure the model was of them, and how many were right, with 95 %"
        " intervals. On the dotted line confidence can be taken at its word; below it the model is too sure.",
    )


def _worst(report: Report, evaluation: Evaluation, bundle: Bundle, paths: Sequence[str]) -> None:
    confidence = evaluation.probabilities.max(axis=1)
    best = evaluation.probabilities.argmax(axis=1)
    shown = []
    for number in curves.worst(confidence, best == evaluation.truth, _WORST):
        said, true = bundle.categories[best[number]], bundle.categories[evaluation.truth[number]]
        try:
            pixels = decode(Path(paths[number]).read_bytes(), DecodeLimits())
        except (OSError, Unreadable):
            continue  # gone since its features were made
        name = Path(paths[number]).name
        shown.append((pixels, f"called {said} ({percent(confidence[number])}), labelled {true}: {name}"))
    if shown:
        report.heading("The worst errors")
        report.pictures(
            shown,
            "The wrong answers that the model was surest of. Look at the labels, too: some of these are often"
            " mislabelled or show something else.",
        )

"""The short reports of `prepare`, `extract` and `train`: what was done, to how many, and what failed and why."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from returnsd.bundle import Bundle
from returnsd.errors import Unreadable
from returnsd.vision.extractor import Extractor
from training import plots
from training.evaluate import Figures, Interval
from training.extract import Failed, Store, picture_of
from training.prepare import FEWEST, SPLITS, Entry
from training.report import Report, between, percent

RULES = {
    "unreadable": "the file cannot be seen as a picture",
    "same picture under": "one content bears several labels: nobody can learn from it; placeholders are among them",
    "a copy of another picture": "one of each content is kept, so that none is on two sides of a split",
    "fewer than": f"a category with fewer than {FEWEST} usable pictures cannot be learnt and tested",
}
"""The cleaning rules of `prepare`, by how the manifest's left_out begins."""

_WITH_COUNT = ("same picture under", "fewer than")
_LISTED = 200
_EXAMPLES = 12


def prepared(entries: Sequence[Entry], faults: Sequence[str], seed: int) -> Report:
    """Return the report of `prepare`."""
    kept = [entry for entry in entries if entry.split]
    splits = Counter(entry.split for entry in kept)
    report = Report(
        "The pictures to learn from",
        f"{len(entries)} labelled pictures, of which {len(kept)} are used. The originals were not touched: the"
        " manifest says what each is used for, and to take a rule back is to prepare again.",
    )
    words = {
        "train": "are learnt from",
        "validation": "choose settings",
        "calibration": "certify the threshold",
        "test": "tell how good the model is; used for nothing else",
    }
    report.figures([(split.capitalize(), str(splits[split]), words[split]) for split in SPLITS])
    report.heading("What was left out")
    left_out = [entry for entry in entries if entry.left_out]
    rules = [(name, _ruled(left_out, name), why) for name, why in RULES.items()]
    rows = [(f"{name} ..." if name in _WITH_COUNT else name, len(found), why) for name, found, why in rules]
    rows.append(("missing", len(faults), "named in the table without a picture or a label"))
    report.table(("rule", "pictures", "why"), rows, "Every rule, and how many pictures it leaves out.")
    for name, found, _ in rules:
        examples = [entry for entry in found if entry.sha256][:_EXAMPLES]
        shown = [
            (pixels, f"{entry.label}: {entry.left_out}")
            for entry in examples
            if (pixels := _pixels(entry)) is not None
        ]
        if shown:
            report.pictures(shown, f"Left out, for instance: {name} ...")
    report.heading("By category")
    count = Counter((entry.label, entry.split) for entry in kept)
    out = Counter(entry.label for entry in left_out)
    labels = sorted({entry.label for entry in entries})
    report.table(
        ("category", *SPLITS, "left out"),
        [(label, *(count[label, split] for split in SPLITS), out[label]) for label in labels],
        f"Dealt out by content, each category alike; the seed is {seed}. No content is on two sides.",
    )
    _list(report, "Missing", ("what",), [(fault,) for fault in faults])
    unreadable = [(entry.path, entry.left_out) for entry in _ruled(left_out, "unreadable")]
    _list(report, "Unreadable", ("file", "reason"), unreadable)
    return report


def extracted(
    entries: Sequence[Entry],
    failures: Sequence[Failed],
    store: Store,
    extractor: Extractor,
    done: int,
    took_s: float,
) -> Report:
    """Return the report of `extract`; `done` pictures were described now, in `took_s` seconds."""
    there = sum(entry.sha256 in store.place for entry in entries)
    report = Report(
        "What the model looks at",
        f"{there} of {len(entries)} pictures are described by {extractor.width} values each. They are kept by"
        " content: done once, whatever is interrupted or prepared anew.",
    )
    pace = (
        f"{done / took_s:.0f} a second, {1000 * took_s / done:.1f} ms each" if done and took_s else "none was left"
    )
    report.figures(
        [
            ("Described", str(there), f"of {len(entries)} pictures in the manifest"),
            ("Now", str(done), pace),
            ("Failed", str(len(failures)), "could not be seen any more"),
            ("Kept", f"{there * extractor.width * 4 / 1e6:.0f} MB", f"in {store.folder}"),
        ]
    )
    report.heading("What a description consists of")
    report.table(
        ("part", "values"),
        [(name, block.stop - block.start) for name, block in extractor.blocks.items()],
        "By these parts pictures are compared with remembered ones; the forest sees what comes of that.",
    )
    reasons = Counter(one.reason.split(":")[0] for one in failures)
    if failures:
        report.heading("Failures by reason")
        report.table(("reason", "pictures"), reasons.most_common(), "Why pictures could not be described.")
    _list(report, "Failed", ("file", "reason"), [(one.path, one.reason) for one in failures])
    return report


def trained(
    bundle: Bundle,
    splits: Mapping[str, int],
    figures: Figures,
    intervals: Mapping[str, Interval],
    threshold: float | None,
    target_accuracy: float,
) -> Report:
    """Return the report of `train`; the figures are of validation pictures, and flatter a little."""
    card = bundle.card
    report = Report(
        f"How {bundle.id} was made",
        "The figures here are of validation pictures, by which settings were chosen: they flatter a little."
        " What the model is worth on pictures unknown to it, `evaluate` tells.",
    )
    out_of_bag = card["forest"].get("out_of_bag_accuracy")
    size_mb = sum(path.stat().st_size for path in bundle.directory.iterdir()) / 1e6
    accuracy = f"on {figures.count} validation pictures ({between(intervals['accuracy'])})"
    certified = f"from which on {100 * target_accuracy:g} % are certified right"
    report.figures(
        [
            ("Accuracy", percent(figures.accuracy), accuracy),
            ("Macro-F1", f"{figures.macro_f1:.3f}", "every category counts alike"),
            (
                "Out of bag",
                percent(out_of_bag),
                "of training pictures are named right by trees that never saw them",
            ),
            ("Threshold", "none" if threshold is None else f"{threshold:.3f}", certified),
            ("Size", f"{size_mb:.1f} MB", f"{bundle.forest.trees} trees"),
        ]
    )
    if threshold is None:
        report.say(
            f"From {splits['calibration']} calibration pictures no threshold can be certified for"
            f" {100 * target_accuracy:g} %: a service with this bundle sends everything to review.",
            loud=True,
        )
    report.heading("What it was made from")
    report.table(("split", "pictures"), list(splits.items()), "Each picture is in one split only.")
    report.heading("Settings")
    settings = [(name, _plain(value)) for name, value in card["forest"].items()]
    calibration = {key: value for key, value in card["calibration"].items() if key not in ("x", "y")}
    settings += [(f"calibration {name}", _plain(value)) for name, value in calibration.items()]
    settings += [("command", card.get("trained_by", "")), ("data", card.get("data", {}).get("fingerprint", ""))]
    report.table(("setting", "value"), settings, "The same data, settings and seed give the same bundle.")
    tried = card.get("search", {}).get("tried", [])
    if tried:
        names = list(tried[0])
        report.heading("What the search tried")
        report.table(
            names,
            [tuple(_plain(one[name]) for name in names) for one in tried],
            "Combinations of settings with their cross-validated accuracy, the best first.",
        )
    features = card["features"]
    report.heading("What is seen in a picture")
    families = Extractor.load(bundle.directory).families
    report.plot(
        plots.bars({name: float(family.stop - family.start) for name, family in families.items()}, "values"),
        f"The {features['count']} values of a picture by family. Those called near_ make the direction by which the"
        " memory compares; the forest sees what the memory answers. What each is good for, analyze tells.",
    )
    return report


def _ruled(left_out: Sequence[Entry], rule: str) -> list[Entry]:
    return [entry for entry in left_out if entry.left_out.startswith(rule)]


def _list(report: Report, name: str, columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    if rows:
        report.heading(name)
        count = len(rows)
        report.table(
            columns, rows[:_LISTED], f"All {count}." if count <= _LISTED else f"The first {_LISTED} of {count}."
        )


def _pixels(entry: Entry) -> NDArray[np.uint8] | None:
    try:
        return picture_of(entry)
    except Unreadable:
        return None  # gone since it was looked at


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)

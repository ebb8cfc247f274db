"""How well alike pictures are grouped: how many stand in groups, and how many of a group are of one category.

On labelled pictures that training never saw: `python -m benchmarks.alike MANIFEST.csv`, the manifest that
`python -m training prepare` wrote; RETURNSD_BENCH_BUNDLE names another bundle's directory than the shipped one.
"""

import csv
import os
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from returnsd.bundle import EMBEDDED, Bundle
from returnsd.vision.decode import DecodeLimits, decode
from returnsd.vision.extractor import Extractor
from returnsd.web.alike import Alike
from returnsd.web.view import View, views_of

PICTURES = 1500
SIZES = (2, 4, 8)
TARGET = 0.94
UNSEEN = ("validation", "calibration", "test")

Rows = NDArray[np.float32]


def pictures(manifest: Path, bundle: Bundle) -> tuple[Rows, list[str]]:
    """Return the features and labels of a random sample of unseen pictures."""
    with manifest.open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] in UNSEEN]
    chosen = np.random.default_rng(1).permutation(len(rows))[:PICTURES]
    extractor = Extractor.load(bundle.directory)
    seen = [extractor(decode(Path(rows[i]["path"]).read_bytes(), DecodeLimits())) for i in chosen]
    return np.stack(seen), [rows[i]["label"] for i in chosen]


def report(name: str, view: View, rows: Rows, labels: list[str], predicted: list[str]) -> None:
    """Print what a view does to the pictures, a few arriving at a time."""
    alike = Alike(view.near)
    keys = [str(i) for i in range(len(rows))]
    for start in range(0, len(keys), 100):
        alike.add(keys[start : start + 100], view.rows(rows[start : start + 100]))
    groups: dict[tuple[int, str], list[str]] = {}
    for key, group in alike.group_of.items():
        groups.setdefault((group, predicted[int(key)]), []).append(labels[int(key)])
    for size in SIZES:
        large = [group for group in groups.values() if len(group) >= size]
        count = sum(map(len, large))
        pure = sum(Counter(group).most_common(1)[0][1] for group in large) / max(1, count)
        share = count / len(rows)
        print(f"  {name}, groups of {size} or more: {share:.0%} of the pictures, {pure:.0%} of one category")


def report_sure(view: View, bundle: Bundle, rows: Rows, labels: list[str]) -> None:
    """Print how many of what waits are as predicted, in groups of which the forest is sure and in others."""
    probabilities = bundle.predict_proba(rows)
    threshold = bundle.threshold(TARGET)
    waits = np.flatnonzero(probabilities.max(axis=1) < (2.0 if threshold is None else threshold))
    best = probabilities.argmax(axis=1)
    alike = Alike(view.near)
    alike.add([str(i) for i in waits], view.rows(rows[waits]))
    groups: dict[tuple[int, int], list[int]] = {}
    for key, group in alike.group_of.items():
        groups.setdefault((group, int(best[int(key)])), []).append(int(key))
    found: dict[bool, list[bool]] = {True: [], False: []}
    for members in groups.values():
        if len(members) > 1:
            sure = probabilities[members].max(axis=1).mean() >= view.sure
            found[bool(sure)] += [labels[i] == bundle.categories[best[i]] for i in members]
    for sure, right in found.items():
        words = "sure" if sure else "not sure"
        print(f"  of what waits, groups it is {words} of: {len(right)} pictures, {np.mean(right):.0%} as told")


def main() -> None:
    """Print the figures."""
    bundle = Bundle.load(Path(os.environ.get("RETURNSD_BENCH_BUNDLE", EMBEDDED / "retail21")))
    rows, labels = pictures(Path(sys.argv[1]), bundle)
    rows = rows.astype(np.float16).astype(np.float32)
    predicted = [bundle.categories[i] for i in bundle.predict_proba(rows).argmax(axis=1)]
    right = np.mean([label == category for label, category in zip(labels, predicted, strict=True)])
    print(f"{len(rows)} pictures, {right:.0%} predicted rightly; alike ones of one predicted category together:")
    report("by probabilities", views_of(bundle)[0], rows, labels, predicted)
    report_sure(views_of(bundle)[0], bundle, rows, labels)
    few = replace(bundle, categories=bundle.categories[:2])
    report("by directions", views_of(few)[0], rows, labels, predicted)
    report("by basic features", views_of(None)[0], rows, labels, predicted)


if __name__ == "__main__":
    main()

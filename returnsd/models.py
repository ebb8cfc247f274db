"""What an administrator asks about model bundles: which there are, what they know, whether one works here."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from returnsd.bundle import Bundle, find_bundle, list_bundles
from returnsd.config import Config
from returnsd.errors import BundleError
from returnsd.service import bundle_folders, check_model, rule_for, start_pool
from returnsd.words import percent, times

_TARGETS = (0.8, 0.85, 0.9, 0.94, 0.96, 0.98, 0.99)


def list_lines(config: Config, search: Sequence[Path]) -> list[str]:
    """Return a line for each bundle at hand, whole or not; the one in use bears a star."""
    in_use = find_bundle(config.model.bundle, search)
    directories = list_bundles(search)
    if in_use.resolve() not in [directory.resolve() for directory in directories]:
        directories.insert(0, in_use)
    return [_line(directory, "*" if directory.resolve() == in_use.resolve() else " ") for directory in directories]


def _line(directory: Path, star: str) -> str:
    try:
        bundle = Bundle.load(directory)
    except BundleError as error:
        return f"{star} {directory.name}: cannot be used: {error}"
    return f"{star} {directory.name}: {bundle.id}, {len(bundle.categories)} categories, {directory}"


def describe(config: Config, name: str) -> dict[str, object]:
    """Return what a bundle knows, and what each target accuracy would cost."""
    bundle = Bundle.load(find_bundle(name, bundle_folders(config)))
    rule = rule_for(bundle, config)
    return {
        "bundle": bundle.id,
        "directory": str(bundle.directory),
        "categories": list(bundle.categories),
        "target_accuracy": config.model.target_accuracy,
        "threshold": rule.threshold,
        "archived_share": _share(bundle, rule.threshold),
        "targets": [_cost(bundle, config, target) for target in _TARGETS],
        "card": bundle.card,
    }


def sentences(shown: Mapping[str, Any]) -> list[str]:
    """Return what `describe` found as a person reads it; the numbers of the card are left to programs."""
    card = shown["card"]
    said = [
        f"{shown['bundle']}, in {shown['directory']}",
        f"{times(len(shown['categories']), 'category', 'categories')}: {'; '.join(shown['categories'])}",
    ]
    if groups := card.get("groups"):
        said.append("Nearly the same: " + "; ".join(" and ".join(group) for group in groups))
    if learnt := card.get("data", {}).get("train"):
        said.append(
            f"Learnt from {times(learnt, 'picture')} by: {card.get('trained_by', 'a command that is not told')}"
        )
    if (found := card.get("metrics", {}).get("validation")) and found["count"]:
        said.append(
            f"Of {times(found['count'], 'picture')} held back meanwhile: {percent(found['accuracy'], 1)} right,"
            f" {percent(found['top_3'], 1)} with the right category among the best three,"
            f" macro-F1 {found['macro_f1']:.3f}"
        )
    in_force = "never" if shown["threshold"] is None else f"from confidence {shown['threshold']:.3f}"
    said.append(
        f"In force: archived without a person {in_force}, some {percent(shown['archived_share'], 1)} of pictures"
        f" like its calibration pictures (target_accuracy {shown['target_accuracy']})"
    )
    said.append("What model.target_accuracy costs:")
    for cost in shown["targets"]:
        if cost["threshold"] is None:
            said.append(
                f"  {cost['target_accuracy']:<5} nothing is archived: there is no proof that so many are right"
            )
        else:
            share = percent(cost["archived_share"], 1)
            said.append(
                f"  {cost['target_accuracy']:<5} {share:>6} archived, from confidence {cost['threshold']:.3f}"
            )
    said.append("All that the card tells: --json")
    return said


def _cost(bundle: Bundle, config: Config, target: float) -> dict[str, object]:
    model = replace(config.model, target_accuracy=target, threshold=None)
    threshold = rule_for(bundle, replace(config, model=model)).threshold
    return {"target_accuracy": target, "threshold": threshold, "archived_share": _share(bundle, threshold)}


def _share(bundle: Bundle, threshold: float | None) -> float:
    """Return the share of the calibration set that would be archived without a person."""
    confidence = bundle.calibration.confidence
    return 0.0 if threshold is None or not len(confidence) else round(float((confidence >= threshold).mean()), 4)


def check_bundle(config: Config, name: str) -> str:
    """Load a bundle, have a decoder see its known picture; BundleError if anything is not as it should be."""
    begun = time.perf_counter()
    bundle = Bundle.load(find_bundle(name, bundle_folders(config)))
    loaded_ms = (time.perf_counter() - begun) * 1000
    pool = start_pool(replace(config, workers=1), bundle.directory)
    try:
        check_model(pool, bundle)
    finally:
        pool.stop()
    threshold = bundle.threshold(config.model.target_accuracy)
    archives = "archives nothing by itself" if threshold is None else f"archives from {threshold:.3f}"
    return (
        f"{bundle.id}: whole, sees its known picture rightly, loaded in {loaded_ms:.0f} ms;"
        f" at target_accuracy {config.model.target_accuracy} it {archives}"
    )

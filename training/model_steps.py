"""The steps that end with a model or its figures: train, evaluate, analyze; each reads, does, reports, prints."""

import argparse
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from returnsd.bundle import Bundle, forest_inputs
from returnsd.forest import Probabilities
from returnsd.progress import shown
from returnsd.vision.extractor import Extractor
from training import analyze, costs, evaluate, extract, labels, learn, prepare, report, search, train
from training.pages import analysis, evaluation
from training.pages import steps as pages
from training.picture_steps import MANIFEST, REPORTS, opened, page_place, read_learnt, seen_or_none, stored_arrays

_TIMED = 40


def train_step(asked: argparse.Namespace) -> None:
    """Learn what to compare by and what to remember, fit the forest, calibrate it, write the bundle."""
    place = asked.work / asked.name
    if place.exists() and not (place / "card.json").exists():
        raise labels.DataError(f"{place} exists and is no bundle: give the new one another name with --name")
    entries = prepare.read(asked.work / MANIFEST)
    kind = learn.KINDS[asked.kind]
    learnt = read_learnt(asked.work, asked.kind)
    settings = learn.settings_of(learnt, kind)
    _, store = opened(asked.work, learnt, settings)
    categories = train.categories_of(entries)
    groups = _groups(asked.group, categories)
    sides = {split: train.side(entries, store, split) for split in ("train", "validation", "calibration")}
    train.check_all_known(sides["train"], categories)
    seen = _scored(asked, kind, learnt, store, sides["train"], len(categories))
    parameters: dict[str, Any] = {
        "n_estimators": asked.trees,
        "min_samples_leaf": asked.leaf,
        "max_features": asked.max_features,
        "class_weight": asked.class_weight,
        "max_depth": asked.max_depth,
        "oob_score": True,
        "n_jobs": asked.jobs,
        "random_state": asked.seed,
    }
    found: dict[str, Any] = {}
    if asked.search:
        print(f"searching among {search.combinations()} combinations of settings", file=sys.stderr, flush=True)
        searched = search.search(seen.training, sides["train"].truth, asked.seed, asked.jobs)
        parameters |= searched.best
        found = {"search": searched.card()}
    about = {
        "name": asked.name,
        "version": asked.version,
        "trained_by": f"python -m training {shlex.join(asked.command)}",
        "groups": groups,
        "data": {"fingerprint": train.data_fingerprint(entries), "train": len(sides["train"].names)},
        **found,
    }
    print(f"growing {asked.trees} trees", file=sys.stderr, flush=True)
    bundle = train.train(seen, store, sides, categories, place, parameters, about)
    size_mb = sum(path.stat().st_size for path in bundle.directory.iterdir()) / 1e6
    print(f"{bundle.id}, {size_mb:.1f} MB, in {bundle.directory}; on validation pictures:")
    figures, probabilities = _print_figures(bundle, store, sides["validation"], asked.target_accuracy)
    sure = evaluate.intervals(figures, probabilities, sides["validation"].truth, asked.seed)
    threshold = bundle.threshold(asked.target_accuracy)
    counts = {split: len(side.names) for split, side in sides.items()}
    page = pages.trained(bundle, counts, figures, sure, threshold, asked.target_accuracy)
    print(page.write(page_place(asked, "train")))


def _scored(
    asked: argparse.Namespace,
    kind: learn.Kind,
    learnt: dict[str, NDArray[Any]],
    store: extract.Store,
    training: train.Side,
    categories: int,
) -> train.Seen:
    """Return all that the forest is trained on, learning what is not kept already."""
    settings = learn.settings_of(learnt, kind)
    cache = asked.work / "remembered"
    for step in train.learn_to_see(kind, learnt, settings, store, training, categories, cache, asked.seed):
        if isinstance(step, train.Seen):
            return step
        print(f"learning {step}", file=sys.stderr, flush=True)
    raise AssertionError("unreachable")


def _groups(given: list[str], categories: tuple[str, ...]) -> list[list[str]]:
    groups = [[name.strip() for name in group.split("=")] for group in given]
    unknown = sorted({name for group in groups for name in group} - set(categories))
    if unknown or any(len(group) < 2 for group in groups):
        raise labels.DataError(
            f"--group wants categories of the manifest joined by '=', not {', '.join(unknown or given)}"
        )
    return groups


def _bundle(asked: argparse.Namespace) -> Bundle:
    """Return the bundle that was asked for; DataError if there is none."""
    directory: Path = asked.bundle or asked.work / "model"
    if not (directory / "card.json").exists():
        raise labels.DataError(f"there is no bundle in {directory}: give its directory with --bundle")
    return Bundle.load(directory)


def _check_categories(bundle: Bundle, entries: list[prepare.Entry]) -> None:
    if train.categories_of(entries) != bundle.categories:  # in the same order, too: they are known by number
        ours, its = set(train.categories_of(entries)), set(bundle.categories)
        only = "; ".join(
            f"only in the {where}: {', '.join(sorted(names))}"
            for where, names in (("manifest", ours - its), ("bundle", its - ours))
            if names
        )
        raise labels.DataError(f"{bundle.directory} and the manifest have other categories ({only}): train it anew")


def evaluate_step(asked: argparse.Namespace) -> None:
    """Measure a bundle on the test pictures."""
    entries = prepare.read(asked.work / MANIFEST)
    bundle = _bundle(asked)
    _check_categories(bundle, entries)
    _, store = opened(asked.work, stored_arrays(bundle), dict(bundle.card["features"]))
    test = train.side(entries, store, "test")
    rows = train.features(Extractor.load(bundle.directory), store, test.names)
    found = evaluate.evaluate(bundle, rows, test.truth, asked.target_accuracy, asked.seed)
    print(json.dumps(asdict(found.figures), indent=2))
    print(f"accuracy +- {evaluate.margin(found.figures.accuracy, found.figures.count):.4f} (95 % confidence)")
    for remark in evaluate.remarks(found.figures, bundle, asked.target_accuracy):
        print(remark)
    data = json.dumps(evaluate.as_json(found, bundle, asked.target_accuracy), indent=2, ensure_ascii=False)
    print(report.write(asked.work / REPORTS / "evaluate.json", f"{data}\n".encode()))
    print(evaluation.page(found, bundle, test.paths, asked.target_accuracy).write(page_place(asked, "evaluate")))


def _print_figures(
    bundle: Bundle, store: extract.Store, side: train.Side, target_accuracy: float
) -> tuple[evaluate.Figures, Probabilities]:
    rows = train.features(Extractor.load(bundle.directory), store, side.names)
    figures, probabilities = evaluate.measure(bundle, rows, side.truth, target_accuracy)
    print(json.dumps(asdict(figures), indent=2))
    print(f"accuracy +- {evaluate.margin(figures.accuracy, figures.count):.4f} (95 % confidence)")
    return figures, probabilities


def analyze_step(asked: argparse.Namespace) -> None:
    """Tell what each feature and family of a bundle is good for, and what it costs."""
    entries = prepare.read(asked.work / MANIFEST)
    bundle = _bundle(asked)
    _check_categories(bundle, entries)
    extractor = Extractor.load(bundle.directory)
    arrays = stored_arrays(bundle)
    _, store = opened(asked.work, arrays, dict(bundle.card["features"]))
    side = train.side(entries, store, "validation")
    chosen = np.sort(np.random.default_rng(asked.seed).permutation(len(side.names))[: asked.pictures])
    names, truth = [side.names[number] for number in chosen], side.truth[chosen]
    seen = store.rows(names)
    rows = forest_inputs(bundle.memory, extractor.weigh(seen))
    model = analyze.load_model(asked.work / train.MODEL, bundle, rows).set_params(n_jobs=asked.jobs)
    inputs = analyze.inputs_of(bundle, extractor)
    measured = analyze.worths(model, inputs, rows, truth, asked.seed, asked.repeats)
    found = list(shown(measured, len(inputs.families) + len(inputs.names), "families and inputs permuted"))
    permuted = analyze.sights(bundle, extractor, seen, truth, asked.seed, asked.repeats)
    looked_at = list(shown(permuted, len(analyze.sights_of(extractor)), "families that are looked at permuted"))
    refits: dict[str, float] = {}
    if asked.refit:
        kind = learn.KINDS[asked.kind]
        training = train.side(entries, store, "train")
        known = _scored(asked, kind, read_learnt(asked.work, asked.kind), store, training, len(bundle.categories))
        parameters = model.get_params() | {"n_estimators": asked.refit, "oob_score": False}
        grown = analyze.refitted(known.training, training.truth, rows, truth, inputs.families, parameters)
        refits = dict(shown(grown, 1 + len(inputs.families), "forests grown"))
    by_sha256 = {entry.sha256: entry for entry in entries}
    timed = [seen_or_none(by_sha256[name]) for name in names[:_TIMED]]
    cost = costs.costs(bundle, arrays, [picture for picture in timed if picture is not None])
    families, single = found[: len(inputs.families)], found[len(inputs.families) :]
    data = json.dumps(analyze.as_json(bundle.id, len(names), families, single, looked_at, refits, cost), indent=1)
    print(report.write(asked.work / REPORTS / "analyze.json", f"{data}\n".encode()))
    page = analysis.page(bundle, families, single, looked_at, *cost, refits, len(names), asked.refit)
    print(page.write(page_place(asked, "analyze")))
    for one in sorted((*families, *looked_at), key=lambda one: -one.loss_gained):
        print(f"{one.name:20} accuracy {0.0 - 100 * one.accuracy_lost:+6.2f} points without what it says")

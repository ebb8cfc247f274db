"""`python -m training`: from a folder of labelled pictures to a bundle, step by step.

Every step leaves what it found in the work folder, begins with what the step before left there, and goes on where
it was interrupted.
"""

import argparse
import io
import json
import os
import shlex
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from returnsd import config as configuration
from returnsd import disk
from returnsd.bundle import Bundle, remembered
from returnsd.errors import ReturnsdError, Unreadable
from returnsd.forest import Probabilities
from returnsd.progress import shown
from returnsd.vision.extractor import Extractor
from training import (
    analyze,
    costs,
    evaluate,
    explore,
    extract,
    harvest,
    labels,
    learn,
    prepare,
    report,
    search,
    train,
)
from training.pages import analysis, evaluation, exploration
from training.pages import steps as pages

MANIFEST = "manifest.csv"
REPORTS = "reports"
_SAMPLE = 3000
_TIMED = 40
_PLACE = ("--work", "--jobs")
_HARVEST = "turn what people decided into labelled pictures, each decision once"


def main(argv: list[str] | None = None) -> int:
    """Run one step; return the exit code."""
    asked = _parser().parse_args(argv)
    asked.command = _without_place(sys.argv[1:] if argv is None else argv)
    try:
        asked.step(asked)
    except (ReturnsdError, OSError) as error:
        full = isinstance(error, OSError) and error.errno in disk.FULL
        more = ": make room, and the same command goes on from here" if full else ""
        print(f"training: {error}{more}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("training: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _without_place(command: list[str]) -> list[str]:
    """Return a command line without what changes no bundle: where it worked, and with how many processes."""
    kept, words = [], iter(command)
    for word in words:
        if word in _PLACE:
            next(words, None)
        elif not word.startswith(tuple(f"{name}=" for name in _PLACE)):
            kept.append(word)
    return kept


def _explore(asked: argparse.Namespace) -> None:
    pictures, faults = labels.read(
        asked.source, asked.csv, asked.image_column, asked.label_column, asked.split_column
    )
    findings = explore.explore(pictures, faults, asked.jobs)
    print("\n".join(explore.summary(findings)))
    print(exploration.page(findings, str(asked.csv or asked.source), asked.seed).write(_page(asked, "explore")))


def _prepare(asked: argparse.Namespace) -> None:
    pictures, faults = _labelled(asked)
    for fault in faults[:20]:
        print(f"  {fault}")
    if faults:
        print(f"{len(faults)} labels without a picture")
    entries = prepare.prepare(pictures, asked.seed, asked.jobs)
    asked.work.mkdir(parents=True, exist_ok=True)
    prepare.write(entries, asked.work / MANIFEST)
    print("\n".join(prepare.summary(entries)))
    print(pages.prepared(entries, faults, asked.seed).write(_page(asked, "prepare")))


def _labelled(asked: argparse.Namespace) -> tuple[list[labels.Labelled], list[str]]:
    """Return the pictures of the folder or table, and of the harvests, and a line for each that is missing."""
    pictures: list[labels.Labelled] = []
    faults: list[str] = []
    if asked.source is not None or asked.csv is not None or not asked.harvest:
        pictures, faults = labels.read(asked.source, asked.csv, asked.image_column, asked.label_column)
    for line in harvest.read(asked.harvest):
        if Path(line.path).is_file():
            pictures.append(labels.Labelled(Path(line.path), line.label))
        else:
            faults.append(f"item {line.item_id}: {line.path} is not there any more")
    return pictures, faults


def _harvest(asked: argparse.Namespace) -> None:
    try:
        text = asked.config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise labels.DataError(f"{asked.config} cannot be read ({error}): give --config") from error
    config = configuration.parse(text, asked.config.absolute().parent)
    found = harvest.harvest(config.paths, asked.table, archived=asked.archived)
    print("\n".join(harvest.summary(found)))
    print(f"table: {asked.table}, for `prepare --harvest`" if found.lines else "nothing new: no table was written")


def _extract(asked: argparse.Namespace) -> None:
    entries = [entry for entry in prepare.read(asked.work / MANIFEST) if entry.split]
    kind = learn.KINDS[asked.kind]
    learnt = _learn(asked, entries, kind)
    extractor, store = _opened(asked.work, learnt, learn.settings_of(learnt, kind))
    before, began = len(store.place), time.monotonic()
    todo = sum(entry.sha256 not in store.place for entry in entries)
    described = shown(extract.extract(store, entries, extractor, asked.jobs), todo, "pictures described")
    failures = sorted((failed for failed in described if failed is not None), key=lambda failed: failed.path)
    extract.write_failures(failures, asked.work / "failed.csv")
    print(f"{len(store.place)} pictures described by {extractor.width} values each; {len(failures)} failed")
    done, took_s = len(store.place) - before, time.monotonic() - began
    print(pages.extracted(entries, failures, store, extractor, done, took_s).write(_page(asked, "extract")))


def _train(asked: argparse.Namespace) -> None:
    entries = prepare.read(asked.work / MANIFEST)
    kind = learn.KINDS[asked.kind]
    learnt = _learnt(asked.work, asked.kind)
    settings = learn.settings_of(learnt, kind)
    _, store = _opened(asked.work, learnt, settings)
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
    bundle = train.train(seen, store, sides, categories, asked.work / asked.name, parameters, about)
    size_mb = sum(path.stat().st_size for path in bundle.directory.iterdir()) / 1e6
    print(f"{bundle.id}, {size_mb:.1f} MB, in {bundle.directory}; on validation pictures:")
    figures, probabilities = _print_figures(bundle, store, sides["validation"], asked.target_accuracy)
    sure = evaluate.intervals(figures, probabilities, sides["validation"].truth, asked.seed)
    threshold = bundle.threshold(asked.target_accuracy)
    counts = {split: len(side.names) for split, side in sides.items()}
    page = pages.trained(bundle, counts, figures, sure, threshold, asked.target_accuracy)
    print(page.write(_page(asked, "train")))


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
    cache = asked.work / "scores"
    for step in train.learn_scores(kind, learnt, settings, store, training, categories, cache, asked.seed):
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


def _evaluate(asked: argparse.Namespace) -> None:
    entries = prepare.read(asked.work / MANIFEST)
    bundle = Bundle.load(asked.bundle or asked.work / "model")
    if train.categories_of(entries) != bundle.categories:
        raise labels.DataError(f"{bundle.directory} knows other categories than the manifest")
    with np.load(bundle.directory / "features.npz", allow_pickle=False) as arrays:
        _, store = _opened(asked.work, dict(arrays), dict(bundle.card["features"]))
    test = train.side(entries, store, "test")
    rows = train.features(Extractor.load(bundle.directory), store, test.names)
    found = evaluate.evaluate(bundle, rows, test.truth, asked.target_accuracy, asked.seed)
    print(json.dumps(asdict(found.figures), indent=2))
    print(f"accuracy +- {evaluate.margin(found.figures.accuracy, found.figures.count):.4f} (95 % confidence)")
    for remark in evaluate.remarks(found.figures, bundle, asked.target_accuracy):
        print(remark)
    data = json.dumps(evaluate.as_json(found, bundle, asked.target_accuracy), indent=2, ensure_ascii=False)
    print(report.write(asked.work / REPORTS / "evaluate.json", f"{data}\n".encode()))
    print(evaluation.page(found, bundle, test.paths, asked.target_accuracy).write(_page(asked, "evaluate")))


def _analyze(asked: argparse.Namespace) -> None:
    entries = prepare.read(asked.work / MANIFEST)
    bundle = Bundle.load(asked.bundle or asked.work / "model")
    extractor = Extractor.load(bundle.directory)
    with np.load(bundle.directory / "features.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    _, store = _opened(asked.work, arrays, dict(bundle.card["features"]))
    side = train.side(entries, store, "validation")
    chosen = np.sort(np.random.default_rng(asked.seed).permutation(len(side.names))[: asked.pictures])
    names, truth = [side.names[number] for number in chosen], side.truth[chosen]
    rows = remembered(bundle.memory, train.features(extractor, store, names))
    model = analyze.load_model(asked.work / train.MODEL, bundle, rows).set_params(n_jobs=asked.jobs)
    inputs = analyze.inputs_of(bundle, extractor)
    measured = analyze.worths(model, inputs, rows, truth, asked.seed, asked.repeats)
    found = list(shown(measured, len(inputs.families) + len(inputs.names), "families and inputs permuted"))
    refits: dict[str, float] = {}
    if asked.refit:
        kind = learn.KINDS[asked.kind]
        training = train.side(entries, store, "train")
        seen = _scored(asked, kind, _learnt(asked.work, asked.kind), store, training, len(bundle.categories))
        parameters = model.get_params() | {"n_estimators": asked.refit, "oob_score": False}
        grown = analyze.refitted(seen.training, training.truth, rows, truth, inputs.families, parameters)
        refits = dict(shown(grown, 1 + len(inputs.families), "forests grown"))
    by_sha256 = {entry.sha256: entry for entry in entries}
    timed = [_picture(by_sha256[name]) for name in names[:_TIMED]]
    cost = costs.costs(bundle, arrays, [picture for picture in timed if picture is not None])
    families, single = found[: len(inputs.families)], found[len(inputs.families) :]
    data = json.dumps(analyze.as_json(bundle.id, len(names), families, single, refits, cost), indent=1)
    print(report.write(asked.work / REPORTS / "analyze.json", f"{data}\n".encode()))
    page = analysis.page(bundle, families, single, *cost, refits, len(names), asked.refit)
    print(page.write(_page(asked, "analyze")))
    for one in sorted(families, key=lambda one: -one.loss_gained):
        print(f"{one.name:20} accuracy {0.0 - 100 * one.accuracy_lost:+6.2f} points without what it says")


def _page(asked: argparse.Namespace, step: str) -> Path:
    found: Path = asked.work / REPORTS / f"{step}.html"
    return found


def _print_figures(
    bundle: Bundle, store: extract.Store, side: train.Side, target_accuracy: float
) -> tuple[evaluate.Figures, Probabilities]:
    rows = train.features(Extractor.load(bundle.directory), store, side.names)
    figures, probabilities = evaluate.measure(bundle, rows, side.truth, target_accuracy)
    print(json.dumps(asdict(figures), indent=2))
    print(f"accuracy +- {evaluate.margin(figures.accuracy, figures.count):.4f} (95 % confidence)")
    return figures, probabilities


def _learn(asked: argparse.Namespace, entries: list[prepare.Entry], kind: learn.Kind) -> dict[str, NDArray[Any]]:
    kept = asked.work / f"learnt-{asked.kind}.npz"
    training = [entry for entry in entries if entry.split == "train"]
    made_from = (
        f"{train.data_fingerprint(training)} seed {asked.seed} gaussians {asked.gaussians or kind.gaussians}\n"
    )
    said = kept.with_suffix(".txt")
    if kept.exists() and (not said.exists() or said.read_text() == made_from):
        return _learnt(asked.work, asked.kind)
    dice = np.random.default_rng(asked.seed)
    chosen = dice.permutation(len(training))[:_SAMPLE]
    looked_at = shown(chosen, len(chosen), "pictures looked at")
    seen = [_picture(training[position]) for position in looked_at]
    pictures = [picture for picture in seen if picture is not None]
    if not pictures:
        raise labels.DataError(f"none of the {len(training)} training pictures can be seen: run `prepare` again")
    print("learning colours and local descriptors", file=sys.stderr, flush=True)
    learnt = learn.learn(pictures, replace(kind, gaussians=asked.gaussians or kind.gaussians), asked.seed)
    buffer = io.BytesIO()
    np.savez(buffer, **dict[str, Any](learnt))
    disk.replace(kept, buffer.getvalue())
    disk.replace(said, made_from.encode())
    return learnt


def _picture(entry: prepare.Entry) -> NDArray[np.uint8] | None:
    try:
        return extract.picture_of(entry)
    except Unreadable:
        return None  # extracting lists it


def _learnt(work: Path, kind: str) -> dict[str, NDArray[Any]]:
    kept = work / f"learnt-{kind}.npz"
    try:
        with np.load(kept, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError) as error:
        raise labels.DataError(f"{kept}: {error}: run `python -m training extract --kind {kind}` first") from error


def _opened(
    work: Path, learnt: dict[str, NDArray[Any]], settings: dict[str, Any]
) -> tuple[Extractor, extract.Store]:
    extractor = Extractor(learnt, settings)
    return extractor, extract.Store(work / "features" / extract.fingerprint(learnt, settings), extractor.width)


def _features(text: str) -> str | int | float:
    """Return scikit-learn's max_features: a word, how many, or what share."""
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        if text in ("sqrt", "log2"):
            return text
        raise argparse.ArgumentTypeError(f"{text!r} is neither sqrt, log2, a number nor a share like 0.2") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__, allow_abbrev=False)
    steps = parser.add_subparsers(required=True, metavar="STEP")
    cores = len(os.sched_getaffinity(0))

    def step(name: str, does: Any, words: str) -> argparse.ArgumentParser:
        one = steps.add_parser(name, help=words, description=words, allow_abbrev=False)
        one.add_argument("--work", type=Path, default=Path("var/training"), help="where everything is kept")
        one.add_argument("--jobs", type=int, default=cores, help="processes at once (default: one a core)")
        one.add_argument("--seed", type=int, default=1, help="the same data and seed give the same bundle")
        one.add_argument("--target-accuracy", type=float, default=0.94, help="what archived items must reach")
        one.set_defaults(step=does)
        return one

    def labelled(one: argparse.ArgumentParser) -> None:
        one.add_argument("source", type=Path, nargs="?", help="a folder of pictures, or of one folder a category")
        one.add_argument("--csv", type=Path, help="names the pictures and their categories")
        one.add_argument("--image-column", default="ImgId")
        one.add_argument("--label-column", default="categories")

    one = step("explore", _explore, "look at labelled pictures and report what is in them and wrong with them")
    labelled(one)
    one.add_argument("--split-column", help="of the CSV: how the pictures were split already; leaks are reported")
    one = step("prepare", _prepare, "clean the labelled pictures and split them, by content")
    labelled(one)
    one.add_argument(
        "--harvest",
        type=Path,
        action="append",
        default=[],
        help="a table of `harvest` to learn from, too (repeatable)",
    )
    kinds: dict[str, Any] = {"choices": tuple(learn.KINDS), "default": "best"}
    kinds["help"] = "best sees more, fast takes a millisecond"
    one = step("extract", _extract, "describe every picture by what a model of this kind looks at")
    one.add_argument("--kind", **kinds)
    one.add_argument(
        "--gaussians", type=int, help="of each mixture that local descriptors are told by; fewer is faster"
    )
    one = step("train", _train, "learn scores, fit the forest, calibrate it, write the bundle")
    one.add_argument("--kind", **kinds)
    one.add_argument("--name", default="model", help="of the bundle")
    one.add_argument("--version", default="1.0", help="of the bundle")
    one.add_argument(
        "--group", action="append", default=[], metavar="A=B", help="categories that nearly coincide (repeatable)"
    )
    one.add_argument("--trees", type=int, default=200)
    one.add_argument("--leaf", type=int, default=2, help="fewest training pictures in a leaf")
    one.add_argument("--max-features", type=_features, default="sqrt", help="features looked at for each split")
    one.add_argument("--max-depth", type=int, help="of the trees (default: any)")
    one.add_argument(
        "--class-weight",
        choices=("balanced", "balanced_subsample"),
        help="make categories count alike, however many pictures they have",
    )
    one.add_argument(
        "--search",
        action="store_true",
        help="choose leaf, max-features, max-depth and class-weight by cross-validation",
    )
    one = step("evaluate", _evaluate, "measure the bundle on the test pictures")
    one.add_argument("--bundle", type=Path, help="its directory (default: <work>/model)")
    one = step("analyze", _analyze, "tell what each feature and family is good for, and what it costs")
    one.add_argument("--bundle", type=Path, help="its directory (default: <work>/model)")
    one.add_argument("--pictures", type=int, default=1000, help="how many validation pictures to ask")
    one.add_argument("--repeats", type=int, default=3, help="how often each is permuted")
    one.add_argument(
        "--refit", type=int, default=0, metavar="TREES", help="grow so many trees anew without each family, too"
    )
    one.add_argument("--kind", **kinds)
    one = steps.add_parser("harvest", help=_HARVEST, description=_HARVEST, allow_abbrev=False)
    one.add_argument("table", type=Path, help="the CSV to write, for `prepare --harvest`; must not exist")
    one.add_argument("--config", type=Path, default=Path("config.yaml"), help="of the installation")
    one.add_argument("--archived", action="store_true", help="take what the model archived by itself, too")
    one.set_defaults(step=_harvest)
    return parser


if __name__ == "__main__":
    sys.exit(main())

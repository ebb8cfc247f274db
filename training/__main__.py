"""`python -m training`: from a folder of labelled pictures to a bundle, step by step.

Every step leaves what it found in the work folder and begins with what the step before left there.
"""

import argparse
import csv
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from returnsd.bundle import Bundle
from returnsd.errors import ReturnsdError
from returnsd.progress import shown
from returnsd.vision.features import Extractor
from training import evaluate, extract, labels, learn, prepare, train

MANIFEST = "manifest.csv"
LEARNT = "learnt.npz"
_SAMPLE = 3000


def main(argv: list[str] | None = None) -> int:
    """Run one step; return the exit code."""
    asked = _parser().parse_args(argv)
    try:
        asked.step(asked)
    except (ReturnsdError, OSError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("training: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _prepare(asked: argparse.Namespace) -> None:
    pictures, faults = labels.read(asked.source, asked.csv, asked.image_column, asked.label_column)
    for fault in faults[:20]:
        print(f"  {fault}")
    if faults:
        print(f"{len(faults)} labels without a picture")
    entries = prepare.prepare(pictures, asked.seed, asked.jobs)
    asked.work.mkdir(parents=True, exist_ok=True)
    prepare.write(entries, asked.work / MANIFEST)
    print("\n".join(prepare.summary(entries)))


def _extract(asked: argparse.Namespace) -> None:
    entries = [entry for entry in prepare.read(asked.work / MANIFEST) if entry.split]
    learnt = _learnt(asked.work, entries, asked.seed)
    settings = learn.settings_of(learnt)
    store = _store(asked.work, learnt, settings)
    extractor = Extractor(learnt, settings)
    todo = sum(entry.sha256 not in store.place for entry in entries)
    described = extract.extract(store, entries, extractor, asked.jobs)
    failures = [failed for failed in shown(described, todo, "pictures described") if failed is not None]
    with (asked.work / "failed.csv").open("w", newline="", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "reason"])
        writer.writerows((one.path, one.reason) for one in failures)
    print(f"{len(store.place)} pictures described by {len(extractor.names)} features; {len(failures)} failed")


def _train(asked: argparse.Namespace) -> None:
    entries = prepare.read(asked.work / MANIFEST)
    learnt = _read_learnt(asked.work)
    settings = learn.settings_of(learnt)
    data = train.sides(entries, _store(asked.work, learnt, settings), ("train", "validation", "calibration"))
    parameters = {
        "n_estimators": asked.trees,
        "min_samples_leaf": asked.leaf,
        "max_features": asked.max_features,
        "n_jobs": asked.jobs,
        "random_state": asked.seed,
    }
    about = {
        "name": asked.name,
        "version": asked.version,
        "trained_by": f"python -m training {shlex.join(sys.argv[1:])}",
        "data": {"fingerprint": train.data_fingerprint(entries), "train": len(data.truth["train"])},
    }
    bundle = train.train(data, learnt, settings, asked.work / asked.name, parameters, about)
    figures, _ = evaluate.measure(bundle, data.rows["validation"], data.truth["validation"], asked.target_accuracy)
    print(f"{bundle.id} in {bundle.directory}; on validation pictures:")
    print(json.dumps(asdict(figures), indent=2))


def _evaluate(asked: argparse.Namespace) -> None:
    entries = prepare.read(asked.work / MANIFEST)
    learnt = _read_learnt(asked.work)
    store = _store(asked.work, learnt, learn.settings_of(learnt))
    bundle = Bundle.load(asked.bundle or asked.work / "model")
    data = train.sides(entries, store, ("test",))
    if data.categories != bundle.categories:
        raise labels.DataError(f"{bundle.directory} knows other categories than the manifest")
    figures, _ = evaluate.measure(bundle, data.rows["test"], data.truth["test"], asked.target_accuracy)
    print(json.dumps(asdict(figures), indent=2))
    print(f"accuracy +- {evaluate.margin(figures.accuracy, figures.count):.4f} (95 % confidence)")


def _learnt(work: Path, entries: list[prepare.Entry], seed: int) -> dict[str, NDArray[Any]]:
    if (work / LEARNT).exists():
        return _read_learnt(work)
    dice = np.random.default_rng(seed)
    training = [entry for entry in entries if entry.split == "train"]
    chosen = dice.permutation(len(training))[:_SAMPLE]
    looked_at = shown(chosen, len(chosen), "pictures looked at for their colours")
    pictures = [extract.picture_of(training[position]) for position in looked_at]
    learnt: dict[str, NDArray[Any]] = {"palette": learn.learn_palette(pictures, seed)}
    np.savez(work / LEARNT, **dict[str, Any](learnt))
    return learnt


def _read_learnt(work: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(work / LEARNT, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError) as error:
        raise labels.DataError(f"{work / LEARNT}: {error}: run `python -m training extract` first") from error


def _store(work: Path, learnt: dict[str, NDArray[Any]], settings: dict[str, Any]) -> extract.Store:
    return extract.Store(work / "features" / extract.fingerprint(learnt, settings), settings["count"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    steps = parser.add_subparsers(required=True, metavar="STEP")

    def step(name: str, does: Any, words: str) -> argparse.ArgumentParser:
        one = steps.add_parser(name, help=words, description=words)
        one.add_argument("--work", type=Path, default=Path("var/training"), help="where everything is kept")
        one.add_argument("--jobs", type=int, default=1, help="processes at once")
        one.add_argument("--seed", type=int, default=1, help="the same data and seed give the same bundle")
        one.add_argument("--target-accuracy", type=float, default=0.94, help="what archived items must reach")
        one.set_defaults(step=does)
        return one

    one = step("prepare", _prepare, "clean the labelled pictures and split them, by content")
    one.add_argument("source", type=Path, help="a folder of pictures, or of one folder a category")
    one.add_argument("--csv", type=Path, help="names the pictures and their categories")
    one.add_argument("--image-column", default="ImgId")
    one.add_argument("--label-column", default="categories")
    step("extract", _extract, "describe every picture by its features")
    one = step("train", _train, "fit the forest, calibrate it, write the bundle")
    one.add_argument("--name", default="model", help="of the bundle")
    one.add_argument("--version", default="1.0", help="of the bundle")
    one.add_argument("--trees", type=int, default=100)
    one.add_argument("--leaf", type=int, default=2, help="fewest training pictures in a leaf")
    one.add_argument("--max-features", default="sqrt", help="features looked at for each split")
    one = step("evaluate", _evaluate, "measure the bundle on the test pictures")
    one.add_argument("--bundle", type=Path, help="its directory (default: <work>/model)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

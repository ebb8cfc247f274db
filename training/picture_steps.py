"""The steps that begin with pictures: explore, prepare, harvest, extract; each reads, does, reports and prints.

What they find is in the modules they call; here is what lies where in the work folder, and what a person is told.
"""

import argparse
import io
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from returnsd import config as configuration
from returnsd import disk
from returnsd.bundle import Bundle
from returnsd.errors import Unreadable
from returnsd.progress import shown
from returnsd.vision.extractor import Extractor
from training import explore, extract, harvest, labels, learn, prepare, train
from training.pages import exploration
from training.pages import steps as pages

MANIFEST = "manifest.csv"
REPORTS = "reports"
_SAMPLE = 3000


def explore_step(asked: argparse.Namespace) -> None:
    """Look at labelled pictures and report what is in them."""
    pictures, faults = labels.read(
        asked.source, asked.csv, asked.image_column, asked.label_column, asked.split_column
    )
    findings = explore.explore(pictures, faults, asked.jobs)
    print("\n".join(explore.summary(findings)))
    print(
        exploration.page(findings, str(asked.csv or asked.source), asked.seed).write(page_place(asked, "explore"))
    )


def prepare_step(asked: argparse.Namespace) -> None:
    """Write the manifest."""
    pictures, faults = _labelled(asked)
    for fault in faults[:20]:
        print(f"  {fault}")
    if faults:
        print(f"{len(faults)} labels without a picture")
    entries = prepare.prepare(pictures, asked.seed, asked.jobs)
    asked.work.mkdir(parents=True, exist_ok=True)
    prepare.write(entries, asked.work / MANIFEST)
    print("\n".join(prepare.summary(entries)))
    print(pages.prepared(entries, faults, asked.seed).write(page_place(asked, "prepare")))


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


def harvest_step(asked: argparse.Namespace) -> None:
    """Write what people decided since the last harvest as a table."""
    try:
        text = asked.config.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise labels.DataError(f"{asked.config} cannot be read ({error}): give --config") from error
    config = configuration.parse(text, asked.config.absolute().parent)
    found = harvest.harvest(config.paths, asked.table, archived=asked.archived)
    print("\n".join(harvest.summary(found)))
    print(f"table: {asked.table}, for `prepare --harvest`" if found.lines else "nothing new: no table was written")


def extract_step(asked: argparse.Namespace) -> None:
    """Describe every picture of the manifest that is not described yet."""
    entries = [entry for entry in prepare.read(asked.work / MANIFEST) if entry.split]
    kind = learn.KINDS[asked.kind]
    learnt = _learn(asked, entries, kind)
    extractor, store = opened(asked.work, learnt, learn.settings_of(learnt, kind))
    before, began = len(store.place), time.monotonic()
    todo = sum(entry.sha256 not in store.place for entry in entries)
    described = shown(extract.extract(store, entries, extractor, asked.jobs), todo, "pictures described")
    failures = sorted((failed for failed in described if failed is not None), key=lambda failed: failed.path)
    extract.write_failures(failures, asked.work / "failed.csv")
    print(f"{len(store.place)} pictures described by {extractor.width} values each; {len(failures)} failed")
    done, took_s = len(store.place) - before, time.monotonic() - began
    print(pages.extracted(entries, failures, store, extractor, done, took_s).write(page_place(asked, "extract")))


def _learn(asked: argparse.Namespace, entries: list[prepare.Entry], kind: learn.Kind) -> dict[str, NDArray[Any]]:
    kept = asked.work / f"learnt-{asked.kind}.npz"
    training = [entry for entry in entries if entry.split == "train"]
    made_from = (
        f"{train.data_fingerprint(training)} seed {asked.seed} gaussians {asked.gaussians or kind.gaussians}\n"
    )
    said = kept.with_suffix(".txt")
    if kept.exists() and (not said.exists() or said.read_text() == made_from):
        return read_learnt(asked.work, asked.kind)
    dice = np.random.default_rng(asked.seed)
    chosen = dice.permutation(len(training))[:_SAMPLE]
    looked_at = shown(chosen, len(chosen), "pictures looked at")
    seen = [seen_or_none(training[position]) for position in looked_at]
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


def read_learnt(work: Path, kind: str) -> dict[str, NDArray[Any]]:
    """Return what `extract` learnt without labels; DataError if it has not."""
    kept = work / f"learnt-{kind}.npz"
    try:
        with np.load(kept, allow_pickle=False) as stored:
            return dict(stored)
    except (OSError, ValueError) as error:
        raise labels.DataError(f"{kept}: {error}: run `python -m training extract --kind {kind}` first") from error


def opened(
    work: Path, learnt: dict[str, NDArray[Any]], settings: dict[str, Any]
) -> tuple[Extractor, extract.Store]:
    """Return an extractor with what was learnt, and the store of its rows."""
    extractor = Extractor(learnt, settings)
    return extractor, extract.Store(work / "features" / extract.fingerprint(learnt, settings), extractor.width)


def stored_arrays(bundle: Bundle) -> dict[str, NDArray[Any]]:
    """Return the arrays of a bundle's features."""
    with np.load(bundle.directory / "features.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def seen_or_none(entry: prepare.Entry) -> NDArray[np.uint8] | None:
    """Return a picture's pixels; None if they are gone, changed or damaged."""
    try:
        return extract.picture_of(entry)
    except Unreadable:
        return None  # extracting lists it


def page_place(asked: argparse.Namespace, step: str) -> Path:
    """Return where a step's page lies."""
    found: Path = asked.work / REPORTS / f"{step}.html"
    return found

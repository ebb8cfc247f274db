"""What each block of values is worth: accuracy of the memory's scores alone, without a forest, by what it compares.

On the work folder that `python -m training extract --kind best` left: `python -m benchmarks.blocks [WORK]`. Learns
from the training pictures and tells of the validation and calibration pictures; the test pictures are not looked
at. Some minutes, and 3 GB of memory.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from returnsd.memory import Memory
from returnsd.vision.extractor import Extractor
from training import extract, kernel, learn, prepare, train
from training.directions import directions
from training.picture_steps import MANIFEST, opened, read_learnt

SEED = 1
SAMPLE = 6000  # pictures that directions are learnt from
COMPARED: Mapping[str, tuple[str, ...]] = {
    "basic": ("basic",),
    "grids": ("grids",),
    "basic and grids": ("basic", "grids"),
    "gradients": ("gradients",),
    "colours": ("colours",),
    "all": ("basic", "grids", "gradients", "colours"),
}


def accuracy(kind: learn.Kind, work: Path, store: extract.Store) -> float:
    """Return how many unseen pictures the memory's highest score names rightly."""
    entries = prepare.read(work / MANIFEST)
    categories = len(train.categories_of(entries))
    learnt = dict(read_learnt(work, "best"))
    settings = learn.settings_of(learnt, learn.KINDS["best"])
    extractor = Extractor(learnt, settings)
    training = train.side(entries, store, "train")
    sample = [training.names[i] for i in np.random.default_rng(SEED).permutation(len(training.names))[:SAMPLE]]
    for name, count in kind.near.items():
        rows = store.rows(sample, extractor.columns([name]))
        learnt |= directions(name, rows, count, kind.shares[name], SEED)
    extractor = Extractor(learnt, settings | {"near": list(kind.near)})
    vectors = train.features(extractor, store, training.names)[:, -extractor.directions :]
    memory = Memory(kernel.fit(vectors, training.truth, categories, kind.penalty, SEED).arrays(), categories)
    right = 0
    sides = [train.side(entries, store, split) for split in ("validation", "calibration")]
    for side in sides:
        found = memory(train.features(extractor, store, side.names)[:, -extractor.directions :])
        right += int((found[:, :categories].argmax(axis=1) == side.truth).sum())
    return right / sum(len(side.names) for side in sides)


def main() -> None:
    """Print the figures."""
    work = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("var/training")
    best = learn.KINDS["best"]
    learnt = read_learnt(work, "best")
    _, store = opened(work, learnt, learn.settings_of(learnt, best))
    for words, blocks in COMPARED.items():
        near = {name: best.near[name] for name in blocks}
        whole = sum(best.shares[name] for name in blocks)
        kind = replace(best, near=near, shares={name: best.shares[name] / whole for name in blocks})
        print(f"  by {words:<16} in {sum(near.values())} dimensions: {accuracy(kind, work, store):.3f}", flush=True)


if __name__ == "__main__":
    main()

"""What each block of values is worth: accuracy of the memory's scores alone, without a forest, by what it compares.

On the work folder that `python -m training extract --kind best` left: `python -m benchmarks.blocks [WORK]`. Learns
from the training pictures and tells of the validation and calibration pictures; the test pictures are not looked
at. Some minutes, and 3 GB of memory.
"""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from returnsd.memory import Memory
from returnsd.vision.extractor import Extractor
from training import extract, learn, prepare, train
from training.picture_steps import MANIFEST, opened, read_learnt

SEED = 1
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
    learnt = read_learnt(work, "best")
    settings = learn.settings_of(learnt, learn.KINDS["best"])
    training, cache = train.side(entries, store, "train"), work / "remembered"
    *_, seen = train.learn_to_see(kind, learnt, settings, store, training, categories, cache, SEED)
    assert isinstance(seen, train.Seen)
    assert seen.memory is not None
    extractor, memory = Extractor(seen.arrays, seen.settings), Memory(seen.memory, categories)
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

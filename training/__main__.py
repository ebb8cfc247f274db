"""`python -m training`: from a folder of labelled pictures to a bundle, step by step.

Every step leaves what it found in the work folder, begins with what the step before left there, and goes on where
it was interrupted.
"""

import argparse
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from returnsd import disk
from returnsd.errors import ReturnsdError
from training import learn
from training.model_steps import analyze_step, evaluate_step, train_step
from training.picture_steps import explore_step, extract_step, harvest_step, prepare_step

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


def _features(text: str) -> str | int | float:
    """Return scikit-learn's max_features: a word, how many, or what share."""
    try:
        return 1.0 if text == "1.0" else _share(text) if "." in text else _whole(1)(text)
    except argparse.ArgumentTypeError:
        if text in ("sqrt", "log2"):
            return text
        raise argparse.ArgumentTypeError(f"{text!r} is neither sqrt, log2, a number nor a share like 0.2") from None


def _whole(least: int) -> Callable[[str], int]:
    """Return how argparse reads a whole number of at least so much."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} up")
        return int(text)

    return read


def _share(text: str) -> float:
    """Return a share above 0 and below 1."""
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0.0 < share < 1.0:
        raise argparse.ArgumentTypeError(f"{text!r} is no share between 0 and 1, like 0.94 for 94 %")
    return share


def _bundle_name(text: str) -> str:
    """Return a name for a bundle's folder in the work folder."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no name of letters, digits, '.', '_' and '-'")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__, allow_abbrev=False)
    steps = parser.add_subparsers(required=True, metavar="STEP")
    cores = len(os.sched_getaffinity(0))

    def step(name: str, does: Any, words: str) -> argparse.ArgumentParser:
        one = steps.add_parser(name, help=words, description=words, allow_abbrev=False)
        one.add_argument("--work", type=Path, default=Path("var/training"), help="where everything is kept")
        one.add_argument("--jobs", type=_whole(1), default=cores, help="processes at once (default: one a core)")
        one.add_argument("--seed", type=_whole(0), default=1, help="the same data and seed give the same bundle")
        one.add_argument("--target-accuracy", type=_share, default=0.94, help="what archived items must reach")
        one.set_defaults(step=does)
        return one

    def labelled(one: argparse.ArgumentParser) -> None:
        one.add_argument("source", type=Path, nargs="?", help="a folder of pictures, or of one folder a category")
        one.add_argument("--csv", type=Path, help="names the pictures and their categories")
        one.add_argument("--image-column", default="ImgId")
        one.add_argument("--label-column", default="categories")

    one = step("explore", explore_step, "look at labelled pictures and report what is in them and wrong with them")
    labelled(one)
    one.add_argument("--split-column", help="of the CSV: how the pictures were split already; leaks are reported")
    one = step("prepare", prepare_step, "clean the labelled pictures and split them, by content")
    labelled(one)
    one.add_argument(
        "--harvest",
        type=Path,
        action="append",
        default=[],
        help="a table of `harvest` to learn from, too (repeatable)",
    )
    kinds: dict[str, Any] = {"choices": tuple(learn.KINDS), "default": "best"}
    kinds["help"] = "best sees more, fast takes a fifth of the time"
    one = step("extract", extract_step, "describe every picture by what a model of this kind looks at")
    one.add_argument("--kind", **kinds)
    one.add_argument(
        "--gaussians", type=_whole(1), help="of each mixture that local descriptors are told by; fewer is faster"
    )
    one = step("train", train_step, "learn what to compare by, grow the forest, calibrate it, write the bundle")
    one.add_argument("--kind", **kinds)
    one.add_argument("--name", type=_bundle_name, default="model", help="of the bundle")
    one.add_argument("--version", default="1.0", help="of the bundle")
    one.add_argument(
        "--group", action="append", default=[], metavar="A=B", help="categories that nearly coincide (repeatable)"
    )
    one.add_argument("--trees", type=_whole(1), default=200)
    one.add_argument("--leaf", type=_whole(1), default=3, help="fewest training pictures in a leaf")
    one.add_argument("--max-features", type=_features, default=3, help="features looked at for each split")
    one.add_argument("--max-depth", type=_whole(1), help="of the trees (default: any)")
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
    one = step("evaluate", evaluate_step, "measure the bundle on the test pictures")
    one.add_argument("--bundle", type=Path, help="its directory (default: <work>/model)")
    one = step("analyze", analyze_step, "tell what each feature and family is good for, and what it costs")
    one.add_argument("--bundle", type=Path, help="its directory (default: <work>/model)")
    one.add_argument("--pictures", type=_whole(1), default=1000, help="how many validation pictures to ask")
    one.add_argument("--repeats", type=_whole(1), default=3, help="how often each is permuted")
    one.add_argument(
        "--refit",
        type=_whole(0),
        default=0,
        metavar="TREES",
        help="grow so many trees without each family, too",
    )
    one.add_argument("--kind", **kinds)
    one = steps.add_parser("harvest", help=_HARVEST, description=_HARVEST, allow_abbrev=False)
    one.add_argument("table", type=Path, help="the CSV to write, for `prepare --harvest`; must not exist")
    one.add_argument("--config", type=Path, default=Path("config.yaml"), help="of the installation")
    one.add_argument("--archived", action="store_true", help="take what the model archived by itself, too")
    one.set_defaults(step=harvest_step)
    return parser


if __name__ == "__main__":
    sys.exit(main())

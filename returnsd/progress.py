"""Progress of long work: a bar on a terminal, a plain line now and then elsewhere (cron, a pipe, a journal)."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

_EVERY_S = 10.0


def shown(things: Iterable[T], total: int, what: str) -> Iterator[T]:
    """Yield the things while showing on stderr how far along they are; `what` names them ("rows checked")."""
    if sys.stderr.isatty():
        yield from tqdm(things, desc=what, total=total, unit="", dynamic_ncols=True, leave=False)
        return
    told_at = time.monotonic()
    for done, thing in enumerate(things, 1):
        yield thing
        if time.monotonic() - told_at >= _EVERY_S:
            told_at = time.monotonic()
            print(f"{what}: {done} of {total}", file=sys.stderr, flush=True)


class Counting:
    """Progress of work whose end is not known: so many done, so many waiting."""

    def __init__(self, what: str) -> None:
        self._bar = tqdm(desc=what, unit="", dynamic_ncols=True, leave=False, disable=not sys.stderr.isatty())
        self._what = what
        self._told_at = time.monotonic()

    def tell(self, done: int, waiting: int) -> None:
        """Show the counts."""
        self._bar.total = done + waiting
        self._bar.update(done - self._bar.n)
        if self._bar.disable and time.monotonic() - self._told_at >= _EVERY_S:
            self._told_at = time.monotonic()
            print(f"{self._what}: {done}, waiting: {waiting}", file=sys.stderr, flush=True)

    def __enter__(self) -> "Counting":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

"""A clerk: one thread that owns a resource which may be used from one thread only, such as a ledger connection.

Tasks of the event loop ask it and wait for the answer without holding up anyone else. How many questions may wait
is bounded: beyond that the client is told to come again.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, Protocol, TypeVar

from returnsd.web.problems import Busy

_MOST_WAITING = 500


class Closeable(Protocol):
    """What a clerk can own."""

    def close(self) -> None:
        """Give back what is open."""


T = TypeVar("T", bound=Closeable)
R = TypeVar("R")


class Clerk(Generic[T]):
    """Answers questions about one resource, one after the other."""

    def __init__(self, name: str, open_it: Callable[[], T]) -> None:
        """Open the resource in the thread that will use it; raises what opening raises."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._waiting = 0
        try:
            self._owned: T = self._thread.submit(open_it).result()
        except BaseException:
            self._thread.shutdown()
            raise

    async def ask(self, question: Callable[[T], R]) -> R:
        """Return the answer to a question about the resource; Busy if too many wait for theirs."""
        if self._waiting >= _MOST_WAITING:
            raise Busy
        self._waiting += 1
        try:
            return await asyncio.wrap_future(self._thread.submit(question, self._owned))
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Answer what was asked, then give the resource back."""
        self._thread.submit(self._owned.close).result()
        self._thread.shutdown()

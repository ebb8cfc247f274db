"""Places: how many pictures one client may have under way at once, so that no one client takes them all.

A client is an address; all programs on this machine are one client. The judge bounds the sum of all clients.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from returnsd.web.problems import TooMany

MOST_A_CLIENT = 96


class Places:
    """Counts what each client has under way. Use from the event loop's thread."""

    def __init__(self, most: int = MOST_A_CLIENT) -> None:
        """Allow each client so many pictures at once."""
        self._most = most
        self._taken: Counter[str] = Counter()

    @contextmanager
    def taken(self, client: str, pictures: int = 1) -> Iterator[None]:
        """Hold places for the block; TooMany if the client has its share already.

        One request may bring more pictures than the share: it holds all of it, so that the client has nothing else
        under way beside it; of its pictures, too, only some are asked at once.
        """
        places = min(pictures, self._most)
        if self._taken[client] + places > self._most:
            raise TooMany(self._most)
        self._taken[client] += places
        try:
            yield
        finally:
            self._taken[client] -= places
            if not self._taken[client]:
                del self._taken[client]

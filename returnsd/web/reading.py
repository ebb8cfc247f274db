"""What the page reads: the waiting room, searches and stories, brought up to date whenever someone asks.

Belongs to one thread (a clerk's). Nothing here writes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from returnsd.bundle import Bundle
from returnsd.history import History, Standing
from returnsd.web.waiting import Order, Section, WaitingRoom


@dataclass(frozen=True, slots=True)
class Waiting:
    """A look at the waiting room: its version, how many wait, and some of them in order."""

    version: int
    count: int
    sections: list[Section]


@dataclass(frozen=True, slots=True)
class Glance:
    """What changed in the waiting room since a version, and who else looks at what (by item id)."""

    version: int
    count: int
    gone: list[str]
    others: dict[str, str]


class Reading:
    """The ledger's readers and the waiting room over them. Use from one thread."""

    def __init__(self, ledger: Path, bundle: Callable[[], Bundle]) -> None:
        """Open the ledger for reading; `bundle` tells the model in force."""
        self.history = History(ledger)
        self._bundle = bundle
        self.room = WaitingRoom()

    def close(self) -> None:
        """Close the ledger."""
        self.history.close()

    def waiting(self, order: Order, limit: int, passing_over: Sequence[str] = ()) -> Waiting:
        """Return up to `limit` items that wait, most useful first."""
        self.room.refresh(self.history, self._bundle())
        skipped = set(passing_over)
        sections: list[Section] = []
        left = limit
        for section in self.room.arrange(order):
            items = [verdict for verdict in section.items if verdict.item_id not in skipped][:left]
            if items:
                sections.append(Section(section.key, section.category, section.alike and len(items) > 1, items))
                left -= len(items)
            if not left:
                break
        return Waiting(self.room.version, self.room.count, sections)

    def count(self) -> int:
        """Return how many items wait."""
        self.room.refresh(self.history, self._bundle())
        return self.room.count

    def glance(self, version: int, client: str, by: str, items: Sequence[str], now: float) -> Glance:
        """Note what a person looks at, and return what is new to that person (now: monotonic seconds)."""
        self.room.refresh(self.history, self._bundle())
        others = self.room.look(client, by, items, now)
        return Glance(self.room.version, self.room.count, self.room.gone_since(version), others)

    def let_go(self, item_ids: Sequence[str]) -> None:
        """Let items leave the waiting room that cannot be decided."""
        for item_id in item_ids:
            self.room.remove(item_id)

    def standing(self, item_id: str) -> Standing | None:
        """Return how an item stands; None if it has no row. Quick for what waits."""
        held = self.room.held.get(item_id)
        return self.history.standing(item_id) if held is None else Standing(0, held, None)

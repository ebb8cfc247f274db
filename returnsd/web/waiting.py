"""The waiting room: what waits in review, in memory, brought up to date from the ledger, in a useful order.

The ledger holds the truth; this only saves asking it. `refresh` reads what is new since the last time. A bounded
number is held, the oldest; the rest comes in as places become free. `others` tells who is looking at what, so that
two people do not work on the same pictures without knowing.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from returnsd.bundle import Bundle
from returnsd.history import History
from returnsd.records import Shelf, Verdict
from returnsd.web.alike import Alike
from returnsd.web.view import views_of

Order = Literal["alike", "oldest", "unsure"]

MOST_HELD = 10_000
_MOST_GONE = 5_000
_PRESENT_S = 12.0


@dataclass(frozen=True, slots=True)
class Section:
    """Items that stand together on the page: alike pictures, or single ones that look like the same category."""

    key: str
    category: str | None
    alike: bool
    items: list[Verdict]


@dataclass(slots=True)
class _Present:
    by: str
    at: float
    items: tuple[str, ...] = ()


@dataclass(slots=True)
class WaitingRoom:
    """What waits. Use from one thread."""

    version: int = 0
    held: dict[str, Verdict] = field(default_factory=dict)
    beyond: int = 0
    _alike: dict[tuple[float, str], Alike] = field(default_factory=dict)  # by how sure a view wants it, and model
    _seen_to: int = 0
    _decided_to: int | None = None
    _gone: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=_MOST_GONE))
    _present: dict[str, _Present] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many wait, those beyond the bound too."""
        return len(self.held) + self.beyond

    def refresh(self, history: History, bundle: Bundle | None = None) -> None:
        """Take in what is new in the ledger: items that wait now, and decisions of anyone.

        :param bundle: the model in force; what it says of the pictures that it judged tells which are alike.
        """
        if self._decided_to is None:
            self._decided_to = history.newest_decision()
        again: list[str] = []
        for seq, decision in history.decided_since(self._decided_to):
            self._decided_to = seq
            if decision.withdrawn and decision.shelf is Shelf.REVIEW:
                again.append(decision.item_id)
            else:
                self.remove(decision.item_id)
                again = [item for item in again if item != decision.item_id]
        arrivals = list(history.verdicts(again).values()) if again else []
        newest = history.newest_verdict()  # before looking: what is recorded meanwhile is found the next time
        places = MOST_HELD - len(self.held)
        found = history.waiting(self._seen_to, places)
        arrivals += [verdict for _, verdict in found]
        if len(found) < places:
            self._seen_to = max(self._seen_to, newest, *(seq for seq, _ in found))
        elif found:
            self._seen_to = found[-1][0]
        self.beyond = history.waiting_beyond(self._seen_to) if len(self.held) + len(arrivals) >= MOST_HELD else 0
        self._admit(history, arrivals, bundle)

    def _admit(self, history: History, arrivals: Sequence[Verdict], bundle: Bundle | None) -> None:
        new = [verdict for verdict in arrivals if verdict.item_id not in self.held]
        if not new:
            return
        self.version += 1
        self.held.update((verdict.item_id, verdict) for verdict in new)
        vectors = history.vectors([verdict.item_id for verdict in new])
        by_model: dict[str, list[str]] = {}
        for item_id in vectors:
            by_model.setdefault(self.held[item_id].model, []).append(item_id)
        for model, keys in by_model.items():
            rows = np.stack([vectors[key] for key in keys])
            for view in views_of(bundle if bundle is not None and bundle.id == model else None):
                self._alike.setdefault((view.sure, model), Alike(view.near)).add(keys, view.rows(rows))

    def remove(self, item_id: str) -> None:
        """Let an item go: it was decided, or does not wait after all."""
        verdict = self.held.pop(item_id, None)
        if verdict is not None:
            self.version += 1
            self._gone.append((self.version, item_id))
            for alike in self._alike.values():
                alike.remove(item_id)

    def gone_since(self, version: int) -> list[str]:
        """Return the ids of the items that left after a version of this room."""
        return [item_id for at, item_id in self._gone if at > version]

    # --- the order

    def arrange(self, order: Order) -> list[Section]:
        """Return all that is held as sections, most useful first.

        `alike`: one key settles a group, so the largest groups come first; then the single ones by predicted
        category, surest first, because a run of the same category goes fastest. `oldest` and `unsure` (lowest
        confidence first) are one section each.
        """
        if order != "alike":
            items = sorted(self.held.values(), key=_unsure if order == "unsure" else _age)
            return [Section(order, None, False, items)] if items else []
        groups: list[Section] = []
        grouped: set[str] = set()
        for (sure, _), alike in sorted(self._alike.items(), key=lambda entry: -entry[0][0]):
            for members in alike.members.values():
                for items in self._same_category(member for member in members if member not in grouped):
                    if len(items) > 1 and _mean_confidence(items) >= sure:
                        groups.append(Section(f"g-{items[0].item_id}", items[0].category, True, items))
                        grouped.update(item.item_id for item in items)
        single = [verdict for item_id, verdict in self.held.items() if item_id not in grouped]
        groups.sort(key=lambda section: (-len(section.items), section.items[0].item_id))
        return groups + by_category(single)

    def _same_category(self, members: Iterable[str]) -> list[list[Verdict]]:
        """Return alike items by their predicted category: the same key will settle them more often."""
        parts: dict[str | None, list[Verdict]] = {}
        for verdict in sorted((self.held[item_id] for item_id in members), key=_age):
            parts.setdefault(verdict.category, []).append(verdict)
        return list(parts.values())

    # --- who looks at what

    def look(self, client: str, by: str, items: Iterable[str], now: float) -> dict[str, str]:
        """Note what a person looks at (monotonic seconds); return who else looks at which items, by item id."""
        self._present = {key: one for key, one in self._present.items() if now - one.at < _PRESENT_S}
        self._present[client] = _Present(by, now, tuple(items))
        return {
            item_id: one.by or "someone"
            for key, one in self._present.items()
            if key != client
            for item_id in one.items
        }


def _mean_confidence(items: Sequence[Verdict]) -> float:
    return sum(item.confidence or 0.0 for item in items) / len(items)


def by_category(items: Sequence[Verdict]) -> list[Section]:
    """Return items by their predicted category, the largest first, in each the surest first."""
    by_category: dict[str, list[Verdict]] = {}
    for verdict in sorted(items, key=_sure):
        by_category.setdefault(verdict.category or "", []).append(verdict)
    largest_first = sorted(by_category.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return [Section(f"c-{category}", category or None, False, found) for category, found in largest_first]


def _age(verdict: Verdict) -> str:
    return verdict.item_id


def _sure(verdict: Verdict) -> tuple[float, str]:
    return (-(verdict.confidence or 0.0), verdict.item_id)


def _unsure(verdict: Verdict) -> tuple[float, str]:
    return (verdict.confidence or 0.0, verdict.item_id)

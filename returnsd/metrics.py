"""What the running worker counts, for `returnsd status`, the systemd status line and, later, Prometheus.

Pure but for nothing: counters since the start and a rate over the last minute. The ledger holds the truth
about items; this only tells how the process is doing.
"""

from collections import Counter, deque
from dataclasses import dataclass, field

from returnsd.records import Verdict

_WINDOW_S = 60.0


@dataclass(slots=True)
class Tally:
    """Counts since the process started; `obstacle` is the problem in words, and what to do about it."""

    shelves: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    problem: str | None = None
    obstacle: tuple[str, str] | None = None
    last_error: str | None = None
    doorbell_trouble: str | None = None
    _moments: deque[tuple[float, int]] = field(default_factory=deque)

    def count(self, verdict: Verdict) -> None:
        """Count one shelved item."""
        self.shelves[verdict.shelf.value] += 1
        self.reasons[verdict.reason] += 1

    @property
    def total(self) -> int:
        """How many items were shelved since the start."""
        return self.shelves.total()

    def per_second(self, now: float) -> float:
        """Return the items shelved per second over the last minute, as far as it was asked for."""
        self._moments.append((now, self.total))
        while self._moments[0][0] < now - _WINDOW_S:
            self._moments.popleft()
        (then, before), (_, total) = self._moments[0], self._moments[-1]
        return (total - before) / (now - then) if now > then else 0.0

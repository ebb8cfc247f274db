"""The pulse: how the whole installation is doing, asked at most every few seconds however many want to know.

What `returnsd status` tells, for the probes, the statistics and the dashboard.
"""

import asyncio
import shutil
import time
from dataclasses import dataclass
from typing import Any

from returnsd.config import Config
from returnsd.status import gather

_FRESH_S = 2.0


@dataclass(frozen=True, slots=True)
class Beat:
    """One look: what `status.gather` found, and the free and total bytes of the disk that holds the state."""

    found: dict[str, Any]
    free_bytes: int
    total_bytes: int

    @property
    def service(self) -> dict[str, Any] | None:
        """What the running worker last told; None if none runs."""
        return self.found["service"] if self.found["running"] else None

    @property
    def problem(self) -> str | None:
        """Why the worker takes nothing in, if it does not."""
        return None if self.service is None else self.service["problem"]


class Pulse:
    """Looks, and remembers for a moment. Use from the event loop."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._beat: Beat | None = None
        self._at = float("-inf")
        self._looking = asyncio.Lock()

    async def feel(self, config: Config) -> Beat:
        """Return how things stand, at most a few seconds ago."""
        async with self._looking:
            if self._beat is None or time.monotonic() - self._at > _FRESH_S:
                self._beat = await asyncio.to_thread(_look, config)
                self._at = time.monotonic()
            return self._beat


def _look(config: Config) -> Beat:
    disk = shutil.disk_usage(config.paths.state)
    return Beat(gather(config), disk.free, disk.total)

"""Previews: small JPEGs of items' pictures, made by the decoders when first asked for and kept for a while.

The bytes of an item never change, so a preview may be kept as long as there is room. Only a few sizes are made.
"""

import asyncio
import os
from collections import OrderedDict
from pathlib import Path

from returnsd import disk
from returnsd.errors import Unreadable
from returnsd.records import Decision, Verdict
from returnsd.spool import Spool
from returnsd.web.judge import Judge

SIZES_PX = (320, 800, 1600)
"""The longest sides in pixels: in the grid, beside it, and zoomed."""

_MOST_BYTES = 96 << 20


class Previews:
    """Finds items' files and has previews made of them. Use from the event loop."""

    def __init__(self, judge: Judge, spool: Spool, limit_bytes: int) -> None:
        """Begin without any."""
        self._judge = judge
        self._spool = spool
        self._limit_bytes = limit_bytes
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._kept_bytes = 0
        self._being_made: dict[tuple[str, int], asyncio.Task[bytes | None]] = {}

    def kept(self, item_id: str, longest_px: int) -> bytes | None:
        """Return a preview that was made before."""
        key = (item_id, longest_px)
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    async def make(
        self, item_id: str, longest_px: int, verdict: Verdict | None, decision: Decision | None
    ) -> bytes | None:
        """Return a preview; None if its file is nowhere, or nothing can be seen in it. Busy if too much is asked.

        :param decision: the one in force; `verdict` and it say where the file should lie.
        """
        key = (item_id, longest_px)
        if key not in self._being_made:
            task = asyncio.create_task(self._make(item_id, longest_px, verdict, decision))
            self._being_made[key] = task
            task.add_done_callback(lambda _: self._being_made.pop(key, None))
        # shielded: whoever asked first may hang up, the others still wait for it
        return await asyncio.shield(self._being_made[key])

    async def _make(
        self, item_id: str, longest_px: int, verdict: Verdict | None, decision: Decision | None
    ) -> bytes | None:
        data = await asyncio.to_thread(self.read, item_id, verdict, decision)
        if data is None:
            return None
        preview = await self._judge.preview(data, longest_px)
        if preview is not None:
            self._keep((item_id, longest_px), preview)
        return preview

    def _keep(self, key: tuple[str, int], preview: bytes) -> None:
        self._kept[key] = preview
        self._kept_bytes += len(preview)
        while self._kept_bytes > _MOST_BYTES:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= len(dropped)

    def read(self, item_id: str, verdict: Verdict | None, decision: Decision | None) -> bytes | None:
        """Return the bytes of an item's file (in any thread); None if it is nowhere or larger than is decoded."""
        for _ in range(2):  # it may be moved between finding and opening
            path = self.find(item_id, verdict, decision)
            if path is None:
                return None
            try:
                descriptor = disk.open_regular(path)
            except FileNotFoundError:
                continue
            except (OSError, Unreadable):
                return None
            try:
                return disk.read(descriptor, self._limit_bytes).data
            finally:
                os.close(descriptor)
        return None

    def find(self, item_id: str, verdict: Verdict | None, decision: Decision | None) -> Path | None:
        """Return where an item's file lies (in any thread); None if it is nowhere where it should be."""
        if verdict is not None:
            places = self._spool.expected_places(verdict, decision) + self._spool.expected_places(verdict, None)
            folders = list(dict.fromkeys(place.parent for place in places))
            found = self._spool.find_below(item_id, verdict.file_name, folders)
            if found is not None:
                return found
        queued = self._spool.find_queued(item_id)
        return None if queued is None else queued.path

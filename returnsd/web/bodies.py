"""Bodies: a request's body is read whole, within its limit and in time, before anyone looks at it.

So a slow client holds a connection and nothing else, an oversized one is told at once, and what all clients
together make us hold in memory is bounded. What is refused is refused before the body is read, where its length
was announced.
"""

import asyncio

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from returnsd.web.problems import Busy, Problem, TooLarge, TooSlow
from returnsd.web.security import answer

SMALL_BYTES = 1 << 20
MOST_HELD_BYTES = 384 << 20
PAUSE_S = 10.0
"""How long a client may send nothing."""

_LEAST_BYTES_S = 64 << 10
_GRACE_S = 20.0
_DRAIN_BYTES = 16 << 20
_DRAIN_S = 1.0
_WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")


class Bodies:
    """Middleware that hands on whole bodies."""

    def __init__(self, app: ASGIApp, *, large: dict[str, int]) -> None:
        """Guard an application; `large` is how many bytes are taken on some paths, SMALL_BYTES elsewhere."""
        self._app = app
        self._large = large
        self._held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, then let the application answer."""
        if scope["type"] != "http" or scope["method"] in _WITHOUT_BODY:
            await self._app(scope, receive, send)
            return
        reading = _Reading(self, self._large.get(scope["path"], SMALL_BYTES), Headers(scope=scope))
        try:
            body = await reading.whole(receive, PAUSE_S)
        except Problem as problem:
            reading.give_back()
            await _drain(receive)
            await answer(scope["path"], problem)(scope, receive, send)
            return
        except _Gone:
            reading.give_back()
            return
        try:
            await self._app(scope, _replay(body, receive), send)
        finally:
            reading.give_back()

    def hold(self, size_bytes: int) -> None:
        """Count bytes that are held; Busy if it would be too many."""
        if self._held_bytes + size_bytes > MOST_HELD_BYTES:
            raise Busy(2)
        self._held_bytes += size_bytes

    def release(self, size_bytes: int) -> None:
        """Count bytes that are held no longer."""
        self._held_bytes -= size_bytes


class _Gone(Exception):  # noqa: N818 (a state of affairs)
    """The client hung up."""


class _Reading:
    """One body on its way."""

    def __init__(self, bodies: Bodies, limit_bytes: int, headers: Headers) -> None:
        self._bodies = bodies
        self._limit_bytes = limit_bytes
        announced = headers.get("content-length", "")
        self._announced = int(announced) if announced.isdecimal() else None
        self._held_bytes = 0

    async def whole(self, receive: Receive, pause_s: float) -> bytes:
        """Return the body; TooLarge, TooSlow, Busy, or _Gone."""
        if (self._announced or 0) > self._limit_bytes:
            raise TooLarge(self._limit_bytes)
        self._hold(self._announced or 0)
        parts: list[bytes] = []
        size_bytes = 0
        clock = asyncio.get_running_loop().time
        began = clock()
        while True:
            patience_s = _GRACE_S + size_bytes / _LEAST_BYTES_S - (clock() - began)
            try:
                message = await asyncio.wait_for(receive(), max(0.0, min(pause_s, patience_s)))
            except TimeoutError as error:
                raise TooSlow from error
            if message["type"] == "http.disconnect":
                raise _Gone
            part = message.get("body", b"")
            size_bytes += len(part)
            if size_bytes > self._limit_bytes:
                raise TooLarge(self._limit_bytes)
            self._hold(max(0, size_bytes - self._held_bytes))
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts) if len(parts) > 1 else part

    def _hold(self, size_bytes: int) -> None:
        self._bodies.hold(size_bytes)
        self._held_bytes += size_bytes

    def give_back(self) -> None:
        """Hold nothing any more."""
        self._bodies.release(self._held_bytes)
        self._held_bytes = 0


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives the whole body first."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def _drain(receive: Receive) -> None:
    """Take in some of what a refused client still sends: it reads the answer only when it is done sending."""
    drained = 0
    deadline = asyncio.get_running_loop().time() + _DRAIN_S
    while drained < _DRAIN_BYTES:
        try:
            message = await asyncio.wait_for(receive(), max(0.0, deadline - asyncio.get_running_loop().time()))
        except TimeoutError:
            return
        drained += len(message.get("body", b""))
        if not message.get("more_body", False):
            return

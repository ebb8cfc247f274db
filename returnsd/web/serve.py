"""Serves the page and the API: binds, opens the desk, tells systemd, and ends in good order.

SIGTERM and Ctrl-C answer what is under way and end within a few seconds; SIGHUP reads configuration and bundle
anew and keeps the old ones if the new are bad. Connections that send no request, or read no answer, are closed.
"""

import asyncio
import gc
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

import returnsd
from returnsd import logs
from returnsd.config import Config
from returnsd.errors import ReturnsdError
from returnsd.sdnotify import Notifier
from returnsd.web.app import create_app
from returnsd.web.desk import Desk, open_desk
from returnsd.web.problems import Busy
from returnsd.web.security import answer
from returnsd.web.token import read_token

HEAD_S = 15.0
_ANSWER_S = 60.0
_LAST_ANSWERS_S = 3
MOST_CONNECTIONS = 1000
_HEAD_BYTES = 32 << 10
_TEND_S = 1.0


def serve(read_config: Callable[[], Config], notifier: Notifier) -> None:
    """Serve until told to stop; raises ConfigError, AlreadyRunning or OSError if it cannot begin.

    :param read_config: reads the configuration, now and at every reload.
    """
    config = read_config()
    read_token(config.web)  # before anything is bound
    log: logs.Logger = logs.get_logger("returnsd.web").bind()
    with bound(config.web.host, config.web.port) as listening, open_desk(config, log) as desk:
        gc.freeze()  # what lives for ever need not be looked at in every collection
        asyncio.run(_Serving(desk, listening, read_config, notifier).run())


class _Serving:
    """One run of the server in its event loop."""

    def __init__(
        self, desk: Desk, listening: socket.socket, read_config: Callable[[], Config], notifier: Notifier
    ) -> None:
        self._desk = desk
        self._listening = listening
        self._read_config = read_config
        self._notifier = notifier
        self._stopping = asyncio.Event()
        self._reloading: asyncio.Task[None] | None = None
        self._server = Server(create_app(desk))

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._reload_soon)
        serving = asyncio.create_task(self._server.serve(sockets=[self._listening]))
        tending = asyncio.create_task(self._tend())
        address = address_of(self._listening)
        log, model = self._desk.log, self._desk.judge.model
        log.info("web_started", address=address, version=returnsd.__version__, model=model.bundle.id)
        self._notifier.ready(f"serving {address}")
        await asyncio.wait([serving, asyncio.create_task(self._stopping.wait())], return_when="FIRST_COMPLETED")
        self._notifier.stopping()
        self._server.should_exit = True
        await serving
        tending.cancel()
        log.info("web_stopped")

    async def _tend(self) -> None:
        """Do what is due now and then: decisions to take up or carry on, and systemd's watchdog."""
        while True:
            try:
                await self._desk.deciding.ask(lambda one: one.tend(self._desk.judge.model.bundle.categories))
            except Exception as error:  # a full disk, a locked ledger: the next round tries again
                self._desk.log.error("tending_failed", error=repr(error))
            self._notifier.watchdog()
            await asyncio.sleep(_TEND_S)

    def _reload_soon(self) -> None:
        if self._reloading is None or self._reloading.done():
            self._reloading = asyncio.create_task(self._reload())

    async def _reload(self) -> None:
        self._notifier.reloading()
        try:
            config = await asyncio.to_thread(self._read_config)
            changed = await self._desk.reload(config)
        except (ReturnsdError, OSError) as error:
            self._desk.log.error("reload_refused", error=str(error))
        else:
            logs.configure(config.log.level, config.log.format)
            self._desk.log.info("reloaded", changed=changed, model=self._desk.judge.model.bundle.id)
        self._notifier.ready(f"serving {address_of(self._listening)}")


class Server(uvicorn.Server):
    """uvicorn's server as we want it: without its log, its signal handlers and its trust in proxies' headers."""

    def __init__(self, app: FastAPI) -> None:
        """Prepare to serve an application; `serve(sockets=[...])` does until `should_exit`."""
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_LAST_ANSWERS_S,
                h11_max_incomplete_event_size=_HEAD_BYTES,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Connection(H11Protocol):
    """uvicorn's HTTP connection, closed when a request's head or the reading of an answer takes too long."""

    _head: asyncio.TimerHandle | None = None
    _answer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self.app = _crowded  # uvicorn's own answer tells no client when to come again
        self._head = self.loop.call_later(HEAD_S, self._head_is_late)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._cancel_head()
        elif self._head is None:
            self._head = self.loop.call_later(HEAD_S, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_head()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._answer is None:
            self._answer = self.loop.call_later(_ANSWER_S, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._answer is not None:
            self._answer.cancel()
            self._answer = None

    def _head_is_late(self) -> None:
        self._head = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()

    def _cancel_head(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None


async def _crowded(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer that there are too many connections, and close this one."""
    problem = Busy(2, "there are too many connections; ask again after the seconds in Retry-After")
    problem.headers["Connection"] = "close"
    await answer(scope["path"], problem)(scope, receive, send)


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """Listen on an address for the block; OSError names it and the remedy."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise OSError(f"cannot listen on {host}: {error.strerror or error}: correct web.host") from error
    with listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(address)
        except OSError as error:
            raise OSError(
                f"cannot listen on {host}:{port}: {error.strerror}: stop what listens there, or set web.port"
            ) from error
        listening.listen(256)
        listening.setblocking(False)
        yield listening


def address_of(listening: socket.socket) -> str:
    """Return the URL of what is served."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

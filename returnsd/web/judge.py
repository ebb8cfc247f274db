"""The judge: one thread that owns the decoders, and judges together what many clients ask at the same time.

Pictures come from any task of the event loop and are answered through futures. What waits is bounded: beyond it
a client is told to come again. Previews for people go before the questions of programs. Another model is loaded
and tried on its known picture before it takes over; until then, and if it fails, the old one answers.
"""

import asyncio
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from returnsd import policy
from returnsd.config import Config
from returnsd.errors import ReturnsdError
from returnsd.logs import Logger
from returnsd.records import Prediction, Shelf
from returnsd.service import check_model, start_pool
from returnsd.vision.pool import Job, Pool, Seen
from returnsd.web.problems import Busy
from returnsd.worker import Model

_MOST_ASKED = 256
_MOST_BYTES = 256 << 20
_AHEAD = 4
_DECODE_S = 10.0
_PAUSE_S = 0.5


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the model says of a picture, or the `reason` why nothing can be said."""

    prediction: Prediction | None
    shelf: Shelf
    reason: str
    detail: str = ""
    ranked: tuple[tuple[str, float], ...] = ()


@dataclass(slots=True)
class _Ask:
    job: Job
    answer: "Future[Seen | Opinion]"


class Judge:
    """Answers with opinions and previews. `start`, ask from the event loop, `stop`."""

    def __init__(self, config: Config, model: Model, log: Logger) -> None:
        """Prepare for a model; nothing runs before `start`."""
        # a program's picture that takes long must not hold up the people: it gets less time than the worker's
        limits = replace(config.limits, decode_s=min(config.limits.decode_s, _DECODE_S), attempts=1)
        self._config = replace(config, limits=limits)
        self.model = model
        self._log = log
        self._lock = threading.Lock()
        self._previews: deque[_Ask] = deque()
        self._questions: deque[_Ask] = deque()
        self._under_way: dict[str, _Ask] = {}
        self._bytes = 0
        self._numbers = 0
        self._other_model: tuple[Model, Future[None]] | None = None
        self._stopping = False
        self._failing = False
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="judge", daemon=True)
        self._started: Future[None] = Future()

    def start(self) -> None:
        """Start the decoders and try the model on its known picture; BundleError if it fails."""
        self._thread.start()
        self._started.result()

    def stop(self) -> None:
        """End the thread and the decoders; what is asked still fails."""
        self._stopping = True
        self._ring()
        self._thread.join()
        os.close(self._wake)

    # --- asking, from the event loop

    async def opinion(self, data: bytes) -> Opinion:
        """Return what the model says of a picture; Busy if too much is asked already."""
        answer = await self._ask(data, None)
        assert isinstance(answer, Opinion)
        return answer

    async def preview(self, data: bytes, longest_px: int) -> bytes | None:
        """Return a JPEG of a picture with sides of at most so many pixels; None if nothing can be seen in it."""
        answer = await self._ask(data, longest_px)
        assert isinstance(answer, Seen)
        return answer.preview

    async def use(self, model: Model) -> None:
        """Go over to another model; on BundleError or OSError the one before stays in force."""
        done: Future[None] = Future()
        self._other_model = (model, done)
        self._ring()
        await asyncio.wrap_future(done)

    @property
    def asked(self) -> int:
        """How many pictures wait for an answer."""
        return len(self._previews) + len(self._questions) + len(self._under_way)

    @property
    def answering(self) -> bool:
        """Whether the thread runs and its decoders stay up."""
        return self._thread.is_alive() and not self._failing and not self._stopping

    async def _ask(self, data: bytes, preview_px: int | None) -> Seen | Opinion:
        with self._lock:
            if self._stopping or self.asked >= _MOST_ASKED or self._bytes + len(data) > _MOST_BYTES:
                raise Busy
            self._numbers += 1
            self._bytes += len(data)
            ask = _Ask(Job(str(self._numbers), data, preview_px), Future())
            (self._previews if preview_px else self._questions).append(ask)
        self._ring()
        return await asyncio.wrap_future(ask.answer)

    def _ring(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_write(self._wake, 1)

    # --- the thread

    def _run(self) -> None:
        # The decoders die with the thread that started them, so this one starts them.
        pool = self._try(lambda: self._open(self.model), self._started)
        if pool is None:
            return
        while not self._stopping:
            if self._other_model is not None:
                pool = self._go_over(pool)
            try:
                self._feed(pool)
                self._wait(pool)
                self._answer(pool.collect(0.0))
                self._failing = False
            except Exception as error:  # the decoders do not stay up, or their bundle was changed under us
                pool = self._start_again(pool, error)
        pool.stop()
        self._fail()

    def _start_again(self, pool: Pool, error: Exception) -> Pool:
        """Tell all who wait to come again, and start other decoders, however long that takes."""
        self._failing = True
        while True:
            self._log.error("decoders_failing", error=str(error) or repr(error))
            pool.stop()
            self._fail()
            if self._stopping:
                return pool
            time.sleep(_PAUSE_S)
            try:
                return start_pool(self._config, self.model.bundle.directory)
            except OSError as again:
                error = again

    def _open(self, model: Model) -> Pool:
        pool = start_pool(self._config, model.bundle.directory)
        try:
            check_model(pool, model.bundle)
        except (ReturnsdError, OSError):
            pool.stop()
            raise
        return pool

    def _try(self, open_pool: Callable[[], Pool], told: "Future[None]") -> Pool | None:
        try:
            pool = open_pool()
        except (ReturnsdError, OSError) as error:
            told.set_exception(error)
            return None
        told.set_result(None)
        return pool

    def _go_over(self, pool: Pool) -> Pool:
        assert self._other_model is not None
        model, done = self._other_model
        self._other_model = None
        try:
            other = self._open(model)
        except (ReturnsdError, OSError) as error:
            done.set_exception(error)
            return pool
        pool.stop()
        self.model = model
        other.submit([ask.job for ask in self._under_way.values()])  # what the old one was at, anew
        done.set_result(None)
        return other

    def _feed(self, pool: Pool) -> None:
        """Give the decoders a little ahead, no more: who comes with a preview meanwhile goes first."""
        while len(self._under_way) < _AHEAD * self._config.workers:
            with self._lock:
                waiting = self._previews or self._questions
                if not waiting:
                    return
                ask = waiting.popleft()
                if not ask.answer.set_running_or_notify_cancel():  # the client has gone
                    self._bytes -= len(ask.job.data)
                    continue
                self._under_way[ask.job.key] = ask
            pool.submit([ask.job])

    def _wait(self, pool: Pool) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        for descriptor in pool.filenos():  # also when idle: one that ended is replaced before it is given a picture
            poll.register(descriptor, select.POLLIN)
        poll.poll(250 if self._under_way else 30_000)
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)

    def _answer(self, seen: list[Seen]) -> None:
        with_features = [one for one in seen if one.features is not None]
        opinions: dict[str, Opinion] = {}
        if with_features:
            rows = np.stack([one.features for one in with_features if one.features is not None])
            for one, row in zip(with_features, self.model.bundle.predict_proba(rows), strict=True):
                opinions[one.key] = _opinion(self.model, row)
        for one in seen:
            with self._lock:
                ask = self._under_way.pop(one.key, None)
                self._bytes -= len(ask.job.data) if ask else 0
            if ask is None:
                continue
            if ask.job.preview_px is not None:
                ask.answer.set_result(one)
            else:
                unseen = Opinion(None, Shelf.REJECTED, one.reason or "damaged", one.detail)
                ask.answer.set_result(opinions.get(one.key, unseen))

    def _fail(self) -> None:
        """Tell those who wait to come again: for good if we stop, else only those that were begun."""
        with self._lock:
            asks = [*self._under_way.values()]
            if self._stopping:
                asks += [*self._previews, *self._questions]
                self._previews.clear()
                self._questions.clear()
            self._under_way.clear()
            self._bytes -= sum(len(ask.job.data) for ask in asks)
        for ask in asks:
            if not ask.answer.cancelled():
                ask.answer.set_exception(Busy())


def _opinion(model: Model, probabilities: NDArray[np.float64]) -> Opinion:
    categories = model.bundle.categories
    prediction = policy.predict(categories, probabilities, model.rule.floor, model.rule.groups)
    shelf, reason = policy.choose_shelf(prediction, model.rule)
    prediction = replace(prediction, shortlist=policy.shortlist(prediction, reason))
    best_first = np.argsort(-probabilities, kind="stable")
    return Opinion(
        prediction, shelf, reason, ranked=tuple((categories[i], float(probabilities[i])) for i in best_first)
    )

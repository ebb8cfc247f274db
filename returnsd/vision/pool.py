"""The decoder processes: pictures in, features out, and a picture that kills its decoder harms no other.

Single-threaded: `submit`, then `collect` until all is answered. Each decoder gets a few small pictures ahead, so
that it never waits for us. When one dies or is late, the picture it was at is to blame: that one is tried again
alone, up to `attempts` times; those queued behind it go to another decoder.
"""

import os
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from returnsd.errors import BundleError
from returnsd.vision import wire

_AHEAD = 24
"""Pictures a decoder has at most: at a millisecond each, that bridges our waits for the disk."""

_AHEAD_BYTES = 1 << 20
_READ_BYTES = 1 << 18
_START_S = 60.0
_MOST_FAILED_STARTS = 5

_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    # Arrays of some 100 KB come and go with every picture. Kept on the heap they cost nothing; mapped and unmapped
    # each time, they cost a page fault every 4 KB: half of the time of the dense descriptors, measured.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}


@dataclass(frozen=True, slots=True)
class Job:
    """One picture to be seen: the caller's key, and its bytes.

    With `preview_px` a JPEG is made of it instead, whose longer side has at most so many pixels (1 to 65535).
    """

    key: str
    data: bytes
    preview_px: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a job: `features` (n,) float32 or a `preview`, or neither and a machine-readable `reason`."""

    key: str
    features: NDArray[np.float32] | None
    reason: str | None = None
    detail: str = ""
    decode_ms: float = 0.0
    feature_ms: float = 0.0
    preview: bytes | None = None

    @classmethod
    def rejected(cls, key: str, reason: str, detail: str = "") -> "Seen":
        """Return what is said of a file in which nothing can be seen."""
        return cls(key, None, reason, detail)


@dataclass(slots=True)
class _Try:
    job: Job
    number: int
    failures: int = 0
    last: str = ""


@dataclass(slots=True)
class _Decoder:
    process: subprocess.Popen[bytes]
    line: socket.socket
    started: float
    ready: bool = False
    alone: bool = False
    features: int = 0  # how many it makes of a picture
    inbound: bytearray = field(default_factory=bytearray)
    outbound: deque[memoryview] = field(default_factory=deque)
    has: deque[_Try] = field(default_factory=deque)
    has_bytes: int = 0
    since: float = 0.0  # when it turned to the first of what it has


class Pool:
    """Decoder processes for one bundle. Use from one thread."""

    def __init__(
        self,
        bundle: Path,
        workers: int,
        *,
        decode_s: float,
        pixels_mp: int,
        attempts: int,
        command: Sequence[str] = (sys.executable, "-m", "returnsd.vision.decoder"),
    ) -> None:
        """Prepare; `start` starts.

        :param bundle: directory of the bundle whose features are to be seen.
        :param decode_s: time limit of one picture, in seconds.
        :param pixels_mp: largest picture decoded, in megapixels.
        :param attempts: how often a picture is tried that kills its decoder or takes too long.
        """
        self._environment = {
            **os.environ,
            **_ENVIRONMENT,
            "OPENCV_IO_MAX_IMAGE_PIXELS": str(pixels_mp * 1_000_000),  # behind our own check of the header
        }
        self._environment.pop("OPENCV_LOG_LEVEL", None)  # some losses are told in that log alone
        self._arguments = [str(bundle), str(decode_s), str(pixels_mp)]
        self._workers = workers
        self._decode_s = decode_s
        self._attempts = attempts
        self._command = list(command)
        self._decoders: list[_Decoder] = []
        self._waiting: deque[_Try] = deque()
        self._suspects: deque[_Try] = deque()
        self._done: list[Seen] = []
        self._numbers = 0
        self._failed_starts = 0
        self._start_again_at = 0.0

    def start(self) -> None:
        """Start the processes; they load meanwhile."""
        while len(self._decoders) < self._workers:
            self._decoders.append(self._started())

    def stop(self) -> None:
        """End all processes at once; what was not collected is forgotten."""
        for decoder in self._decoders:
            self._end(decoder)
        self._decoders.clear()
        self._waiting.clear()
        self._suspects.clear()
        self._done.clear()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Queue pictures to be seen."""
        for job in jobs:
            self._numbers = (self._numbers + 1) % 2**32
            self._waiting.append(_Try(job, self._numbers))
        self._feed()

    @property
    def outstanding(self) -> int:
        """How many submitted jobs are not collected yet."""
        return len(self._waiting) + len(self._suspects) + len(self._done) + sum(len(d.has) for d in self._decoders)

    def filenos(self) -> list[int]:
        """Return descriptors that become readable when there may be something to collect."""
        return [decoder.line.fileno() for decoder in self._decoders]

    def process_ids(self) -> list[int]:
        """Return the ids of the running decoder processes."""
        return [decoder.process.pid for decoder in self._decoders]

    def collect(self, timeout_s: float) -> list[Seen]:
        """Return what was seen since the last call, waiting up to timeout_s for the first of it.

        Raises BundleError if the decoders cannot use the bundle, OSError if none can be kept running.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            self._exchange(0.0 if self._done else max(0.0, deadline - time.monotonic()))
            if self._done or time.monotonic() >= deadline:
                done, self._done = self._done, []
                return done

    # --- talking to decoders

    def _exchange(self, timeout_s: float) -> None:
        self._replace_missing()
        poll = select.poll()
        for decoder in self._decoders:
            poll.register(decoder.line, select.POLLIN | (select.POLLOUT if decoder.outbound else 0))
        wait_s = max(0.0, min(timeout_s, self._next_deadline() - time.monotonic()))
        ready = dict(poll.poll(wait_s * 1000))
        for decoder in list(self._decoders):
            events = ready.get(decoder.line.fileno(), 0)
            if events & select.POLLOUT:
                self._send(decoder)
            if events & ~select.POLLOUT:
                self._receive(decoder)
            elif self._is_late(decoder):
                self._lose(decoder, "decode_timeout")
        self._feed()

    def _next_deadline(self) -> float:
        times = [time.monotonic() + 60.0]
        for decoder in self._decoders:
            if not decoder.ready:
                times.append(decoder.started + _START_S)
            elif decoder.has:
                times.append(decoder.since + self._decode_s)
        if len(self._decoders) < self._workers:
            times.append(self._start_again_at)
        return min(times)

    def _is_late(self, decoder: _Decoder) -> bool:
        now = time.monotonic()
        if not decoder.ready:
            return now > decoder.started + _START_S
        return bool(decoder.has) and now > decoder.since + self._decode_s

    def _receive(self, decoder: _Decoder) -> None:
        try:
            part = decoder.line.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except ConnectionError:
            part = b""
        if not part:
            self._lose(decoder, "decoder_crashed")
            return
        decoder.inbound += part
        try:
            while (reply := wire.take_reply(decoder.inbound)) is not None:
                self._hear(decoder, reply)
        except ValueError:
            self._lose(decoder, "decoder_crashed")

    def _hear(self, decoder: _Decoder, reply: wire.Reply) -> None:
        """Take a reply to the job it is at; ValueError if it is anything else."""
        if reply.kind == wire.UNUSABLE:
            raise BundleError(reply.text)
        if reply.kind == wire.READY:
            decoder.ready, decoder.since = True, time.monotonic()
            decoder.features = int(reply.text)
            self._failed_starts = 0
            return
        if not decoder.has or decoder.has[0].number != reply.number:
            raise ValueError("a reply to nothing that was asked")
        one = decoder.has[0]
        seen = _seen(one.job, reply, decoder.features)
        decoder.has.popleft()
        decoder.has_bytes -= len(one.job.data)
        decoder.since = time.monotonic()
        decoder.alone = decoder.alone and bool(decoder.has)
        self._done.append(seen)

    def _send(self, decoder: _Decoder) -> None:
        try:
            while decoder.outbound:
                sent = decoder.line.send(decoder.outbound[0])
                if sent == len(decoder.outbound[0]):
                    decoder.outbound.popleft()
                else:
                    decoder.outbound[0] = decoder.outbound[0][sent:]
        except (BlockingIOError, ConnectionError):
            return  # full, or gone: then reading tells

    # --- who gets what

    def _feed(self) -> None:
        able = [decoder for decoder in self._decoders if decoder.ready and not decoder.alone]
        if self._suspects and able:
            # keep the one that is done first free for a suspect
            free = min(able, key=lambda decoder: len(decoder.has))
            able.remove(free)
            if not free.has:
                free.alone = True
                self._give(free, self._suspects.popleft())
        while self._waiting and able:
            decoder = min(able, key=lambda decoder: len(decoder.has))
            if decoder.has and not _has_room(decoder, len(self._waiting[0].job.data)):
                return
            self._give(decoder, self._waiting.popleft())

    def _give(self, decoder: _Decoder, one: _Try) -> None:
        if not decoder.has:
            decoder.since = time.monotonic()
        decoder.has.append(one)
        decoder.has_bytes += len(one.job.data)
        head = wire.REQUEST.pack(one.number, len(one.job.data), one.job.preview_px or 0)
        if len(one.job.data) < _AHEAD_BYTES:
            decoder.outbound.append(memoryview(head + one.job.data))
        else:
            decoder.outbound += [memoryview(head), memoryview(one.job.data)]
        self._send(decoder)

    # --- birth and death

    def _started(self) -> _Decoder:
        ours, theirs = socket.socketpair()
        with theirs:
            ours.setblocking(False)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _AHEAD_BYTES)
            process = subprocess.Popen(
                [*self._command, str(theirs.fileno()), str(os.getpid()), *self._arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=self._environment,
            )
        return _Decoder(process, ours, time.monotonic())

    def _replace_missing(self) -> None:
        if len(self._decoders) < self._workers and time.monotonic() >= self._start_again_at:
            self.start()

    def _lose(self, decoder: _Decoder, reason: str) -> None:
        """Part with a decoder that died or is late, and find the picture to blame."""
        self._decoders.remove(decoder)
        self._end(decoder)
        if not decoder.ready:
            self._failed_starts += 1
            self._start_again_at = time.monotonic() + min(5.0, 0.1 * 2**self._failed_starts)
            if self._failed_starts >= _MOST_FAILED_STARTS:
                raise OSError(f"the decoders end before they are ready (status {decoder.process.returncode})")
            return
        if decoder.has:
            guilty = decoder.has.popleft()
            guilty.failures += 1
            if guilty.failures < self._attempts:
                self._suspects.append(guilty)
            else:
                self._done.append(Seen.rejected(guilty.job.key, reason, _cause_of_death(decoder.process)))
        self._waiting.extendleft(reversed(decoder.has))
        self._replace_missing()

    def _end(self, decoder: _Decoder) -> None:
        decoder.process.kill()  # before the line closes, or it would complain of that
        decoder.line.close()
        decoder.process.wait()


def _has_room(decoder: _Decoder, size_bytes: int) -> bool:
    return len(decoder.has) < _AHEAD and decoder.has_bytes + size_bytes <= _AHEAD_BYTES


def _seen(job: Job, reply: wire.Reply, count: int) -> Seen:
    """Return what a reply says; ValueError if the features are not `count` finite numbers."""
    if reply.kind == wire.REJECTED:
        reason, _, detail = reply.text.partition(":")
        return Seen.rejected(job.key, reason, detail)
    if job.preview_px is not None:
        return Seen(job.key, None, None, "", reply.decode_ms, reply.feature_ms, reply.payload)
    features = reply.features
    if len(features) != count or not np.isfinite(features).all():
        raise ValueError("features that cannot be")
    return Seen(job.key, features, None, "", reply.decode_ms, reply.feature_ms)


def _cause_of_death(process: subprocess.Popen[bytes]) -> str:
    code = process.returncode
    return f"signal {-code}" if code < 0 else f"exit status {code}"

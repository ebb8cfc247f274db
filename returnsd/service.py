"""The running service: opens everything in the right order, steps the worker, listens to signals and systemd.

READY is told once the ledger is open and the model has judged its known picture rightly on this machine, before
the backlog is looked at. SIGTERM brings what is in flight to its shelf, within a few seconds; SIGHUP reads
configuration and bundle anew and keeps the old ones if the new are bad.
"""

import gc
import json
import os
import select
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import FrameType

import returnsd
from returnsd import config as configuration
from returnsd import disk, logs, policy
from returnsd.bundle import Bundle, find_bundle
from returnsd.companion import Companion
from returnsd.config import Config
from returnsd.doorbell import Doorbell
from returnsd.errors import BundleError, ConfigError, ReturnsdError
from returnsd.inbox import Inbox
from returnsd.ledger import LEDGER, Ledger
from returnsd.records import printable
from returnsd.retention import Retention
from returnsd.sdnotify import Notifier
from returnsd.spool import Spool
from returnsd.status import LOCK, STATUS
from returnsd.vision.pool import Job, Pool
from returnsd.worker import Model, Worker

_DRAIN_S = 3.0
_TELL_S = 2.0
_KNOWN_S = 30.0
_NAP_S = 0.004
_MOST_NAMED = 10


def bundle_folders(config: Config) -> list[Path]:
    """Return where bundles are looked for by name, before the embedded ones."""
    return [config.paths.state / "bundles"]


def open_model(config: Config) -> Model:
    """Load the configured bundle and fix its rule; ConfigError if there is none of that name."""
    try:
        directory = find_bundle(config.model.bundle, bundle_folders(config))
    except BundleError as error:
        raise ConfigError([f"model.bundle: {error}"]) from error
    return Model(bundle := Bundle.load(directory), rule_for(bundle, config))


def rule_for(bundle: Bundle, config: Config) -> policy.Rule:
    """Return the threshold and the shortlist's floor that the bundle's calibration set allows."""
    threshold, target = config.model.threshold, config.model.target_accuracy
    if threshold is None:
        threshold = bundle.threshold(target)
    floor = policy.shortlist_floor(bundle.calibration.true_probability, config.model.shortlist_coverage)
    return policy.Rule(threshold, floor, bundle.groups, bundle.group_threshold(target))


def start_pool(config: Config, directory: Path) -> Pool:
    """Start the decoder processes for a bundle; they load while the caller goes on."""
    limits = config.limits
    pool = Pool(
        directory,
        config.workers,
        decode_s=limits.decode_s,
        pixels_mp=limits.pixels_mp,
        attempts=limits.attempts,
    )
    pool.start()
    return pool


def check_model(pool: Pool, bundle: Bundle) -> None:
    """Have the bundle's known picture seen and judged; BundleError if this machine sees it differently."""
    pool.submit([Job("known", bundle.known_picture)])
    deadline = time.monotonic() + _KNOWN_S
    while time.monotonic() < deadline:
        for seen in pool.collect(1.0):
            if seen.features is None:
                raise BundleError(f"{bundle.directory}: its known picture cannot be read here: {seen.reason}")
            bundle.check_known(seen.features)
            return
    raise BundleError(f"{bundle.directory}: the decoders did not see its known picture within {_KNOWN_S:.0f} s")


class Service:
    """One running worker with everything it needs. Made, run and closed in one process."""

    def __init__(
        self,
        read_config: Callable[[], Config],
        notifier: Notifier,
        *,
        listening: bool = True,
        companion: Companion | None = None,
    ) -> None:
        """Open lock, spool, ledger, model and decoders, in this order; raises if one cannot be had.

        :param read_config: reads the configuration, now and at every reload; may raise ConfigError.
        :param listening: whether to listen to file events (not for one batch).
        :param companion: the web process to look after, if one is wanted.
        """
        self.log = _bound_logger()
        self.stopping = False
        self.reload_requested = False
        self._companion = companion
        self._read_config = read_config
        self._notifier = notifier
        self._started = datetime.now().astimezone()
        self._told_at = float("-inf")
        self._tell_s = min(_TELL_S, (notifier.watchdog_s or 4 * _TELL_S) / 4)
        self._stuck = False
        self._refused: str | None = None
        with ExitStack() as stack:
            config = read_config()
            disk.make_folder(config.paths.state)
            stack.enter_context(disk.lock(config.paths.state / LOCK))
            disk.make_folder(config.paths.inbox)
            self.spool = Spool(config.paths)
            self.spool.check_same_filesystem(config.paths.inbox)
            model = open_model(config)
            self.pool = start_pool(config, model.bundle.directory)
            stack.callback(lambda: self.pool.stop())
            self.ledger = Ledger(config.paths.state / LEDGER)
            stack.callback(self.ledger.close)
            check_model(self.pool, model.bundle)
            doorbell = Doorbell(
                config.paths.inbox, recursive=config.watch.recursive, events=config.watch.events and listening
            )
            stack.callback(doorbell.close)
            inbox = Inbox(config.paths.inbox, config.watch, config.limits.file_mib << 20)
            self.worker = Worker(config, self.spool, self.ledger, inbox, doorbell, self.pool, model, self.log)
            self.retention = Retention(self.spool, self.ledger, self.log)
            self._stack = stack.pop_all()

    def close(self) -> None:
        """Give everything back."""
        if self._companion is not None:
            self._companion.close()
        with suppress(sqlite3.OperationalError):  # a full disk: the next start compares the files instead
            self.ledger.note_written(self.worker.results.written)
        self._stack.close()

    # --- the loop

    def run(self) -> None:
        """Run until told to stop (SIGTERM, SIGINT); returns when all in flight is shelved or left queued."""
        with self.listening_to_signals():
            model = self.worker.model
            self.log.info(
                "service_started",
                version=returnsd.__version__,
                model=model.bundle.id,
                threshold=model.rule.threshold,
                inbox=str(self.worker.config.paths.inbox),
            )
            if model.rule.threshold is None:
                self._say_nothing_is_archived()
            self._notifier.ready("watching the inbox")
            self.worker.watch()
            gc.freeze()  # what was loaded stays: looking through it for garbage again and again is in vain
            while not self.stopping:
                if self.reload_requested:
                    self._reload()
                self.turn()
        self.drain()

    def turn(self) -> bool:
        """Do one step, or wait for something to do; say whether anything was done."""
        now = time.monotonic()
        worked = self.worker.step(now)
        self._tell(now)
        if not worked:
            self.retention.step(now, self.worker.config.keep)
            self._wait(now)
        return worked

    def _wait(self, now: float) -> None:
        if self.pool.outstanding > 4 * self.worker.config.workers:
            # Far from the end of a batch: to wake for every picture would cost a third of what judging it costs.
            time.sleep(_NAP_S)
            return
        poll = select.poll()
        poll.register(self.worker.doorbell.fileno(), select.POLLIN)
        for descriptor in self.pool.filenos():
            poll.register(descriptor, select.POLLIN)
        longest = self.worker.wait_until(now) - time.monotonic()
        if not (self.stopping or self.reload_requested):
            ready = poll.poll(max(0, min(longest, self._tell_s)) * 1000)
            if ready and not self.pool.outstanding:
                self.pool.collect(0.0)  # hear who is ready or has ended; unheard it would wake us for ever

    def drain(self) -> None:
        self._notifier.stopping()
        if self._companion is not None:
            self._companion.tell_to_stop()
        deadline = time.monotonic() + _DRAIN_S
        while self.worker.busy and (now := time.monotonic()) < deadline:
            if not self.worker.step(now, draining=True):
                self._wait_for_decoders(0.05)
        self.worker.abandon()
        self._tell(time.monotonic(), force=True)
        self.log.info("service_stopped", shelved=self.worker.tally.total)

    def _wait_for_decoders(self, longest_s: float) -> None:
        poll = select.poll()
        for descriptor in self.pool.filenos():
            poll.register(descriptor, select.POLLIN)
        poll.poll(longest_s * 1000)

    @contextmanager
    def listening_to_signals(self) -> Iterator[None]:
        """Let signals set plain attributes and ring the doorbell, whose descriptor wakes the wait."""
        doorbell = self.worker.doorbell

        def stop(_number: int, _frame: FrameType | None) -> None:
            self.stopping = True
            doorbell.ring()

        def reload(_number: int, _frame: FrameType | None) -> None:
            self.reload_requested = True
            doorbell.ring()

        wanted: dict[signal.Signals, Callable[[int, FrameType | None], None] | signal.Handlers] = {
            signal.SIGTERM: stop,
            signal.SIGINT: stop,
            signal.SIGHUP: reload,
            signal.SIGIO: signal.SIG_IGN,
        }
        before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    # --- reload

    def _reload(self) -> None:
        """Read configuration and bundle anew; on any fault keep the old ones and say so."""
        self.reload_requested = False
        self._notifier.reloading()
        old = self.worker.config
        try:
            new = self._read_config()
            changed = configuration.differences(old, new)
            if any(key.startswith("paths.") for key in changed):
                raise ConfigError(["paths: they cannot change while the service runs: restart it"])
            model = open_model(new)
            pool = start_pool(new, model.bundle.directory)
            try:
                check_model(pool, model.bundle)
            except ReturnsdError:
                pool.stop()
                raise
        except (ReturnsdError, OSError) as error:
            self.log.error("reload_refused", error=str(error))
            self.worker.tally.last_error = self._refused = f"reload refused: {error}"
        else:
            if self.worker.tally.last_error == self._refused:
                self.worker.tally.last_error = None  # what was refused is mended
            self._refused = None
            self._swap(new, model, pool)
            self.log.info("reloaded", changed=changed, model=model.bundle.id, threshold=model.rule.threshold)
            if model.rule.threshold is None:
                self._say_nothing_is_archived()
            if self._companion is not None:
                self._companion.reload()
        self._notifier.ready(self._refused or "watching the inbox")

    def _swap(self, config: Config, model: Model, pool: Pool) -> None:
        old = self.pool
        self.worker.forget()  # what is in flight is found again in the queue, for the new model
        self.pool = self.worker.pool = pool
        old.stop()
        logs.configure(config.log.level, config.log.format)
        self.log = self.worker.log = self.retention.log = _bound_logger()
        self.worker.reconfigure(config, model)

    def _say_nothing_is_archived(self) -> None:
        self.log.warning(
            "nothing_archived_automatically",
            reason="no threshold reaches target_accuracy on the bundle's calibration set",
            target_accuracy=self.worker.config.model.target_accuracy,
            model=self.worker.model.bundle.id,
        )

    # --- telling

    def _tell(self, now: float, *, force: bool = False) -> None:
        """Tell systemd and `returnsd status` how things are, every few seconds.

        The watchdog is told only while there is progress, or nothing to do, or a pause with a known reason: a loop
        that merely turns is restarted like one that hangs.
        """
        if now - self._told_at < self._tell_s and not force:
            return
        self._told_at = now
        if self._companion is not None and not self.stopping:
            self._companion.step(now)
        self._look_after_progress(now)
        status = self.status(now)
        told = f"{status['arriving']} arriving, {status['in_flight']} in the queue, {status['per_second']:.1f}/s"
        told += f", model {status['model']}"
        troubles = [
            f"paused: {status['problem']}" if status["problem"] else None,
            "nothing moves" if self._stuck else None,
            self._refused,
        ]
        self._notifier.status("; ".join([told, *filter(None, troubles)]))
        self._leave_status(json.dumps(status))

    def _leave_status(self, told: str) -> None:
        path = self.worker.config.paths.state / STATUS
        draft = path.with_name(f".{STATUS}.tmp")
        try:
            draft.write_text(told)
            os.replace(draft, path)
        except OSError:
            # a full disk has no room for a new file, but the old one's can be written again
            with suppress(OSError), path.open("r+") as old:
                old.write(told)
                old.truncate()

    def _look_after_progress(self, now: float) -> None:
        stuck = self.worker.stuck(now)
        if not stuck:
            self._notifier.watchdog()
        elif not self._stuck:
            self.log.error(
                "nothing_moves", in_flight=self.worker.in_flight, reason="the watchdog is not told any more"
            )
        self._stuck = stuck

    def status(self, now: float) -> dict[str, object]:
        """Return how the running service is doing."""
        worker = self.worker
        inbox, told = worker.inbox.status(), worker.tally.obstacle
        return {
            "pid": os.getpid(),
            "version": returnsd.__version__,
            "started_at": self._started.isoformat(timespec="seconds"),
            "updated_at": datetime.now().astimezone().isoformat(timespec="seconds"),
            "model": worker.model.bundle.id,
            "threshold": worker.model.rule.threshold,
            "target_accuracy": worker.config.model.target_accuracy,
            "arriving": inbox.pop("arriving"),
            "in_flight": worker.in_flight,
            "held": inbox,
            "staying": [(printable(name), why) for name, why in worker.inbox.staying(_MOST_NAMED)],
            "shelved_since_start": dict(worker.tally.shelves),
            "per_second": round(worker.tally.per_second(now), 2),
            "problem": worker.tally.problem,
            "obstacle": told and {"what": told[0], "remedy": told[1]},
            "last_error": worker.tally.last_error,
        }


def _bound_logger() -> logs.Logger:
    # bound once: an unbound one looks up the configuration at every event, 20 microseconds each
    bound: logs.Logger = logs.get_logger("returnsd").bind()
    return bound


def without_events(config: Config) -> Config:
    """Return the configuration for a run that only scans."""
    return replace(config, watch=replace(config.watch, events=False))

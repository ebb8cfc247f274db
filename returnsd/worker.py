"""The worker: takes pictures in, has them seen, judges, records and shelves them, one bounded step at a time.

The rule it lives by: an item of the queue that has a row is moved on towards its shelf; one without is judged.
It asks the disk and the ledger which is which, so that a start after a crash is a step like any other. What it
holds in memory (who is in flight, what was seen) only saves time and may be forgotten at any moment.
"""

import errno
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from returnsd import disk, item_id, policy
from returnsd.bundle import Bundle
from returnsd.config import Config
from returnsd.doorbell import Doorbell
from returnsd.errors import SpoolError, Unreadable
from returnsd.inbox import Inbox
from returnsd.ledger import Ledger
from returnsd.logs import Logger
from returnsd.metrics import Tally
from returnsd.obstacles import obstacle
from returnsd.policy import Rule
from returnsd.records import Item, Prediction, Shelf, Verdict
from returnsd.results import Results
from returnsd.spool import Queued, Spool
from returnsd.vision.pool import Job, Pool, Seen

_BATCH_BYTES = 32 << 20
"""How many bytes of pictures are read for one batch at most; a larger picture is a batch of its own."""

_HASH_LIMIT = 16
"""Files above this many times the size limit are rejected without reading them at all: their row has no sha256."""

_MOST_CHANGES = 3
"""How often an item that is written to while we judge it is judged anew before it is rejected."""


_INTAKE_OBSTACLES = {
    "inbox_missing": ("paths.inbox is not there", "mount it, or make it again; it goes on by itself"),
    "inbox_elsewhere": (
        "paths.inbox lies on another file system than paths.queue",
        "put both below one folder of one mount",
    ),
}
_PATIENT_PAUSES = 3

_DECODER_START_S = 5.0
"""How long a decoder that was lost may take to be replaced, on a busy machine."""


@dataclass(frozen=True, slots=True)
class Model:
    """A bundle and the rule that goes with it under the configuration in force."""

    bundle: Bundle
    rule: Rule


@dataclass(slots=True)
class _Judging:
    """An item between take-in and its row: the open file whose bytes were read, and what was seen in them."""

    queued: Queued
    descriptor: int | None
    content: disk.Content | None
    seen: Seen | None = None
    seen_at: float = 0.0


@dataclass(slots=True)
class _Memory:
    """What the worker may forget at any time."""

    judging: dict[str, _Judging] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    suspects: dict[str, int] = field(default_factory=dict)
    changes: dict[str, int] = field(default_factory=dict)


class Worker:
    """One worker over one spool. The caller owns the parts, the lock and the loop's clock."""

    def __init__(
        self,
        config: Config,
        spool: Spool,
        ledger: Ledger,
        inbox: Inbox,
        doorbell: Doorbell,
        pool: Pool,
        model: Model,
        log: Logger,
        *,
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        """Take over a spool; nothing happens before the first step."""
        self.config = config
        self.spool = spool
        self.ledger = ledger
        self.results = Results(config.paths.results, ledger)
        self.inbox = inbox
        self.doorbell = doorbell
        self.pool = pool
        self.model = model
        self.log = log
        self.tally = Tally()
        self.intake_problem: str | None = None
        self._now = now
        self._memory = _Memory()
        self._healed = False
        self._paused_until = float("-inf")
        self._pauses = 0
        self._queue_empty = False
        self._moved_at: float | None = None

    # --- the step

    def step(self, now: float, *, draining: bool = False) -> bool:
        """Do one bounded piece of whatever is due, and say whether there was any (now: monotonic seconds).

        While draining, nothing new is begun: what is in flight is brought to its shelf.
        """
        if now < self._paused_until:
            return False
        shelved = self.tally.total
        try:
            if not self._healed:
                self._heal()
            worked = False if draining else self._begin(now)
            moved = self._gather(now)
            moved |= self._finish(now)
        except (OSError, sqlite3.OperationalError) as error:
            self._pause(error, now)
            return False
        rests = self._queue_empty and not self.busy
        if moved or rests or self.tally.total > shelved or self._moved_at is None:
            self._moved_at = now
        worked |= moved
        if worked and self._pauses:
            self._pauses = 0
            self.tally.problem = self.tally.obstacle = None
            self.log.info("intake_resumed")
        return worked

    def wait_until(self, now: float) -> float:
        """Return until when nothing will be due by itself; events and decoders may ring before."""
        if now < self._paused_until:
            return self._paused_until
        due = self.inbox.due_at() if self.intake_problem is None else now + self.config.watch.rescan_s
        waiting = [j.seen_at for j in self._memory.judging.values() if j.seen is not None]
        if waiting:
            due = min(due, min(waiting) + self.config.batch.max_wait_s)
        if self._memory.judging:
            due = min(due, now + 0.5)  # the pool minds its own deadlines when asked
        return due

    @property
    def idle(self) -> bool:
        """Say whether inbox and queue were looked through and nothing in them waits to be judged."""
        return not self._memory.judging and self._queue_empty and self.inbox.quiet

    @property
    def patient(self) -> bool:
        """Say whether what is wrong, if anything, may yet pass by itself."""
        return self.intake_problem is None and self._pauses < _PATIENT_PAUSES

    @property
    def busy(self) -> bool:
        """Say whether items are between take-in and their shelf."""
        return bool(self._memory.judging)

    @property
    def in_flight(self) -> int:
        """How many items are between take-in and their shelf."""
        return len(self._memory.judging)

    def stuck(self, now: float) -> bool:
        """Say whether items wait, and for longer than it may take nothing was seen, recorded or shelved.

        A pause is not being stuck: its reason is known and told, and starting anew would not help. Decoders may
        take decode_s for each attempt, and the one before a suspect's turn as long again.
        """
        limits = self.config.limits
        patience_s = (limits.attempts + 1) * (limits.decode_s + _DECODER_START_S)
        return self._moved_at is not None and not self._pauses and now - self._moved_at > patience_s

    def watch(self) -> None:
        """Begin to listen to file events, where configured; without them the scan goes on."""
        self._replace_doorbell(None)

    def reconfigure(self, config: Config, model: Model) -> None:
        """Go on under another configuration and model; the caller has let go of what was in flight."""
        self.config, self.model = config, model
        self.inbox.reconfigure(config.watch, config.limits.file_mib << 20)
        self.doorbell.stop()
        self.doorbell.reconfigure(recursive=config.watch.recursive, events=config.watch.events)
        self.watch()
        self._healed = False

    def _heal(self) -> None:
        for healed in self.results.heal():
            self.log.warning("results_healed", file=healed.file, how=healed.how, kept_as=healed.kept_as)
        ids = sorted(self.spool.queue_ids())
        self._memory.suspects = {i: n for i, n in self.ledger.begun(ids).items() if n > 0}
        self._healed = True

    def _pause(self, error: OSError | sqlite3.OperationalError, now: float) -> None:
        """Stop for a while: the world is broken. All that is in flight is found again in the queue."""
        self.forget()
        reason = problem_name(error)
        self._pauses += 1
        self._paused_until = now + min(30.0, 2.0 ** min(self._pauses, 5) / 2)
        self._healed = self._queue_empty = False
        self._moved_at = self._paused_until
        self.tally.problem = reason
        found = obstacle(error, self.config.paths)
        self.tally.obstacle = (found.what, found.remedy)
        self.tally.last_error = str(found)
        if self._pauses == 1 or self._pauses % 20 == 0:
            self.log.error("intake_paused", reason=reason, error=str(error), times=self._pauses)

    def forget(self) -> None:
        """Let go of all that is in flight; it stays in the queue and is judged again."""
        for judging in self._memory.judging.values():
            if judging.descriptor is not None:
                os.close(judging.descriptor)
        self._memory.judging.clear()

    def abandon(self) -> None:
        """Let go of all that is in flight in good order, so that the next start does not suspect it."""
        unfinished = list(self._memory.judging)
        self.forget()
        if unfinished:
            with suppress(sqlite3.OperationalError):  # a full disk: the next start judges them one at a time
                self.ledger.abandon(unfinished)
            self.log.info("items_left_queued", items=len(unfinished))

    # --- taking in

    def _begin(self, now: float) -> bool:
        """Fill up what is in flight: first what lies in the queue already, then what has arrived."""
        scanned = self._look_around(now)
        waiting = sum(1 for j in self._memory.judging.values() if j.seen is None)
        if waiting > self.config.batch.max_items // 2:
            return scanned
        batch = self._left_over()
        if self.intake_problem is None and not self._memory.suspects:
            batch += self._take_in(now, self.config.batch.max_items - len(batch))
        if not batch:
            return scanned
        fresh = [queued.item for queued in batch if queued.item.id not in self._memory.begun]
        self.ledger.begin(fresh)
        self._memory.begun.update(item.id for item in fresh)
        self.pool.submit([job for queued in batch if (job := self._read(queued, now)) is not None])
        return True

    def _look_around(self, now: float) -> bool:
        hints, lost = self.doorbell.answer()
        try:
            if self.inbox.changed_identity():
                self.spool.check_same_filesystem(self.config.paths.inbox)
                self._replace_doorbell("inbox_changed")
                lost = True
        except (OSError, SpoolError) as error:
            self._set_intake_problem("inbox_missing" if isinstance(error, OSError) else "inbox_elsewhere", error)
            return False
        self._set_intake_problem(None)
        if not self.doorbell.alive():
            self._replace_doorbell("watching_died")
            lost = True
        if lost:
            self.inbox.rescan()
        for path in hints:
            self.inbox.hint(path, now)
        scanned = self.inbox.scan(now)
        for finding in self.inbox.findings:
            self.log.info("inbox_file_held", file=finding.path, reason=finding.why)
        self.inbox.findings.clear()
        return scanned

    def _replace_doorbell(self, why: str | None) -> None:
        self.doorbell.stop()
        trouble = why
        try:
            self.doorbell.start()
        except OSError as error:
            trouble = f"no file events, the scan goes on: {error}"
        if trouble is not None and trouble != self.tally.doorbell_trouble:
            self.log.warning("doorbell_replaced", reason=trouble)
        self.tally.doorbell_trouble = trouble

    def _set_intake_problem(self, problem: str | None, error: Exception | None = None) -> None:
        if problem != self.intake_problem:
            if problem is None:
                self.log.info("intake_resumed")
            else:
                self.log.error("intake_paused", reason=problem, error=str(error))
            self.intake_problem = problem
            self.tally.problem = problem
            self.tally.obstacle = _INTAKE_OBSTACLES.get(problem or "")

    def _left_over(self) -> list[Queued]:
        """Return queued items to judge; those that have a row already are shelved on the way."""
        most = self.config.batch.max_items
        queued = self.spool.queued(most, set(self._memory.judging))
        self._queue_empty = not queued
        if not queued:
            self._memory.suspects.clear()
            return []
        rows = self.ledger.verdicts([q.item.id for q in queued])
        for q in queued:
            if q.item.id in rows:
                self._shelve(q, rows[q.item.id], None)
        return self._one_suspect_at_a_time([q for q in queued if q.item.id not in rows])

    def _one_suspect_at_a_time(self, queued: list[Queued]) -> list[Queued]:
        """Judge alone what was in flight when we died: whatever kills us is then known by name."""
        suspects = self._memory.suspects
        if not any(q.item.id in suspects for q in queued):
            suspects.clear()
            return queued
        if self._memory.judging:
            return []
        # least suspected first, so that repeated deaths do not fall on the same innocent item
        return [min((q for q in queued if q.item.id in suspects), key=lambda q: (suspects[q.item.id], q.item.id))]

    def _take_in(self, now: float, places: int) -> list[Queued]:
        taken: list[Queued] = []
        size_bytes = 0
        for path in self.inbox.arrivals(now, places):
            if size_bytes > _BATCH_BYTES:
                break
            new_id = item_id.new(self._now().astimezone(UTC), os.urandom(10))
            try:
                queued = self.spool.take_in(Path(path), new_id)
            except FileNotFoundError:
                self.inbox.forget(path)
                continue
            self.inbox.forget(path)
            size_bytes += os.lstat(queued.path).st_size
            taken.append(queued)
            self.log.info("item_taken_in", item=new_id, file=queued.item.file_name)
        return taken

    def _read(self, queued: Queued, now: float) -> Job | None:
        """Read and hash the item's bytes; return the decoders' job, or None where the verdict is clear already."""
        judging = _Judging(queued, None, None)
        self._memory.judging[queued.item.id] = judging
        limit = self.config.limits.file_mib << 20
        deaths = self._memory.suspects.get(queued.item.id, 0)
        try:
            judging.descriptor = disk.open_regular(queued.path)
            size = os.fstat(judging.descriptor).st_size
            if size > limit * _HASH_LIMIT:
                raise Unreadable("too_large", f"{size} bytes")
            judging.content = disk.read(judging.descriptor, limit)
            if judging.content.data is None:
                raise Unreadable("too_large", f"{size} bytes")
            if deaths > self.config.limits.attempts + 1:
                raise Unreadable("decoder_crashed", f"the service died {deaths} times while judging it")
        except Unreadable as finding:
            judging.seen = Seen.rejected(queued.item.id, finding.reason, finding.detail)
            judging.seen_at = now
            return None
        job = Job(queued.item.id, judging.content.data)
        judging.content = disk.Content(None, judging.content.sha256, judging.content.mark)
        return job

    # --- judging

    def _gather(self, now: float) -> bool:
        seen = self.pool.collect(0.0) if self._memory.judging else []
        for one in seen:
            judging = self._memory.judging.get(one.key)
            if judging is not None:
                judging.seen, judging.seen_at = one, now
        return bool(seen)

    def _finish(self, now: float) -> bool:
        """Judge and record a batch when it is full, old enough, or nothing else is under way."""
        done = [judging for judging in self._memory.judging.values() if judging.seen is not None]
        batch = self.config.batch
        full = len(done) >= batch.max_items or len(done) == len(self._memory.judging)
        if not done or not (full or now - min(j.seen_at for j in done) >= batch.max_wait_s):
            return False
        self._record(self._unchanged(done[: batch.max_items]))
        return True

    def _unchanged(self, done: list[_Judging]) -> list[_Judging]:
        """Drop the items whose files were written to since we read them: they are judged anew, or given up."""
        kept = []
        for judging in done:
            same = judging.content is None or _mark(judging) == judging.content.mark
            key = judging.queued.item.id
            changes = self._memory.changes.get(key, 0)
            if same or changes >= _MOST_CHANGES:
                if not same and judging.descriptor is not None:
                    judging.content = disk.read(judging.descriptor, 0)
                    judging.seen = Seen.rejected(key, "still_written_to", "")
                kept.append(judging)
            else:
                self._memory.changes[key] = changes + 1
                self.log.info("item_changed", item=key)
                self._let_go(judging)
        return kept

    def _record(self, batch: list[_Judging]) -> None:
        """Record a batch: bytes durable, then rows durable, then the CSV, then the shelves. The order matters."""
        if not batch:
            return
        verdicts = self._judge(batch)
        for judging in batch:
            if judging.descriptor is not None:
                disk.sync_file(judging.descriptor)
        self.spool.sync_queue()
        self.ledger.record(verdicts, self.results.written, _vectors(batch, verdicts))
        days = sorted({verdict.day for verdict in verdicts})
        for healed in self.results.project(days):
            self.log.warning("results_healed", file=healed.file, how=healed.how, kept_as=healed.kept_as)
        self.log.info("batch_recorded", items=len(batch))
        for judging, verdict in zip(batch, verdicts, strict=True):
            self._shelve(judging.queued, verdict, judging)

    def _judge(self, batch: list[_Judging]) -> list[Verdict]:
        judged_at = self._now()
        predictions = self._predict(batch)
        contents = [j.content.sha256 for j in batch if j.content is not None]
        firsts = self.ledger.first_with(contents)
        verdicts = []
        for judging in batch:
            item, seen, content = judging.queued.item, judging.seen, judging.content
            assert seen is not None
            sha256 = content.sha256 if content is not None else None
            duplicate_of = firsts.get(sha256) if sha256 is not None else None
            common: dict[str, Any] = {
                "judged_at": judged_at,
                "return_id": policy.find_return_id(self.config.return_id_regex, item.file_name),
                "duplicate_of": duplicate_of,
                "model": self.model.bundle.id,
                "sha256": sha256,
            }
            if item.id in predictions:
                verdict = policy.judge(item, predictions[item.id], self.model.rule, **common)
            else:
                verdict = policy.reject(item, seen.reason or "damaged", **common)
            if sha256 is not None:
                firsts.setdefault(sha256, item.id)
            verdicts.append(verdict)
            self._tell(verdict, seen)
        return verdicts

    def _predict(self, batch: list[_Judging]) -> dict[str, Prediction]:
        seen = [j.seen for j in batch if j.seen is not None and j.seen.features is not None]
        if not seen:
            return {}
        bundle, rule = self.model.bundle, self.model.rule
        features = np.stack([one.features for one in seen if one.features is not None])
        probabilities = bundle.predict_proba(features)
        return {
            one.key: policy.predict(bundle.categories, row, rule.floor, rule.groups)
            for one, row in zip(seen, probabilities, strict=True)
        }

    def _tell(self, verdict: Verdict, seen: Seen) -> None:
        if verdict.shelf is Shelf.REJECTED:
            self.log.warning(
                "item_rejected",
                item=verdict.item_id,
                file=verdict.file_name,
                reason=verdict.reason,
                detail=seen.detail,
            )
        else:
            self.log.info(
                "item_judged",
                item=verdict.item_id,
                category=verdict.category,
                confidence=round(verdict.confidence or 0.0, 4),
                shelf=verdict.shelf.value,
                reason=verdict.reason,
            )

    # --- shelving

    def _shelve(self, queued: Queued, verdict: Verdict, judging: _Judging | None) -> None:
        """Move an item with a row to its shelf; if its bytes are not the row's any more, say so in the row."""
        if judging is None:
            if verdict.sha256 is not None and disk.sha256_of(queued.path) != verdict.sha256:
                verdict = self._amend(verdict, disk.sha256_of(queued.path))
        elif (
            judging.content is not None
            and judging.descriptor is not None
            and _mark(judging) != judging.content.mark
        ):
            verdict = self._amend(verdict, disk.read(judging.descriptor, 0).sha256)
        place = self.spool.shelve(queued, verdict)
        self.log.info("item_shelved", item=verdict.item_id, shelf=verdict.shelf.value, file=place.name)
        self.tally.count(verdict)
        if judging is not None:
            self._let_go(judging)
        for memory in (self._memory.changes, self._memory.suspects):
            memory.pop(verdict.item_id, None)
        self._memory.begun.discard(verdict.item_id)

    def _amend(self, verdict: Verdict, sha256: str) -> Verdict:
        item = Item(verdict.item_id, verdict.file_name, verdict.received_at)
        amended = policy.reject(
            item,
            "still_written_to",
            judged_at=verdict.judged_at,
            return_id=verdict.return_id,
            duplicate_of=None,
            model=verdict.model,
            sha256=sha256,
        )
        self.ledger.amend(amended)
        self.results.rebuild(amended.day)
        self.log.warning("item_rejected", item=verdict.item_id, file=verdict.file_name, reason=amended.reason)
        return amended

    def _let_go(self, judging: _Judging) -> None:
        if judging.descriptor is not None:
            os.close(judging.descriptor)
        self._memory.judging.pop(judging.queued.item.id, None)


def _vectors(batch: list[_Judging], verdicts: list[Verdict]) -> dict[str, bytes]:
    """Return what was seen in the pictures that go to review, as the ledger keeps it."""
    return {
        verdict.item_id: judging.seen.features.astype("<f2").tobytes()
        for judging, verdict in zip(batch, verdicts, strict=True)
        if verdict.shelf is Shelf.REVIEW and judging.seen is not None and judging.seen.features is not None
    }


def _mark(judging: _Judging) -> disk.Mark:
    assert judging.descriptor is not None
    return disk.Mark.of(os.fstat(judging.descriptor))


def problem_name(error: OSError | sqlite3.OperationalError) -> str:
    """Return the machine-readable name of what broke: disk_full, read_only, or the system's own word."""
    if isinstance(error, sqlite3.OperationalError):
        return "disk_full" if error.sqlite_errorcode == sqlite3.SQLITE_FULL else "ledger_failing"
    if error.errno in disk.FULL:
        return "disk_full"
    if error.errno == errno.EROFS:
        return "read_only"
    return errno.errorcode.get(error.errno or 0, "system_error").lower()

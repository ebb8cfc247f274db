"""Killed at every point: one row and one file for every picture, whatever the moment, and again while restarting.

The worker runs in a forked child over real files and a real ledger. Every durable effect (a rename, a write, a
sync, a commit) is a point before it and a point after it, a write also one in its middle; the child ends there
without a word, as on SIGKILL. Set RETURNSD_CRASH=all to try every pair of points instead of an eighth of them.
"""

import ctypes
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from returnsd import disk, logs
from returnsd.audit import audit
from returnsd.bundle import Bundle
from returnsd.config import Config
from returnsd.ledger import Ledger, Written
from returnsd.results import Healed, Results
from returnsd.spool import Queued
from returnsd.worker import Worker, _Judging
from tests.installation import HerePool, Installation, files_below, shelved
from tests.tiny import tiny_jpeg

KILLED = 66
ENOUGH = 10_000
STRIDE = 1 if os.environ.get("RETURNSD_CRASH") == "all" else 8

PICTURES = {"first.jpg": ("stripes", 1), "second.jpg": ("dots", 2)}


class Killer:
    """Counts the points passed; ends the process at the chosen one."""

    def __init__(self, die_at: int) -> None:
        self.die_at = die_at
        self.passed = 0

    def point(self) -> None:
        self.passed += 1
        if self.passed == self.die_at:
            os._exit(KILLED)

    def around(self, effect: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            self.point()
            result = effect(*arguments, **named)
            self.point()
            return result

        return watched

    def install(self) -> None:
        """Watch every durable effect; in a child that is about to end anyway."""
        write = os.pwrite

        def half_written(descriptor: int, data: memoryview, offset: int) -> int:
            self.point()
            write(descriptor, data[: len(data) // 2], offset)
            self.point()
            return write(descriptor, data, offset)

        for name in ("mkdir", "rmdir", "rename", "ftruncate", "fsync", "fdatasync"):
            setattr(os, name, self.around(getattr(os, name)))
        os.pwrite = self.around(half_written)  # type: ignore[assignment]
        libc = disk._libc
        watched = self.around(libc.renameat2)

        class Watched:
            renameat2 = staticmethod(lambda *a: watched(*a))
            sync_file_range = staticmethod(libc.sync_file_range)

        disk._libc = Watched  # type: ignore[assignment]
        Ledger._commit = self.around(Ledger._commit)  # type: ignore[method-assign]


class Trial:
    """One installation that is killed and restarted, each time in a child of its own."""

    def __init__(self, folder: Path, bundle: Bundle, pool: HerePool) -> None:
        self.folder = folder
        self._bundle = bundle
        self._pool = pool

    def installation(self) -> Installation:
        def small_batches(config: Config) -> Config:
            return replace(config, batch=replace(config.batch, max_items=2))

        return Installation(self.folder, self._bundle, self._pool, small_batches)

    def drop_pictures(self) -> None:
        inbox = self.folder / "var/inbox"
        inbox.mkdir(parents=True)
        for name, (category, seed) in PICTURES.items():
            (inbox / name).write_bytes(tiny_jpeg(category, seed))

    def run(self, die_at: int = ENOUGH) -> int | None:
        """Work in a child; return how many points it passed, or None if it was killed at one."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                killer = Killer(die_at)
                killer.install()
                installation = self.installation()
                installation.work()
                os.write(writing, str(killer.passed).encode())
                os._exit(0)
            except BaseException as error:
                os.write(2, repr(error).encode())
            finally:
                os._exit(1)
        os.close(writing)
        passed = os.read(reading, 100)
        os.close(reading)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, KILLED), f"the worker failed with status {code}"
        return int(passed) if code == 0 else None

    def check(self) -> None:
        """One row and one file for each picture, nothing left over, the CSV as the ledger says."""
        here = self.installation()
        try:
            assert sorted(row.file_name for row in here.rows()) == sorted(PICTURES)
            assert len(shelved(here.paths)) == len(PICTURES)
            assert files_below(here.paths.inbox) == files_below(here.paths.queue) == []
            report = audit(here.spool, here.ledger)
            assert report.faults == []
            assert (report.seen, report.shelved, report.csv_files) == (2, 2, 1)
        finally:
            here.close()

    def copy_to(self, folder: Path) -> "Trial":
        shutil.copytree(self.folder, folder)
        return Trial(folder, self._bundle, self._pool)


@pytest.fixture(scope="module")
def base(tiny: Path) -> Iterator[Path]:
    """A folder in memory where there is one: thousands of syncs."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def pristine(tiny: Path, base: Path) -> Trial:
    logs.configure("error", "json")
    trial = Trial(base / "pristine", Bundle.load(tiny), HerePool(tiny))
    trial.drop_pictures()
    return trial


def killed_once(pristine: Trial, base: Path) -> Iterator[tuple[int, Trial]]:
    """Yield (point, trial) for every point of the first run, each killed there."""
    whole = pristine.copy_to(base / "whole")
    points = whole.run()
    assert points is not None
    shutil.rmtree(whole.folder)
    for point in range(1, points + 1):
        trial = pristine.copy_to(base / f"at-{point}")
        assert trial.run(die_at=point) is None
        yield point, trial
        shutil.rmtree(trial.folder)


def test_killed_at_every_point_nothing_is_lost_or_doubled(pristine: Trial, base: Path) -> None:
    points = 0
    for points, trial in killed_once(pristine, base):
        trial.run()

        try:
            trial.check()
        except AssertionError as error:
            raise AssertionError(f"killed at point {points}") from error

    assert points > 45, "two pictures cannot take fewer durable effects"


def test_killed_again_during_the_restart_nothing_is_lost_or_doubled(pristine: Trial, base: Path) -> None:
    for first, killed in killed_once(pristine, base):
        whole = killed.copy_to(base / "restarted")
        points = whole.run() or 0
        shutil.rmtree(whole.folder)
        for second in range(1 + first % STRIDE, points + 1, STRIDE):
            trial = killed.copy_to(base / "again")
            assert trial.run(die_at=second) is None
            trial.run()

            try:
                trial.check()
            except AssertionError as error:
                raise AssertionError(f"killed at point {first}, then at {second}") from error
            shutil.rmtree(trial.folder)


# --- the schedules above must catch code that is wrong


def append_at_the_end(self: Results, day: str) -> Healed | None:
    """No healing of a torn line: whatever the file holds, the new rows go behind it."""
    mark = self.written.get(self.file_of(day).name, Written(0, 0))
    seq, rows = self._render(day, mark)
    size = self._size(day)
    disk.append(self.file_of(day), rows, at=size)
    self.written[self.file_of(day).name] = Written(seq, size + len(rows))
    return None


def trust_the_tail(self: Results, day: str) -> Healed | None:
    """Trusting a torn tail: a file that is longer than we remember is taken to hold the rows."""
    mark = self.written.get(self.file_of(day).name, Written(0, 0))
    seq, rows = self._render(day, mark)
    size = self._size(day)
    if size <= mark.size_bytes:
        disk.append(self.file_of(day), rows, at=size)
        size += len(rows)
    self.written[self.file_of(day).name] = Written(seq, size)
    return None


def shelve_first(self: Worker, batch: list[_Judging]) -> None:
    """Shelve before record."""
    verdicts = self._judge(batch)
    for judging, verdict in zip(batch, verdicts, strict=True):
        self._shelve(judging.queued, verdict, judging)
    self.ledger.record(verdicts, self.results.written)
    self.results.project(sorted({verdict.day for verdict in verdicts}))


def no_look_up(self: Worker) -> list[Queued]:
    """No row look-up: all that lies in the queue is judged."""
    queued = self.spool.queued(self.config.batch.max_items, set(self._memory.judging))
    self._queue_empty = not queued
    return queued


@pytest.mark.parametrize(
    ("owner", "method", "mutation"),
    [
        (Results, "_project", append_at_the_end),
        (Results, "_project", trust_the_tail),
        (Worker, "_record", shelve_first),
        (Worker, "_left_over", no_look_up),
    ],
)
def test_a_worker_that_is_wrong_is_caught(
    owner: type,
    method: str,
    mutation: Callable[..., Any],
    pristine: Trial,
    base: Path,
    monkeypatch: Any,
    capfd: Any,
) -> None:
    monkeypatch.setattr(owner, method, mutation)
    caught = []

    for point, trial in killed_once(pristine, base):
        try:
            trial.run()
            trial.check()
        except AssertionError:
            caught.append(point)
        if caught:
            shutil.rmtree(trial.folder)
            break

    assert caught


def test_the_points_cover_what_the_worker_does(pristine: Trial, base: Path) -> None:
    """A point that is never passed would prove nothing: ctypes and sqlite must be watched as well."""
    seen: list[str] = []
    libc = disk._libc

    def noted(*arguments: Any) -> int:
        seen.append("rename")
        return int(libc.renameat2(*arguments))

    class Noting:
        renameat2 = staticmethod(noted)
        sync_file_range = staticmethod(libc.sync_file_range)

    trial = pristine.copy_to(base / "noted")
    disk._libc = Noting  # type: ignore[assignment]
    try:
        installation = trial.installation()
        installation.work()
        installation.close()
    finally:
        disk._libc = libc
        shutil.rmtree(trial.folder)

    assert isinstance(libc, ctypes.CDLL)
    assert seen.count("rename") == 2 * len(PICTURES)  # into the queue, onto the shelf

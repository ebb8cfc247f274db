"""A small installation for tests: folders, a tiny real model, and a worker that sees in this process."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from returnsd import config as configuration
from returnsd import disk, logs, policy
from returnsd.bundle import Bundle
from returnsd.config import Config
from returnsd.doorbell import Doorbell
from returnsd.errors import Unreadable
from returnsd.inbox import Inbox
from returnsd.ledger import LEDGER, Ledger
from returnsd.records import Verdict
from returnsd.spool import Spool
from returnsd.vision.decode import DecodeLimits, decode
from returnsd.vision.extractor import Extractor
from returnsd.vision.pool import Job, Pool, Seen
from returnsd.worker import Model, Worker


class HerePool(Pool):
    """Decodes and sees in this process: the same code as a decoder's, without its walls and its start-up time."""

    def __init__(self, bundle: Path) -> None:
        self.extractor = Extractor.load(bundle)
        self.jobs: deque[Job] = deque()
        self.batches: list[int] = []

    def submit(self, jobs: Sequence[Job]) -> None:
        self.jobs.extend(jobs)
        self.batches.append(len(jobs))

    def collect(self, timeout_s: float) -> list[Seen]:
        seen = []
        while self.jobs:
            job = self.jobs.popleft()
            try:
                seen.append(Seen(job.key, self.extractor(decode(job.data, DecodeLimits()))))
            except Unreadable as finding:
                seen.append(Seen.rejected(job.key, finding.reason, finding.detail))
        return seen

    def filenos(self) -> list[int]:
        return []


class Installation:
    """One worker over one folder; `again` is what a restart does."""

    def __init__(
        self,
        folder: Path,
        bundle: Bundle,
        pool: Pool,
        change: Callable[[Config], Config] = lambda config: config,
        now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        base = configuration.default(folder)
        watch = replace(base.watch, settle_s=0.0, patience_s=0.0, rescan_s=0.01, events=False)
        self.config = change(replace(base, watch=watch))
        self.paths = self.config.paths
        disk.make_folder(self.paths.inbox)
        self.spool = Spool(self.paths)
        self.ledger = Ledger(self.paths.state / LEDGER)
        doorbell = Doorbell(self.paths.inbox, recursive=True, events=False)
        inbox = Inbox(self.paths.inbox, self.config.watch, self.config.limits.file_mib << 20)
        self.model = Model(bundle, policy.Rule(0.9, 0.05))
        log = logs.get_logger("test")
        self.worker = Worker(self.config, self.spool, self.ledger, inbox, doorbell, pool, self.model, log, now=now)
        self.time = 0.0
        self.closed = False

    def drop(self, name: str, data: bytes) -> Path:
        """Put a file into the inbox."""
        path = self.paths.inbox / name
        path.write_bytes(data)
        return path

    def step(self, count: int = 1, seconds: float = 1.0) -> None:
        """Let time pass, and step."""
        for _ in range(count):
            self.time += seconds
            self.worker.step(self.time)

    def work(self, most: int = 500) -> None:
        """Step until nothing waits."""
        for _ in range(most):
            self.step()
            if self.worker.idle:
                return
        raise AssertionError(f"still not idle after {most} steps: {self.worker.tally}")

    def rows(self) -> list[Verdict]:
        """Return all verdicts in the order of recording."""
        return [verdict for _, verdict in self.ledger.verdicts_of()]

    def row(self, name: str) -> Verdict:
        """Return the one verdict on a file of that name."""
        found = [verdict for verdict in self.rows() if verdict.file_name == name]
        assert len(found) == 1, found
        return found[0]

    def close(self) -> None:
        """Give back what is open; once is enough."""
        if self.closed:
            return
        self.closed = True
        self.worker.forget()
        self.worker.doorbell.close()
        self.ledger.close()


def shelved(paths: configuration.Paths) -> list[Path]:
    """Return all files on the shelves."""
    folders = (paths.archive, paths.review, paths.rejected)
    return sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())


def files_below(folder: Path) -> list[Path]:
    """Return all files below a folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file())

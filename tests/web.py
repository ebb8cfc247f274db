"""The page's process for tests: a real desk over a real installation, asked in this process or over a real port."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from benchmarks.running import ROOT
from returnsd import logs, policy
from returnsd.bundle import Bundle
from returnsd.config import Config
from returnsd.web.app import create_app
from returnsd.web.desk import Desk, open_desk
from returnsd.web.serve import Server, address_of, bound
from tests.installation import HerePool, Installation
from tests.tiny import tiny_jpeg

TOKEN = "a-token-of-twenty-letters"


@dataclass
class House:
    """An installation, the desk over it, and a client that asks the desk."""

    installation: Installation
    desk: Desk
    client: httpx.Client

    def receive(self, category: str, *seeds: int, prefix: str = "photo") -> list[str]:
        """Drop pictures, let the worker shelve them, and return the ids of those that wait in review."""
        names = [f"{prefix}-{category}-{seed}.jpg" for seed in seeds]
        for name, seed in zip(names, seeds, strict=True):
            self.installation.drop(name, tiny_jpeg(category, seed))
        self.installation.work()
        rows = {row.file_name: row for row in self.installation.rows()}
        return [rows[name].item_id for name in names if rows[name].shelf == "review"]

    def receive_alike(self, count: int) -> list[str]:
        """Drop pictures that differ in a comment alone, and some that look like nothing else."""
        for seed in range(12):
            self.installation.drop(f"other-{seed}.jpg", tiny_jpeg(("dots", "noise")[seed % 2], seed))
        for number in range(count):
            self.installation.drop(f"alike-{number}.jpg", commented(tiny_jpeg("stripes", 5), f"{number}"))
        self.installation.work()
        return [row.item_id for row in self.installation.rows() if row.file_name.startswith("alike")][-count:]

    def settle_all(self) -> None:
        """Decide on all that waits, so that a test begins with nothing."""
        queue = self.client.get("/v1/review", params={"limit": 1000}).json()
        waiting = [item["item_id"] for section in queue["sections"] for item in section["items"]]
        for start in range(0, len(waiting), 500):  # so many are decided on at once
            part = waiting[start : start + 500]
            self.client.post("/v1/decisions", json={"item_ids": part, "reject": "settled"}).raise_for_status()

    def tend(self) -> None:
        """Let the side that decides do what is due now and then; a server does that every second."""
        categories = self.desk.judge.model.bundle.categories
        asyncio.run(self.desk.deciding.ask(lambda deciding: deciding.tend(categories)))

    def item(self, name: str) -> str:
        """Return the id of the item with that file name."""
        return self.installation.row(name).item_id


def commented(jpeg: bytes, comment: str) -> bytes:
    """Return a JPEG with a comment in it: other bytes, the same picture."""
    return jpeg[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment.encode() + jpeg[2:]


def configured(config: Config, bundle: Path, threshold: float, token_file: Path | None) -> Config:
    """Return a configuration whose model is a bundle and which asks for a token."""
    return replace(
        config,
        model=replace(config.model, bundle=str(bundle), threshold=threshold),
        web=replace(config.web, port=0, token_file=token_file),
        workers=1,
    )


@contextmanager
def open_house(folder: Path, bundle: Path, *, threshold: float = 0.9, token: str | None = None) -> Iterator[House]:
    """Open everything over an empty folder; from a `threshold` of 1 on, all pictures go to review."""
    token_file = None
    if token is not None:
        token_file = folder / "token"
        token_file.touch(0o600)
        token_file.write_text(token + "\n")
    installation = Installation(
        folder, Bundle.load(bundle), HerePool(bundle), lambda base: configured(base, bundle, threshold, token_file)
    )
    rule = policy.Rule(threshold if threshold < 1 else None, 0.05)
    installation.worker.model = replace(installation.model, rule=rule)
    with open_desk(installation.config, logs.get_logger("test")) as desk, served(desk) as address:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=address, headers=headers, timeout=30) as client:
            yield House(installation, desk, client)
        installation.close()


@contextmanager
def served(desk: Desk) -> Iterator[str]:
    """Serve a desk in a thread of this process; give its address."""
    with bound("127.0.0.1", 0) as listening:
        server = Server(create_app(desk))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
        thread.start()
        try:
            yield address_of(listening).rstrip("/")
        finally:
            server.should_exit = True
            thread.join()


class Served:
    """`returnsd web` in a process of its own over a folder."""

    def __init__(self, folder: Path, config: str) -> None:
        """Start it and wait until it tells its address."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "config.yaml"
        self.config.write_text(config)
        self._log = folder / "web.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "returnsd", "web", "--config", str(self.config)],
                stderr=log,
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        self.address = self._wait_for_address()

    def _wait_for_address(self) -> str:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            for line in self.log().splitlines():
                if '"web_started"' in line:
                    return line.partition('"address": "')[2].partition('"')[0].rstrip("/")
            time.sleep(0.02)
        self.close()
        raise RuntimeError(f"not served, exit status {self.process.poll()}:\n{self.log()}")

    def log(self) -> str:
        """Return what it wrote to stderr."""
        return self._log.read_text(errors="replace")

    def close(self) -> None:
        """Kill it if it runs still."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

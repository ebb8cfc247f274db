"""A real service in a process of its own over a folder, for benchmarks and tests."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent


class RunningService:
    """`returnsd run` over one folder; started, killed and started again at will."""

    def __init__(self, folder: Path, config: str = "") -> None:
        """Write the configuration; paths are below the folder."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "config.yaml"
        self.config.write_text(config)
        self.inbox = folder / "var/inbox"
        self.inbox.mkdir(parents=True, exist_ok=True)
        self.process: subprocess.Popen[bytes] | None = None
        self.ready_s = 0.0
        self._starts = 0
        self._notified = b""

    def start(
        self, *, wait_ready_s: float = 30.0, prefix: Sequence[str] = (), arguments: Sequence[str] = ()
    ) -> "RunningService":
        """Start it and wait until it says that it is ready, as systemd would."""
        self._starts += 1
        address = f"\0returnsd-{os.getpid()}-{id(self)}-{self._starts}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.bind(address)
            line.settimeout(0.05)
            began = time.monotonic()
            with (self.folder / "log").open("ab") as log:
                self.process = subprocess.Popen(
                    [*prefix, sys.executable, "-m", "returnsd", "run", *arguments, "--config", str(self.config)],
                    stderr=log,
                    env={**os.environ, "NOTIFY_SOCKET": address.replace("\0", "@", 1)},
                    cwd=ROOT,
                )
            while time.monotonic() - began < wait_ready_s:
                try:
                    if b"READY=1" in line.recv(4096):
                        self.ready_s = time.monotonic() - began
                        return self
                except TimeoutError:
                    if self.process.poll() is not None:
                        break
        raise RuntimeError(f"not ready, exit status {self.process.poll()}:\n{self.log()[-2000:]}")

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another returnsd command with the same configuration."""
        return subprocess.run(
            [sys.executable, "-m", "returnsd", *arguments, "--config", str(self.config)],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
        )

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it with a signal; return its exit status."""
        self.send(number)
        return self.ended()

    def ended(self, within_s: float = 30.0) -> int:
        """Wait for its end; return its exit status."""
        assert self.process is not None
        return self.process.wait(within_s)

    def close(self) -> None:
        """Kill it if it runs still."""
        if self.process is not None and self.process.poll() is None:
            self.stop(signal.SIGKILL)

    def __enter__(self) -> "RunningService":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def log(self) -> str:
        """Return all it wrote to stderr, over all starts."""
        return (self.folder / "log").read_text(errors="replace")

    def web_address(self, within_s: float = 30.0) -> str:
        """Return the address of the page (started with `--web`) once it is served."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            if started := self.events("web_started"):
                return str(started[-1]["address"]).rstrip("/")
            time.sleep(0.05)
        raise TimeoutError(f"no page after {within_s} s:\n{self.log()[-2000:]}")

    def events(self, name: str) -> list[dict[str, object]]:
        """Return the logged events of that name."""
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def rows(self) -> int:
        """Return how many rows the CSV files hold (complete lines, without headers)."""
        files = sorted((self.folder / "var/results").glob("returns-*.csv"))
        return sum(max(0, path.read_bytes().count(b"\r\n") - 1) for path in files)

    def wait_for_rows(self, count: int, within_s: float = 120.0) -> float:
        """Wait until the CSV files hold that many rows; return how long it took."""
        began = time.monotonic()
        while self.rows() < count:
            if time.monotonic() - began > within_s:
                raise TimeoutError(f"{self.rows()} of {count} rows after {within_s} s:\n{self.log()[-2000:]}")
            time.sleep(0.02)
        return time.monotonic() - began

    def process_ids(self) -> list[int]:
        """Return the ids of the service and of all that it started: decoders, the web process and its decoders."""
        assert self.process is not None
        found = [self.process.pid]
        for pid in found:  # grows on the way
            found += _children(pid)
        return found

    def memory_mib(self) -> float:
        """Return the memory of all its processes together, shared pages counted once (PSS), in MiB."""
        total_kib = 0
        for pid in self.process_ids():
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
            total_kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        return total_kib / 1024

    def cpu_s(self) -> float:
        """Return the processor time of all its processes so far."""
        ticks = 0
        for pid in self.process_ids():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")


def _children(pid: int) -> list[int]:
    """Return the ids of the processes that a process's threads started."""
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, path.read_text().split())
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found

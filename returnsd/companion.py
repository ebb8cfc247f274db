"""The web process beside the worker: started with it, started again when it ends, ended with it.

The worker does its work whatever happens to the page: a page that cannot be served is logged and tried again, ever
less often. Should the worker itself die, the kernel ends the companion.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from returnsd.logs import Logger

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_STEADY_S = 60.0
_LAST_S = 5.0


class Companion:
    """One child process, looked after in steps."""

    def __init__(self, command: Sequence[str], log: Logger) -> None:
        """Prepare; the first step starts it."""
        self._command = list(command)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_at = float("-inf")
        self._pause_s = _FIRST_PAUSE_S

    def step(self, now: float) -> None:
        """Start it if it is due; notice if it ended (now: monotonic seconds)."""
        if self._process is not None and (status := self._process.poll()) is not None:
            self._process = None
            if now - self._started_at > _STEADY_S:
                self._pause_s = _FIRST_PAUSE_S
            self._log.error("web_ended", exit_status=status, again_in_s=self._pause_s)
            self._start_at = now + self._pause_s
            self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        if self._process is None and now >= self._start_at:
            self._start(now)

    def _start(self, now: float) -> None:
        environment = {name: value for name, value in os.environ.items() if name not in _SYSTEMD}
        try:
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, env=environment)
        except OSError as error:
            self._log.error("web_not_started", error=str(error))
            self._start_at = now + _LONGEST_PAUSE_S
            return
        self._started_at = now

    def reload(self) -> None:
        """Have it read its configuration anew."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def tell_to_stop(self) -> None:
        """Ask it to end, without waiting."""
        if self._process is not None:
            self._process.terminate()

    def close(self) -> None:
        """End it: in good order if it manages within a few seconds."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_LAST_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def web_command(config: Path | None) -> list[str]:
    """Return the command that serves the page beside this process, and ends when this process does."""
    command = [sys.executable, "-m", "returnsd", "web", "--beside", str(os.getpid())]
    return command if config is None else [*command, "--config", str(config)]


_SYSTEMD = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")

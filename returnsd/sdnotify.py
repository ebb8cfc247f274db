"""Tells systemd how the service is, by the protocol of sd_notify(3); without systemd it does nothing.

A message that cannot be delivered is dropped: systemd may be restarting, and the service must go on.
"""

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass

_PATIENCE_S = 0.1  # a busy systemd gets a moment to read, a stuck one does not stop us


@dataclass(frozen=True, slots=True)
class Notifier:
    """Where to send states; `watchdog_s` is how long systemd waits between two watchdog() calls, or None."""

    address: str | bytes | None = None
    watchdog_s: float | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "Notifier":
        """Read NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID as systemd sets them."""
        path = environ.get("NOTIFY_SOCKET", "")
        address: str | bytes | None = None
        if path.startswith("@"):
            address = b"\0" + os.fsencode(path[1:])  # Linux's abstract names begin with a null byte
        elif path.startswith("/"):
            address = path
        return cls(address, _watchdog_s(environ))

    def ready(self, status: str) -> None:
        """Start-up, or a reload, is done."""
        self._send("READY=1", _status(status))

    def status(self, text: str) -> None:
        """Show a line in `systemctl status`."""
        self._send(_status(text))

    def watchdog(self) -> None:
        """There was progress; without it systemd restarts the service."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        """A reload begins; ready() ends it."""
        # the clock lets systemd tell this reload from an earlier one
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The service drains and ends."""
        self._send("STOPPING=1")

    def _send(self, *states: str) -> None:
        if self.address is None:
            return
        message = "\n".join(states).encode("utf-8", "backslashreplace")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(_PATIENCE_S)
                sender.sendto(message, self.address)
        except OSError:
            pass  # gone, full or refused: see the module's promise


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())  # a line break would begin another state


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """Return the watchdog's time if it is meant for this process, by sd_watchdog_enabled(3)."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    microseconds = environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdecimal() and int(microseconds) else None

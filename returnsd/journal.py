"""The journal's native protocol: an event with fields of its own, so that journalctl finds it by any of them.

One datagram an event (systemd.io/JOURNAL_NATIVE_PROTOCOL). What cannot be sent that way is left to the caller.
"""

import os
import re
import socket
import struct
from collections.abc import Mapping
from typing import TextIO

SOCKET = "/run/systemd/journal/socket"

_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_SEND_BYTES = 4 << 20
_PATIENCE_S = 1.0


def is_journal(stream: TextIO) -> bool:
    """Say whether the stream is the journal's, by systemd.exec(5): JOURNAL_STREAM is its device:inode."""
    try:
        stat = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{stat.st_dev}:{stat.st_ino}"


class Journal:
    """A way to the journal; `send` says whether the event went there."""

    def __init__(self, address: str | None = None) -> None:
        """Prepare; a journal that is not there is noticed when sending."""
        self._address = address or SOCKET
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
        self._line.settimeout(_PATIENCE_S)  # a journal that is stuck must not stop us

    def send(self, fields: Mapping[str, str]) -> bool:
        """Send one event; False if there is no journal, or the event is too large for one datagram."""
        try:
            self._line.sendto(packed(fields), self._address)
        except OSError:
            return False
        return True


def packed(fields: Mapping[str, str]) -> bytes:
    """Return fields in the protocol's form; names that it does not allow are left out."""
    parts = []
    for name, value in fields.items():
        if not _NAME.fullmatch(name):
            continue
        data = value.encode("utf-8", "backslashreplace")
        if b"\n" in data:
            parts += [name.encode(), b"\n", struct.pack("<Q", len(data)), data, b"\n"]
        else:
            parts += [name.encode(), b"=", data, b"\n"]
    return b"".join(parts)

"""Events as lines on stderr, JSON or readable; under systemd as journal entries with a field for each of theirs.

Promises: one event is one line, and whatever a field holds (a file name of any bytes, a number that JSON
lacks, a traceback) is made safe for logs and terminals instead of raising. A log that cannot be written stops
nothing. Libraries' warnings take the same way. `Counted` keeps an error that repeats from flooding the log.
"""

import json
import logging
import math
import numbers
import os
import re
import sys
import threading
from collections.abc import Hashable, Iterable, Mapping
from datetime import datetime
from typing import TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from returnsd.journal import Journal, is_journal

Logger = FilteringBoundLogger

# syslog's numbers, by which journald knows a line's level
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}
_HEAD = ("time", "level", "event", "logger", "exception")
# the journal's names of ours: what journalctl is asked for, or would take for its own
_FIELDS = {"item": "ITEM_ID", "message": "LIBRARY_MESSAGE", "priority": "EVENT_PRIORITY"}
_COLOUR = {"debug": "2", "warning": "33", "error": "31", "critical": "31"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_KEPT_KEYS = 1024


def configure(level: str, format: str, stream: TextIO | None = None) -> None:
    """Send events of at least that level to a stream (stderr); format is auto, json or console.

    Where the stream is the journal's, they go to the journal itself, with fields; auto is readable there.
    May be called again, for instance when the configuration was read anew.
    """
    stream = stream or sys.stderr
    console = format == "console" or (format == "auto" and stream.isatty())
    render = _Console(_takes_colour(stream)) if console else _json_line
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            _ordered,
            *([_ToJournal(Journal(), json=format == "json")] if is_journal(stream) else [render]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *name: _Lines(stream, *name),
        cache_logger_on_first_use=False,
    )
    _forward_libraries()


def get_logger(name: str) -> Logger:
    """Return a logger for a module; its events carry the name as `logger`."""
    logger: Logger = structlog.get_logger(name)
    return logger


class Counted:
    """Logs an event at once; while it repeats, one line every every_s seconds with the number left out."""

    def __init__(self, log: Logger, every_s: float = 60.0) -> None:
        self._log = log
        self._every_s = every_s
        self._seen: dict[Hashable, tuple[float, int]] = {}  # key: (last logged at, left out since)

    def event(self, key: Hashable, now: float, level: str, event: str, /, **fields: object) -> None:
        """Log or count an event; `now` is monotonic seconds, `key` tells what counts as the same."""
        logged_at, left_out = self._seen.pop(key, (-math.inf, 0))
        if now - logged_at < self._every_s:
            self._seen[key] = (logged_at, left_out + 1)
            return
        self._seen[key] = (now, 0)
        if len(self._seen) > _KEPT_KEYS:
            del self._seen[next(iter(self._seen))]  # the one not met for longest
        if left_out:
            fields["repeated"] = left_out
        self._log.log(logging.getLevelNamesMapping()[level.upper()], event, **fields)


class _Lines:
    """Writes whole lines; what goes wrong with the stream is no reason to stop the service."""

    def __init__(self, stream: TextIO, name: str = "") -> None:
        self._stream = stream
        self.name = name

    def msg(self, line: str) -> None:
        with _WRITING:
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except UnicodeEncodeError:
                self._stream.write(line.encode("ascii", "backslashreplace").decode() + "\n")
            except (OSError, ValueError):  # a closed pipe, a full disk, a closed stream
                pass

    debug = info = warning = error = critical = msg


_WRITING = threading.Lock()


class _Forward(logging.Handler):
    """Hands the warnings of libraries that use the standard logging on to ours."""

    def emit(self, record: logging.LogRecord) -> None:
        level = min(max(record.levelno // 10 * 10, logging.WARNING), logging.CRITICAL)
        get_logger(record.name).log(
            level, "library_warned", message=record.getMessage(), exc_info=record.exc_info or False
        )


def _forward_libraries() -> None:
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Forward)]:
        root.removeHandler(handler)
    root.addHandler(_Forward(logging.WARNING))
    logging.captureWarnings(True)


def _ordered(lines: _Lines, _: str, fields: EventDict) -> EventDict:
    """Make every value plain and put time, level and event first, the logger and a traceback last."""
    now = datetime.now().astimezone().isoformat(timespec="milliseconds")
    head = {"time": now, "level": fields.pop("level"), "event": _plain(fields.pop("event"))}
    traceback = {"exception": _plain(fields.pop("exception"))} if "exception" in fields else {}
    body = {_escaped(name): _plain(value) for name, value in fields.items() if name not in head}
    return head | body | {"logger": lines.name} | traceback


def _json_line(_: WrappedLogger, __: str, fields: EventDict) -> str:
    return json.dumps(fields).replace("\x7f", "\\u007f")


class _Console:
    """Renders `12:30:05 info    ` and the event's sentence."""

    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def __call__(self, _: WrappedLogger, __: str, fields: EventDict) -> str:
        level = fields["level"]
        line = f"{fields['time'][11:19]} {level:8}{_sentence(fields)}"
        code = _COLOUR.get(level) if self._colour else None
        return f"\x1b[{code}m{line}\x1b[0m" if code else line


def _sentence(fields: EventDict) -> str:
    """Return `item_shelved item=... shelf=archive`, a traceback below it."""
    told = {name: value for name, value in fields.items() if name not in _HEAD}
    said = [
        _printable(str(fields["event"])),
        *(f"{_printable(name)}={_word(value)}" for name, value in told.items()),
    ]
    below = [f"    {_printable(row)}" for row in str(fields.get("exception", "")).splitlines()]
    return "\n".join([" ".join(said), *below])


class _ToJournal:
    """Sends an event with its fields; one that cannot be sent is a line on stderr after all, with its priority."""

    def __init__(self, journal: Journal, *, json: bool) -> None:
        self._journal = journal
        self._json = json

    def __call__(self, lines: WrappedLogger, method: str, fields: EventDict) -> str:
        priority = _PRIORITY.get(method, 6)
        message = _json_line(lines, method, fields) if self._json else _sentence(fields)
        named = {_FIELDS.get(name, name.upper()): value for name, value in fields.items() if name not in _HEAD[:2]}
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in named.items()}
        head = {"MESSAGE": message, "PRIORITY": str(priority), "SYSLOG_IDENTIFIER": "returnsd"}
        if self._journal.send(texts | head):
            raise structlog.DropEvent
        return f"<{priority}>" + _json_line(lines, method, fields)


def _plain(value: object) -> object:
    """Return what JSON can hold and any reader takes."""
    if isinstance(value, str):
        return value if value.isascii() else _escaped(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value) if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {_escaped(str(name)): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in _sequence(value)]
    return _escaped(value.isoformat() if isinstance(value, datetime) else str(value))


def _sequence(value: Iterable[object]) -> Iterable[object]:
    return sorted(value, key=str) if isinstance(value, set | frozenset) else value


def _escaped(text: str) -> str:
    r"""Return text that is valid Unicode: a file name's stray byte 0xff becomes the four letters \xff."""
    return text if text.isascii() else _SURROGATE.sub(lambda found: _escape(ord(found[0])), text)


def _escape(code: int) -> str:
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def _printable(text: str) -> str:
    """Return text without anything a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _word(value: object) -> str:
    """Return a value as one word, in quotes where it needs them."""
    if isinstance(value, str) and re.fullmatch(r"[^\s\"'=\\]+", value):
        return _printable(value)
    return _printable(json.dumps(value, ensure_ascii=False))


def _takes_colour(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

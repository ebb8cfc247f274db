"""Log lines: their shape, their safety, and errors that repeat."""

import io
import json
import logging
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import numpy as np
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from returnsd import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave structlog and the standard logging as they were."""
    handlers = list(logging.getLogger().handlers)
    yield
    logging.captureWarnings(False)
    logging.getLogger().handlers[:] = handlers
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_an_event_is_one_json_line_with_time_level_and_event_first() -> None:
    stream = io.StringIO()
    logs.configure("info", "auto", stream)

    logs.get_logger("returnsd.worker").info("item_shelved", item="01ARZ", shelf="archive")

    (line,) = lines(stream)
    assert list(line) == ["time", "level", "event", "item", "shelf", "logger"]
    assert line["event"] == "item_shelved"
    assert line["level"] == "info"
    assert datetime.fromisoformat(str(line["time"])).tzinfo is not None


def test_events_below_the_level_are_left_out_and_the_level_can_change() -> None:
    stream = io.StringIO()
    log = logs.get_logger("x")

    logs.configure("warning", "json", stream)
    log.info("too_quiet")
    logs.configure("debug", "json", stream)
    log.debug("heard")

    assert [line["event"] for line in lines(stream)] == ["heard"]


def test_a_traceback_is_one_field_of_the_line() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)

    try:
        raise OSError("no\udcff\nspace")
    except OSError:
        logs.get_logger("x").exception("batch_failed")

    (line,) = lines(stream)
    assert line["level"] == "error"
    assert "Traceback" in str(line["exception"])
    assert "no\\xff\nspace" in str(line["exception"])


def test_values_that_json_lacks_are_made_plain() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)

    logs.get_logger("x").info(
        "seen",
        path=Path("/a"),
        nan=float("nan"),
        single=np.float32(0.5),
        count=np.int64(3),
        at=datetime(2026, 1, 2, tzinfo=UTC),
        raw=b"\xff",
        names={"b", "a"},
        nested={"name": ("\udcff",)},
    )

    (line,) = lines(stream)
    assert line["path"] == "/a"
    assert line["nan"] == "nan"
    assert line["single"] == 0.5
    assert line["count"] == 3
    assert line["at"] == "2026-01-02T00:00:00+00:00"
    assert line["raw"] == "b'\\xff'"
    assert line["names"] == ["a", "b"]
    assert line["nested"] == {"name": ["\\xff"]}


def test_a_file_name_of_any_bytes_is_logged_readably() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)

    logs.get_logger("x").info("item_taken_in", file_name=os.fsdecode(b"caf\xe9 \x1b[2J\n.jpg"))

    assert "\x1b" not in stream.getvalue()
    assert lines(stream)[0]["file_name"] == "caf\\xe9 \x1b[2J\n.jpg"


TEXTS = st.text(st.characters(), max_size=20) | st.binary(max_size=20).map(os.fsdecode)


@pytest.mark.parametrize("format", ["json", "console"])
@given(event=TEXTS, value=TEXTS, name=TEXTS)
def test_no_text_breaks_a_line_or_reaches_the_terminal_raw(format: str, event: str, value: str, name: str) -> None:
    stream = io.StringIO()
    logs.configure("info", format, stream)

    logs.get_logger("x").info(event, **{f"_{name}": value, "many": [value]})

    (line,) = stream.getvalue().split("\n")[:-1]
    assert line.isprintable()
    line.encode()


def test_on_a_terminal_a_line_is_readable_and_escapes_are_shown_not_obeyed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    logs.configure("info", "auto", stream)

    logs.get_logger("x").warning("intake_paused", reason="disk full", file="\x1b[31m", free_mib=3)

    line = stream.getvalue()
    assert line.startswith("\x1b[33m")
    assert line[5 + 8 :] == ' warning intake_paused reason="disk full" file=\\x1b[31m free_mib=3\x1b[0m\n'


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    logs.configure("info", "auto", stream)

    logs.get_logger("x").error("disk_full")

    assert "\x1b" not in stream.getvalue()


def test_a_traceback_on_the_console_is_indented_below_its_event() -> None:
    stream = io.StringIO()
    logs.configure("info", "console", stream)

    try:
        raise OSError("\x1b[2J")
    except OSError:
        logs.get_logger("x").exception("batch_failed")

    first, *below = stream.getvalue().splitlines()
    assert first.endswith("error   batch_failed")
    assert below[-1] == "    OSError: \\x1b[2J"


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A socket in journald's place, and a stderr that systemd says is the journal's."""
    monkeypatch.setattr("returnsd.journal.SOCKET", str(tmp_path / "socket"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(5)
        yield listener


@contextmanager
def journal_stream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TextIO]:
    with (tmp_path / "stderr").open("w+", encoding="utf-8") as stream:
        stat = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{stat.st_dev}:{stat.st_ino}")
        yield stream


def test_in_the_journal_an_event_has_its_fields_and_a_readable_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: socket.socket
) -> None:
    journal.bind(str(tmp_path / "socket"))
    with journal_stream(tmp_path, monkeypatch) as stream:
        logs.configure("debug", "auto", stream)

        logs.get_logger("x").warning("item_rejected", item="01ARZ", file="a b.jpg", detail=None, pixels=3)

    entry = journal.recv(4096).decode().splitlines()
    assert (tmp_path / "stderr").read_text() == ""
    assert {"ITEM_ID=01ARZ", "EVENT=item_rejected", "PRIORITY=4", "FILE=a b.jpg", "PIXELS=3"} <= set(entry)
    assert 'MESSAGE=item_rejected item=01ARZ file="a b.jpg" detail=null pixels=3' in entry
    assert "SYSLOG_IDENTIFIER=returnsd" in entry


def test_in_the_journal_json_stays_json_where_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: socket.socket
) -> None:
    journal.bind(str(tmp_path / "socket"))
    with journal_stream(tmp_path, monkeypatch) as stream:
        logs.configure("debug", "json", stream)

        logs.get_logger("x").info("item_shelved", item="01ARZ")

    (message,) = [line for line in journal.recv(4096).decode().splitlines() if line.startswith("MESSAGE=")]
    assert json.loads(message.removeprefix("MESSAGE="))["item"] == "01ARZ"


def test_a_library_cannot_take_the_place_of_our_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: socket.socket
) -> None:
    journal.bind(str(tmp_path / "socket"))
    with journal_stream(tmp_path, monkeypatch) as stream:
        logs.configure("info", "auto", stream)

        logging.getLogger("watchdog").warning("queue %s", "full")

    entry = journal.recv(4096).decode().splitlines()
    assert "LIBRARY_MESSAGE=queue full" in entry
    assert sum(line.startswith("MESSAGE=") for line in entry) == 1


def test_a_journal_that_cannot_be_reached_gets_lines_with_their_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, journal: socket.socket
) -> None:
    with journal_stream(tmp_path, monkeypatch) as stream:
        logs.configure("debug", "json", stream)

        for level in ("debug", "info", "warning", "error"):
            getattr(logs.get_logger("x"), level)("said")

    written = (tmp_path / "stderr").read_text().splitlines()
    assert [line[:4] for line in written] == ["<7>{", "<6>{", "<4>{", "<3>{"]


def test_another_stream_than_the_journals_carries_no_priority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    with (tmp_path / "file").open("w", encoding="utf-8") as stream:
        logs.configure("info", "json", stream)

        logs.get_logger("x").info("said")

    assert (tmp_path / "file").read_text().startswith("{")


def test_a_closed_or_full_stream_stops_nothing() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    stream.close()

    logs.get_logger("x").info("unheard")

    with Path("/dev/full").open("w", encoding="utf-8") as full:
        logs.configure("info", "json", full)
        logs.get_logger("x").info("unheard")
        os.dup2(os.open(os.devnull, os.O_WRONLY), full.fileno())


def test_a_stream_that_lacks_a_letter_gets_its_escape(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w", encoding="ascii") as stream:
        logs.configure("info", "console", stream)

        logs.get_logger("x").info("said", name="ü")

    assert (tmp_path / "log").read_text().endswith("name=\\xfc\n")


def test_warnings_of_libraries_take_the_same_way_once() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    logs.configure("info", "json", stream)

    logging.getLogger("watchdog.observers").warning("queue %s", "full")
    logging.getLogger("watchdog.observers").info("left out")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)
        warnings.warn("divided by zero", RuntimeWarning, stacklevel=1)

    first, second = lines(stream)
    assert first["event"] == "library_warned"
    assert first["level"] == "warning"
    assert first["message"] == "queue full"
    assert first["logger"] == "watchdog.observers"
    assert "divided by zero" in str(second["message"])


def test_a_repeated_event_is_logged_at_once_then_counted() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    counted = logs.Counted(logs.get_logger("x"), every_s=60)

    for now in (0.0, 1.0, 59.9, 60.0, 61.0, 200.0, 300.0):
        counted.event("disk", now, "error", "disk_full", free=0)

    heard = lines(stream)
    assert [line.get("repeated") for line in heard] == [None, 2, 1, None]
    assert {line["level"] for line in heard} == {"error"}
    assert {line["free"] for line in heard} == {0}


def test_events_with_other_keys_are_counted_apart_and_forgotten_in_the_end() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    counted = logs.Counted(logs.get_logger("x"))

    for key in ["first", *range(2000), "first", 1999]:
        counted.event(key, 0.0, "warning", "file_odd")

    assert len(lines(stream)) == 2002

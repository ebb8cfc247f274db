"""States sent to a real socket in systemd's place."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from returnsd.sdnotify import Notifier


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A listening socket and the NOTIFY_SOCKET that names it."""
    name = str(tmp_path / "notify") if request.param == "path" else f"\0returnsd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(name)
        listener.settimeout(5)
        yield listener, name.replace("\0", "@")


def test_states_arrive_as_systemd_reads_them(systemd: tuple[socket.socket, str]) -> None:
    listener, name = systemd
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": name})

    notifier.ready("judging")
    notifier.status("7 queued")
    notifier.watchdog()
    notifier.stopping()

    received = [listener.recv(4096) for _ in range(4)]
    assert received == [b"READY=1\nSTATUS=judging", b"STATUS=7 queued", b"WATCHDOG=1", b"STOPPING=1"]


def test_a_reload_carries_the_monotonic_clock(systemd: tuple[socket.socket, str]) -> None:
    listener, name = systemd
    before = time.monotonic_ns() // 1000

    Notifier.from_environment({"NOTIFY_SOCKET": name}).reloading()

    state, clock = listener.recv(4096).decode().split("\n")
    assert state == "RELOADING=1"
    assert clock.startswith("MONOTONIC_USEC=")
    assert before <= int(clock.split("=")[1]) <= time.monotonic_ns() // 1000


def test_a_status_stays_one_line_and_takes_any_text(systemd: tuple[socket.socket, str]) -> None:
    listener, name = systemd

    Notifier.from_environment({"NOTIFY_SOCKET": name}).status("odd\nREADY=1 \udcff")

    assert listener.recv(4096) == b"STATUS=odd READY=1 \\udcff"


@pytest.mark.parametrize("name", ["/nowhere/notify", "@returnsd-nobody-listens", "/" + "x" * 200, "relative", ""])
def test_a_socket_that_is_gone_or_odd_is_no_error(name: str) -> None:
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": name})

    notifier.ready("judging")
    notifier.watchdog()


def test_a_socket_nobody_empties_does_not_hold_us_up(tmp_path: Path) -> None:
    name = str(tmp_path / "notify")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as flood,
    ):
        listener.bind(name)
        with pytest.raises(BlockingIOError):
            while True:
                flood.sendto(b"noise", name)

        Notifier.from_environment({"NOTIFY_SOCKET": name}).watchdog()

        assert listener.recv(4096) == b"noise"


def test_without_systemd_nothing_is_sent() -> None:
    notifier = Notifier.from_environment({})

    notifier.ready("judging")

    assert notifier == Notifier(address=None, watchdog_s=None)


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_on_only_for_the_process_it_is_meant_for(
    environ: dict[str, str], watchdog_s: float | None
) -> None:
    assert Notifier.from_environment(environ).watchdog_s == watchdog_s

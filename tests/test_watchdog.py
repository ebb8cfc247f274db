"""The watchdog hears of progress, of rest and of pauses, and of nothing else."""

import errno
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from returnsd import config as configuration
from returnsd.bundle import Bundle
from returnsd.sdnotify import Notifier
from returnsd.service import Service
from returnsd.vision.pool import Seen
from tests.installation import HerePool, Installation
from tests.tiny import tiny_jpeg


class DeafPool(HerePool):
    """Takes pictures and never answers, until told to."""

    deaf = True

    def collect(self, timeout_s: float) -> list[Seen]:
        return [] if self.deaf else super().collect(timeout_s)


@pytest.fixture
def pool(tiny: Path) -> DeafPool:
    return DeafPool(tiny)


@pytest.fixture
def here(tmp_path: Path, tiny: Path, pool: DeafPool) -> Iterator[Installation]:
    installation = Installation(tmp_path, Bundle.load(tiny), pool)
    yield installation
    installation.close()


def patience_s(here: Installation) -> float:
    limits = here.config.limits
    return (limits.attempts + 1) * (limits.decode_s + 5)


def test_a_worker_with_nothing_to_do_is_never_stuck(here: Installation) -> None:
    here.step(3, seconds=10_000)

    assert not here.worker.stuck(here.time)


def test_pictures_that_nobody_answers_for_are_no_progress_though_the_loop_turns(here: Installation) -> None:
    here.drop("a.jpg", tiny_jpeg("stripes", 1))
    here.step(10)
    assert here.worker.in_flight == 1

    before_patience_ends = here.time + patience_s(here) - 15
    assert not here.worker.stuck(before_patience_ends)
    here.step(20, seconds=patience_s(here) / 10)

    assert here.worker.stuck(here.time)


def test_others_that_arrive_meanwhile_are_no_progress_either(here: Installation) -> None:
    for number in range(30):
        here.drop(f"{number}.jpg", tiny_jpeg("stripes", number))
        here.step(2, seconds=patience_s(here) / 20)

    assert here.worker.stuck(here.time)


def test_an_answer_is_progress(here: Installation, pool: DeafPool) -> None:
    here.drop("a.jpg", tiny_jpeg("stripes", 1))
    here.step(5, seconds=patience_s(here))
    pool.deaf = False

    here.work()

    assert not here.worker.stuck(here.time)


def test_a_pause_with_a_known_reason_is_not_stuck(here: Installation) -> None:
    here.drop("a.jpg", tiny_jpeg("stripes", 1))
    here.step(5)

    here.worker._pause(OSError(errno.ENOSPC, "No space left on device"), here.time)

    assert not here.worker.stuck(here.time + 10 * patience_s(here))


@pytest.fixture
def told(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        yield listener


@pytest.fixture
def service(tmp_path: Path, tiny: Path, told: socket.socket) -> Iterator[Service]:
    text = f"model: {{bundle: {tiny}}}\nwatch: {{events: false}}\nworkers: 1\n"
    running = Service(lambda: configuration.parse(text, tmp_path), Notifier(str(tmp_path / "notify"), 60.0))
    yield running
    running.close()


def messages(told: socket.socket, count: int) -> list[str]:
    return [told.recv(4096).decode() for _ in range(count)]


def test_the_service_tells_the_watchdog_and_its_queue_and_rate(service: Service, told: socket.socket) -> None:
    service._tell(0.0)

    alive, status = messages(told, 2)
    assert alive == "WATCHDOG=1"
    assert status.startswith("STATUS=0 arriving, 0 in the queue, 0.0/s, model tiny-1.0+")


def test_a_service_where_nothing_moves_tells_its_status_and_not_the_watchdog(
    service: Service, told: socket.socket, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.worker, "stuck", lambda now: now >= 100)

    for now in (0.0, 100.0, 200.0):
        service._tell(now)

    heard = messages(told, 4)
    assert [line.partition("=")[0] for line in heard] == ["WATCHDOG", "STATUS", "STATUS", "STATUS"]
    assert heard[-1].endswith("; nothing moves")


def test_a_short_watchdog_is_told_often_enough(tmp_path: Path, tiny: Path) -> None:
    text = f"model: {{bundle: {tiny}}}\nwatch: {{events: false}}\nworkers: 1\n"

    hurried = Service(lambda: configuration.parse(text, tmp_path), Notifier(None, 2.0))
    hurried.close()

    assert hurried._tell_s == 0.5

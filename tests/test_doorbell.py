"""The doorbell: events are hints where to look, and it rings for whoever waits on its descriptor."""

import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from watchdog.events import DirCreatedEvent, FileClosedEvent, FileMovedEvent

from returnsd import doorbell as module
from returnsd.doorbell import Doorbell

LONGEST_S = 10.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def doorbell(folder: Path) -> Iterator[Doorbell]:
    doorbell = Doorbell(folder, recursive=True)
    yield doorbell
    doorbell.close()


def rings(doorbell: Doorbell, within_s: float = 0.0) -> bool:
    poll = select.poll()
    poll.register(doorbell.fileno(), select.POLLIN)
    return bool(poll.poll(within_s * 1000))


def hints_until(doorbell: Doorbell, wanted: Path) -> list[str]:
    """Wait at the bell until it names a path; return all it named."""
    hints: list[str] = []
    deadline = time.monotonic() + LONGEST_S
    while str(wanted) not in hints:
        assert time.monotonic() < deadline, f"no event named {wanted}, only {hints}"
        rings(doorbell, 1.0)
        hints += doorbell.answer()[0]
    return hints


# --- hints


def test_it_rings_until_it_is_answered_and_names_every_path_once(doorbell: Doorbell) -> None:
    silent = rings(doorbell)
    for path in ("/inbox/a.jpg", "/inbox/b.jpg", "/inbox/a.jpg"):
        doorbell.dispatch(FileClosedEvent(path))
    ringing = rings(doorbell)

    answer = doorbell.answer()

    assert (silent, ringing, rings(doorbell)) == (False, True, False)
    assert answer == (["/inbox/a.jpg", "/inbox/b.jpg"], False)
    assert doorbell.answer() == ([], False)


def test_it_rings_again_after_an_answer(doorbell: Doorbell) -> None:
    doorbell.dispatch(FileClosedEvent("/inbox/a.jpg"))
    doorbell.answer()

    doorbell.dispatch(FileClosedEvent("/inbox/b.jpg"))

    assert rings(doorbell)
    assert doorbell.answer() == (["/inbox/b.jpg"], False)


def test_a_move_names_where_the_file_is_now(doorbell: Doorbell) -> None:
    doorbell.dispatch(FileMovedEvent("/inbox/a.jpg.part", "/inbox/a.jpg"))
    doorbell.dispatch(FileMovedEvent(os.fsencode("/inbox/b.part"), b"/inbox/\xff.jpg"))
    doorbell.dispatch(DirCreatedEvent("/inbox/day"))

    assert doorbell.answer() == (["/inbox/a.jpg", os.fsdecode(b"/inbox/\xff.jpg"), "/inbox/day"], False)


def test_more_events_than_it_remembers_ask_for_a_scan(doorbell: Doorbell, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(module.MOST_HINTS + 5):
        doorbell.dispatch(FileClosedEvent(f"/inbox/{number}.jpg"))

    hints, lost = doorbell.answer()

    assert lost
    assert len(hints) == module.MOST_HINTS
    assert doorbell.answer() == ([], False)


# --- ringing


def test_a_signal_wakes_whoever_waits(doorbell: Doorbell) -> None:
    before = signal.signal(signal.SIGUSR1, lambda *_: doorbell.ring())
    try:
        signal.raise_signal(signal.SIGUSR1)
        woken = rings(doorbell, LONGEST_S)
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert woken
    assert doorbell.answer() == ([], False)


def test_another_thread_wakes_whoever_waits(doorbell: Doorbell) -> None:
    visitor = threading.Thread(target=doorbell.ring)
    visitor.start()

    woken = rings(doorbell, LONGEST_S)
    visitor.join()

    assert woken


def test_an_event_that_comes_while_it_is_answered_does_not_silence_it(
    doorbell: Doorbell, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = os.eventfd_read

    def interrupted(descriptor: int) -> int:
        doorbell.dispatch(FileClosedEvent("/inbox/meanwhile.jpg"))
        return read(descriptor)

    monkeypatch.setattr(os, "eventfd_read", interrupted)
    answer = doorbell.answer()
    monkeypatch.undo()

    doorbell.dispatch(FileClosedEvent("/inbox/later.jpg"))

    assert answer == (["/inbox/meanwhile.jpg"], False)
    assert rings(doorbell)


# --- real events


@pytest.mark.parametrize(
    "arrive",
    [
        lambda outside, path: path.write_bytes(b"picture"),
        lambda outside, path: outside.rename(path),
        lambda outside, path: (path.with_name("a.part").write_bytes(b"x"), path.with_name("a.part").rename(path)),
    ],
    ids=["written", "moved in", "renamed inside"],
)
def test_a_file_that_arrives_is_named(
    arrive: Callable[[Path, Path], object], folder: Path, doorbell: Doorbell, tmp_path: Path
) -> None:
    (tmp_path / "outside").write_bytes(b"picture")
    doorbell.start()

    arrive(tmp_path / "outside", folder / "a.jpg")

    assert str(folder / "a.jpg") in hints_until(doorbell, folder / "a.jpg")


def test_a_file_in_a_folder_is_named_where_folders_are_watched(folder: Path, doorbell: Doorbell) -> None:
    (folder / "day").mkdir()
    doorbell.start()

    (folder / "day/a.jpg").write_bytes(b"picture")

    assert str(folder / "day/a.jpg") in hints_until(doorbell, folder / "day/a.jpg")


def test_a_file_in_a_folder_is_not_named_where_folders_are_left_alone(folder: Path) -> None:
    (folder / "day").mkdir()
    doorbell = Doorbell(folder, recursive=False)
    doorbell.start()

    (folder / "day/a.jpg").write_bytes(b"picture")
    (folder / "last.jpg").write_bytes(b"picture")
    hints = hints_until(doorbell, folder / "last.jpg")
    doorbell.close()

    assert str(folder / "day/a.jpg") not in hints


def test_many_files_at_once_are_all_named(folder: Path, doorbell: Doorbell) -> None:
    doorbell.start()

    for number in range(300):
        (folder / f"{number}.jpg").write_bytes(b"picture")
    hints = hints_until(doorbell, folder / "299.jpg")

    assert {os.path.basename(hint) for hint in hints} == {f"{number}.jpg" for number in range(300)}


def test_moving_files_out_does_not_hold_back_the_news_of_others(
    folder: Path, doorbell: Doorbell, tmp_path: Path
) -> None:
    doorbell.start()
    waited_s = []

    for number in range(5):
        old, new = folder / f"old{number}.jpg", folder / f"new{number}.jpg"
        old.write_bytes(b"picture")
        old.rename(tmp_path / f"{number}.jpg")
        began = time.monotonic()
        new.write_bytes(b"picture")
        hints_until(doorbell, new)
        waited_s.append(time.monotonic() - began)

    assert min(waited_s) < 0.3  # watchdog by itself waits half a second, every time


# --- alive


def test_it_is_alive_while_its_threads_are(folder: Path, doorbell: Doorbell) -> None:
    before = doorbell.alive()
    doorbell.start()
    started = doorbell.alive()
    doorbell.stop()

    assert (before, started, doorbell.alive()) == (False, True, False)


def test_a_watcher_whose_thread_ended_is_noticed(doorbell: Doorbell) -> None:
    doorbell.start()
    observer = doorbell._observer
    assert observer is not None
    (emitter,) = observer.emitters
    emitter.stop()
    emitter.join(LONGEST_S)

    assert observer.is_alive()
    assert not doorbell.alive()


def test_it_can_be_started_again_on_a_new_folder_of_the_same_name(folder: Path, doorbell: Doorbell) -> None:
    doorbell.start()
    folder.rename(folder.with_name("unmounted"))
    folder.mkdir()
    doorbell.stop()

    doorbell.start()
    (folder / "a.jpg").write_bytes(b"picture")

    assert str(folder / "a.jpg") in hints_until(doorbell, folder / "a.jpg")


def test_a_folder_that_is_not_there_cannot_be_watched(tmp_path: Path) -> None:
    doorbell = Doorbell(tmp_path / "missing", recursive=True)

    with pytest.raises(OSError, match="No such file"):
        doorbell.start()

    assert not doorbell.alive()
    doorbell.close()


def test_without_events_nothing_is_watched_and_nothing_is_amiss(folder: Path) -> None:
    doorbell = Doorbell(folder, recursive=True, events=False)

    doorbell.start()

    assert doorbell.alive()
    assert doorbell._observer is None
    doorbell.close()


def test_it_listens_otherwise_from_the_next_start_on(folder: Path, doorbell: Doorbell) -> None:
    doorbell.reconfigure(recursive=True, events=False)
    doorbell.start()
    silent = doorbell._observer is None
    doorbell.reconfigure(recursive=True, events=True)
    doorbell.start()

    (folder / "a.jpg").write_bytes(b"picture")

    assert silent
    assert str(folder / "a.jpg") in hints_until(doorbell, folder / "a.jpg")

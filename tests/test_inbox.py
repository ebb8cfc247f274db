"""The inbox: what has arrived whole is offered, the rest waits, is told, or is left alone."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from returnsd import inbox as module
from returnsd.config import Watch
from returnsd.inbox import Finding, Inbox
from tests.pictures import encode, picture

WATCH = Watch(settle_s=2.0, rescan_s=5.0, patience_s=10.0, events=False)
LIMIT = 1 << 20
PICTURE = encode(picture(), "JPEG")
HALF = PICTURE[:-20]
NOBODY = 65534


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def inbox(folder: Path) -> Inbox:
    return Inbox(folder, WATCH, LIMIT)


def drop(folder: Path, name: str | bytes = "a.jpg", data: bytes = PICTURE) -> Path:
    path = folder / os.fsdecode(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def offered(inbox: Inbox, now: float, places: int = 100) -> list[str]:
    """Look and ask, as a step of the worker does; return what is offered, from the inbox on."""
    inbox.rescan()
    while inbox.scan(now) and inbox._walk is not None:
        pass
    return [os.path.relpath(path, inbox.folder) for path in inbox.arrivals(now, places)]


def first_offers(inbox: Inbox, times: range) -> dict[str, int]:
    """Return when each file was offered for the first time."""
    found: dict[str, int] = {}
    for now in times:
        for name in offered(inbox, now):
            found.setdefault(name, now)
    return found


@contextmanager
def as_nobody() -> Iterator[None]:
    """Do without root's right to read everything."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


# --- settling


def test_a_file_is_offered_once_it_has_not_changed_for_settle_s(folder: Path, inbox: Inbox) -> None:
    drop(folder)

    assert [offered(inbox, now) for now in (100.0, 101.9, 102.0)] == [[], [], ["a.jpg"]]


def swap(path: Path) -> None:
    path.with_name(".other").write_bytes(PICTURE)
    path.with_name(".other").rename(path)


@pytest.mark.parametrize(
    "change",
    [lambda path: path.write_bytes(PICTURE + b"more"), lambda path: os.utime(path, (1, 1)), swap],
    ids=["longer", "touched", "another file of that name"],
)
def test_a_file_that_changes_waits_anew(change: Callable[[Path], object], folder: Path, inbox: Inbox) -> None:
    path = drop(folder)
    offered(inbox, 100.0)
    change(path)

    found = [offered(inbox, now) for now in (101.0, 102.5, 103.0)]

    assert found == [[], [], ["a.jpg"]]


def test_a_file_that_changed_since_the_last_look_is_not_offered(folder: Path, inbox: Inbox) -> None:
    path = drop(folder)
    offered(inbox, 100.0)
    path.write_bytes(PICTURE + b"more")

    found = [inbox.arrivals(now, 10) for now in (103.0, 104.9, 105.0)]

    assert found == [[], [], [str(path)]]


def test_a_clock_or_a_date_of_any_kind_does_not_matter(folder: Path, inbox: Inbox) -> None:
    os.utime(drop(folder, "future.jpg"), (4_000_000_000, 4_000_000_000))
    os.utime(drop(folder, "past.jpg"), (-1000, -1000))

    assert first_offers(inbox, range(100, 104)) == {"future.jpg": 102, "past.jpg": 102}


def test_a_file_that_is_gone_is_forgotten(folder: Path, inbox: Inbox) -> None:
    for name in ("a.jpg", "b.jpg"):
        drop(folder, name)
    offered(inbox, 100.0)
    (folder / "a.jpg").unlink()

    assert inbox.arrivals(102.0, 10) == [str(folder / "b.jpg")]
    offered(inbox, 102.0)
    assert len(inbox) == 1


def test_what_was_taken_in_is_not_offered_again(folder: Path, inbox: Inbox) -> None:
    path = drop(folder)
    offered(inbox, 100.0)
    (taken,) = inbox.arrivals(102.0, 10)
    path.rename(folder.parent / "a.jpg")

    inbox.forget(taken)

    assert offered(inbox, 103.0) == []
    assert len(inbox) == 0


def test_a_file_of_any_name_is_offered(folder: Path, inbox: Inbox) -> None:
    names = {b"\xff\xfe.jpg", b"line\nbreak.jpg", b"-rf", b"a" * 255, "ü".encode() * 127}
    for name in names:
        drop(folder, name)

    offered(inbox, 100.0)

    assert {os.fsencode(name) for name in offered(inbox, 102.0)} == names


# --- whole or not


@pytest.mark.parametrize("data", [HALF, b""], ids=["half a picture", "nothing"])
def test_what_is_not_whole_is_held_until_patience_ends_and_told_once(
    data: bytes, folder: Path, inbox: Inbox
) -> None:
    path = drop(folder, data=data)

    found = first_offers(inbox, range(100, 115))

    assert found == {"a.jpg": 110}
    assert inbox.findings == [Finding(str(path), "incomplete")]


def test_what_becomes_whole_is_offered_when_it_has_settled_again(folder: Path, inbox: Inbox) -> None:
    path = drop(folder, data=HALF)
    offered(inbox, 100.0)
    held = offered(inbox, 102.0)
    path.write_bytes(PICTURE)

    assert (held, first_offers(inbox, range(103, 115))) == ([], {"a.jpg": 105})


@pytest.mark.parametrize("data", [b"no picture at all", PICTURE + b"junk behind its end"])
def test_what_no_further_byte_would_make_whole_is_offered_at_once(data: bytes, folder: Path, inbox: Inbox) -> None:
    drop(folder, data=data)
    offered(inbox, 100.0)

    assert offered(inbox, 102.0) == ["a.jpg"]


def test_a_file_above_the_limit_is_offered_without_a_look_inside(folder: Path) -> None:
    inbox = Inbox(folder, WATCH, limit_bytes=len(HALF) - 1)
    drop(folder, data=HALF)
    offered(inbox, 100.0)

    assert offered(inbox, 102.0) == ["a.jpg"]


def test_a_file_that_someone_writes_to_is_held_however_long_it_takes(folder: Path, inbox: Inbox) -> None:
    path = drop(folder)
    with path.open("ab"):
        held = first_offers(inbox, range(100, 140))

    found = first_offers(inbox, range(140, 150))

    assert held == {}
    assert found == {"a.jpg": 142}
    assert inbox.findings == [Finding(str(path), "open_for_writing")]


def test_an_event_ends_the_waiting_of_a_held_file_at_once(folder: Path, inbox: Inbox) -> None:
    path = drop(folder)
    with path.open("ab"):
        offered(inbox, 100.0)
        offered(inbox, 102.0)

    without = inbox.arrivals(103.0, 10)
    inbox.hint(str(path), 103.0)

    assert (without, inbox.arrivals(103.0, 10)) == ([], [str(path)])


def test_a_file_that_we_may_not_read_is_held_and_told_until_we_may() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        path = drop(folder)
        path.chmod(0)
        inbox = Inbox(folder, WATCH, LIMIT)

        with as_nobody():
            refused = first_offers(inbox, range(100, 120))
        path.chmod(0o644)
        with as_nobody():
            found = first_offers(inbox, range(120, 130))

    assert (refused, list(found)) == ({}, ["a.jpg"])
    assert inbox.findings == [Finding(str(path), "no_permission")]


# --- what is not for us


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda path, outside: path.symlink_to(outside), "not_a_regular_file"),
        (lambda path, _: os.mkfifo(path), "not_a_regular_file"),
        (lambda path, outside: path.hardlink_to(outside), "hard_link"),
    ],
    ids=["link", "fifo", "hard link"],
)
def test_what_is_no_plain_file_of_its_own_is_refused_and_told_once(
    make: Callable[[Path, Path], object], why: str, folder: Path, inbox: Inbox
) -> None:
    outside = drop(folder.parent, "outside.jpg")
    make(folder / "a.jpg", outside)

    found = first_offers(inbox, range(100, 120))

    assert found == {}
    assert inbox.findings == [Finding(str(folder / "a.jpg"), why)]
    assert inbox.status() == {"arriving": 0, "refused": 1}
    assert inbox.staying(10) == [("a.jpg", why)]


def test_what_was_refused_is_welcome_once_it_is_plain(folder: Path, inbox: Inbox) -> None:
    outside = drop(folder.parent, "outside.jpg")
    (folder / "a.jpg").hardlink_to(outside)
    offered(inbox, 100.0)
    outside.unlink()

    assert first_offers(inbox, range(101, 110)) == {"a.jpg": 103}
    assert inbox.status()["refused"] == 0


def test_a_plain_file_that_gets_a_second_name_while_it_waits_is_refused(folder: Path, inbox: Inbox) -> None:
    path = drop(folder)
    offered(inbox, 100.0)
    (folder.parent / "twin").hardlink_to(path)

    found = inbox.arrivals(102.0, 10)

    assert found == []
    assert inbox.findings == [Finding(str(path), "hard_link")]


def test_an_upload_is_left_alone_until_it_has_its_final_name(folder: Path, inbox: Inbox) -> None:
    path = drop(folder, "a.jpg.PART")
    before = first_offers(inbox, range(100, 110))
    path.rename(folder / "a.jpg")

    assert (before, first_offers(inbox, range(110, 120))) == ({}, {"a.jpg": 112})


def test_files_in_folders_are_found_but_not_in_folders_left_alone(folder: Path, inbox: Inbox) -> None:
    for name in ("a.jpg", "day/b.jpg", ".trash/c.jpg", "half.tmp/d.jpg"):
        drop(folder, name)

    assert set(first_offers(inbox, range(100, 104))) == {"a.jpg", "day/b.jpg"}


def test_without_recursion_folders_are_left_alone(folder: Path) -> None:
    inbox = Inbox(folder, replace(WATCH, recursive=False), LIMIT)
    for name in ("a.jpg", "day/b.jpg"):
        drop(folder, name)

    inbox.hint(str(folder / "day/b.jpg"), 100.0)

    assert set(first_offers(inbox, range(100, 104))) == {"a.jpg"}


@pytest.mark.parametrize("name", ["../outside.jpg", "a.tmp", ".trash/a.jpg", "day", "gone.jpg"])
def test_an_event_about_something_else_leads_nowhere(name: str, folder: Path, inbox: Inbox) -> None:
    for made in ("../outside.jpg", "a.tmp", ".trash/a.jpg", "day/a.jpg"):
        drop(folder, made)

    inbox.hint(os.path.normpath(folder / name), 100.0)

    assert len(inbox) == 0


def test_an_event_makes_a_file_known_before_the_next_scan(folder: Path, inbox: Inbox) -> None:
    inbox.scan(100.0)
    path = drop(folder)

    inbox.hint(str(path), 100.5)

    assert inbox.arrivals(102.5, 10) == [str(path)]


# --- scans


def test_a_scan_is_made_every_rescan_s_and_when_it_is_asked_for(inbox: Inbox) -> None:
    looked = {now: inbox.scan(now) for now in (100.0, 104.9, 105.0, 105.1)}
    inbox.rescan()

    assert looked == {100.0: True, 104.9: False, 105.0: True, 105.1: False}
    assert inbox.scan(105.2)


def test_a_large_inbox_is_walked_in_stretches(folder: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STRETCH", 4)
    for number in range(10):
        drop(folder, f"{number}.jpg")

    known = []
    for _ in range(3):
        inbox.scan(100.0)
        known.append(len(inbox))

    assert known == [4, 8, 10]
    assert not inbox.scan(100.0)


def test_no_more_files_are_watched_than_the_window_and_all_get_their_turn(
    folder: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WINDOW", 4)
    names = {drop(folder, f"{number}.jpg").name for number in range(10)}
    taken: set[str] = set()
    most = 0

    for now in range(100, 130):
        inbox.scan(now)
        most = max(most, len(inbox))
        for path in inbox.arrivals(now, 3):
            os.unlink(path)
            inbox.forget(path)
            taken.add(os.path.basename(path))

    assert (most, taken) == (4, names)


def test_a_folder_that_we_may_not_enter_does_not_hinder_the_others() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for made in ("closed/a.jpg", "open/b.jpg"):
            drop(folder, made)
        (folder / "closed").chmod(0o600)
        inbox = Inbox(folder, WATCH, LIMIT)

        with as_nobody():
            found = first_offers(inbox, range(100, 104))

    assert set(found) == {"open/b.jpg"}


# --- whose turn it is


def test_no_more_is_offered_than_there_are_places_half_of_them_for_the_newest(folder: Path, inbox: Inbox) -> None:
    for number in range(10):
        inbox.hint(str(drop(folder, f"{number}.jpg")), 100.0 + number / 10)

    found = inbox.arrivals(110.0, 4)

    assert [os.path.basename(path) for path in found] == ["0.jpg", "1.jpg", "9.jpg", "8.jpg"]


def test_those_that_have_not_settled_do_not_take_a_place(folder: Path, inbox: Inbox) -> None:
    old, new = drop(folder, "old.jpg"), drop(folder, "new.jpg")
    inbox.hint(str(old), 100.0)
    inbox.hint(str(new), 101.0)

    assert inbox.arrivals(102.0, 2) == [str(old)]


def test_the_next_thing_is_due_when_a_file_settles_or_the_scan_comes(folder: Path, inbox: Inbox) -> None:
    before = inbox.due_at()
    inbox.scan(100.0)
    idle = inbox.due_at()
    inbox.hint(str(drop(folder, data=HALF)), 100.5)
    settling = inbox.due_at()
    inbox.arrivals(102.5, 10)
    inbox.scan(109.0)

    assert (before, idle, settling, inbox.due_at()) == (float("-inf"), 105.0, 102.5, 110.5)


# --- how things stand


def test_it_is_quiet_when_nothing_will_arrive_by_itself(folder: Path, inbox: Inbox) -> None:
    unseen = inbox.quiet
    offered(inbox, 100.0)
    empty = inbox.quiet
    path = drop(folder, data=HALF)
    offered(inbox, 101.0)
    arriving = inbox.quiet
    offered(inbox, 103.0)
    incomplete = inbox.quiet
    path.write_bytes(PICTURE)
    with path.open("ab"):
        offered(inbox, 104.0)
        offered(inbox, 106.0)
        written_to = inbox.quiet

    assert (unseen, empty, arriving, incomplete, written_to) == (False, True, False, False, True)


def test_what_waits_is_counted_by_reason(folder: Path, inbox: Inbox) -> None:
    drop(folder, "half.jpg", HALF)
    writer = drop(folder, "open.jpg").open("ab")
    (folder / "link.jpg").symlink_to("half.jpg")
    offered(inbox, 100.0)
    offered(inbox, 102.0)
    drop(folder, "new.jpg")

    offered(inbox, 103.0)
    writer.close()

    assert inbox.status() == {"arriving": 1, "incomplete": 1, "open_for_writing": 1, "refused": 1}


def test_an_inbox_that_was_swapped_is_another_one(folder: Path, inbox: Inbox) -> None:
    changed = [inbox.changed_identity(), inbox.changed_identity()]
    folder.rename(folder.with_name("unmounted"))
    folder.mkdir()

    changed += [inbox.changed_identity(), inbox.changed_identity()]

    assert changed == [False, False, True, False]


def test_an_inbox_that_is_gone_or_no_folder_is_told(folder: Path, inbox: Inbox) -> None:
    folder.rmdir()
    with pytest.raises(FileNotFoundError):
        inbox.changed_identity()
    folder.write_bytes(b"")
    with pytest.raises(NotADirectoryError, match=str(folder)):
        inbox.changed_identity()


def test_other_settings_count_at_once(folder: Path, inbox: Inbox) -> None:
    for name in ("a.jpg", "b.png", "c.tmp", "day/d.jpg"):
        drop(folder, name)
    offered(inbox, 100.0)

    inbox.reconfigure(replace(WATCH, settle_s=1.0, recursive=False, ignore=("*.png",)), LIMIT)

    assert first_offers(inbox, range(101, 105)) == {"a.jpg": 101, "c.tmp": 102}

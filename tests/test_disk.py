"""The durable verbs: each leaves the old state or the new one, and never replaces what is not its own."""

import errno
import hashlib
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from returnsd import disk
from returnsd.errors import AlreadyRunning, Unreadable

NO_SUCH_FLAG = 1 << 7
"""A flag that no kernel knows: it answers as a file system does that cannot rename without replacing."""


@pytest.fixture(params=["renameat2", "a file system without it"])
def any_file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param != "renameat2":
        monkeypatch.setattr(disk, "_RENAME_NOREPLACE", NO_SUCH_FLAG)


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """Make every write beyond this size fail, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    descriptor = disk.open_regular(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


# --- move


@pytest.mark.usefixtures("any_file_system")
def test_a_move_is_a_rename(tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / os.fsdecode(b"\xff\nb")
    source.write_bytes(b"content")
    inode = source.stat().st_ino

    disk.move(source, target)

    assert (target.read_bytes(), target.stat().st_ino) == (b"content", inode)
    assert not source.exists()


@pytest.mark.usefixtures("any_file_system")
@pytest.mark.parametrize("what", ["file", "folder", "dangling link"])
def test_a_move_never_replaces_what_is_there(what: str, tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"ours")
    if what == "file":
        target.write_bytes(b"theirs")
    elif what == "folder":
        target.mkdir()
    else:
        target.symlink_to(tmp_path / "nowhere")
    before = os.lstat(target)

    with pytest.raises(FileExistsError):
        disk.move(source, target)

    assert source.read_bytes() == b"ours"
    assert os.lstat(target) == before


@pytest.mark.usefixtures("any_file_system")
def test_a_move_of_what_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        disk.move(tmp_path / "gone", tmp_path / "b")


def test_a_move_to_another_file_system_is_refused_not_copied(tmp_path: Path) -> None:
    elsewhere = Path("/proc/self")
    source = tmp_path / "a"
    source.write_bytes(b"ours")

    with pytest.raises(OSError, match="cross-device") as failed:
        disk.move(source, elsewhere / "a")

    assert failed.value.errno == errno.EXDEV
    assert source.read_bytes() == b"ours"


# --- folders


def test_a_folder_is_made_with_its_parents_and_once_is_enough(tmp_path: Path) -> None:
    for _ in range(2):
        disk.make_folder(tmp_path / "a/b/c")

    assert (tmp_path / "a/b/c").is_dir()


def test_a_file_in_the_place_of_a_folder_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "queue").write_bytes(b"")

    with pytest.raises(FileExistsError, match="queue"):
        disk.make_folder(tmp_path / "queue")


def test_a_link_to_a_folder_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    disk.make_folder(tmp_path / "link/inside")

    assert (tmp_path / "real/inside").is_dir()


# --- reading strangers' files


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.symlink_to(path.with_name("real")), "not_a_regular_file"),
        (lambda path: path.symlink_to("nowhere"), "not_a_regular_file"),
        (os.mkfifo, "not_a_regular_file"),
        (Path.mkdir, "not_a_regular_file"),
        (make_socket, "not_a_regular_file"),
        (lambda path: path.hardlink_to(path.with_name("real")), "hard_link"),
    ],
    ids=["link", "dangling link", "fifo", "folder", "socket", "hard link"],
)
def test_only_a_plain_file_of_its_own_is_opened(
    make: Callable[[Path], object], reason: str, tmp_path: Path
) -> None:
    (tmp_path / "real").write_bytes(b"content")
    make(tmp_path / "it")

    with pytest.raises(Unreadable) as finding:
        disk.open_regular(tmp_path / "it")

    assert finding.value.reason == reason


def test_nothing_stays_open_of_what_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"content")
    (tmp_path / "twin").hardlink_to(tmp_path / "real")
    before = os.listdir("/proc/self/fd")

    for path in (tmp_path, tmp_path / "real"):
        with pytest.raises(Unreadable):
            disk.open_regular(path)

    assert os.listdir("/proc/self/fd") == before


def test_a_file_that_is_gone_is_gone_not_unreadable(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        disk.open_regular(tmp_path / "gone")


@pytest.mark.parametrize("size", [0, 1, 999, 1000])
def test_a_file_within_the_limit_is_read_and_hashed_whole(size: int, tmp_path: Path) -> None:
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)

    with opened(tmp_path / "a") as descriptor:
        content = disk.read(descriptor, 1000)

    assert (content.data, content.sha256) == (data, hashlib.sha256(data).hexdigest())
    assert content.mark == disk.Mark.of(os.stat(tmp_path / "a"))


@pytest.mark.parametrize("size", [1001, (1 << 20) + 1])
def test_a_file_beyond_the_limit_is_only_hashed(size: int, tmp_path: Path) -> None:
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)

    with opened(tmp_path / "a") as descriptor:
        content = disk.read(descriptor, 1000)

    assert (content.data, content.sha256) == (None, hashlib.sha256(data).hexdigest())
    assert disk.sha256_of(tmp_path / "a") == content.sha256


def test_the_same_descriptor_can_be_read_again(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")

    with opened(tmp_path / "a") as descriptor:
        disk.start_writeback(descriptor)
        first = disk.read(descriptor, 1000)
        disk.sync_file(descriptor)
        second = disk.read(descriptor, 1000)

    assert first == second


def test_whatever_is_done_to_a_file_changes_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")
    os.utime(path, ns=(1, 1))
    marks = [disk.Mark.of(path.stat())]

    path.write_bytes(b"CONTENT")
    marks.append(disk.Mark.of(path.stat()))
    os.utime(path, ns=(1, 1))
    path.write_bytes(b"content and more")
    os.utime(path, ns=(1, 1))
    marks.append(disk.Mark.of(path.stat()))
    disk.replace(path, b"content and more")
    os.utime(path, ns=(1, 1))
    marks.append(disk.Mark.of(path.stat()))

    assert len(set(marks)) == 4


def test_a_writer_elsewhere_is_noticed_and_a_reader_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")

    with opened(path) as descriptor:
        with path.open("ab"):
            written = disk.open_for_writing_elsewhere(descriptor)
        with path.open("rb"):
            read = disk.open_for_writing_elsewhere(descriptor)

    assert (written, read) == (True, False)


def test_after_asking_for_writers_anyone_may_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"content")

    with opened(path) as descriptor:
        disk.open_for_writing_elsewhere(descriptor)
        os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))  # a lease that is held would make this fail

    assert path.read_bytes() == b"content"


# --- writing our own


def test_rows_are_appended_at_the_end_that_is_known(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"

    disk.append(path, b"one\n", at=0)
    disk.append(path, b"two\n", at=4)

    assert path.read_bytes() == b"one\ntwo\n"


def test_what_lies_beyond_the_known_end_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"one\ntorn li")

    disk.append(path, b"2\n", at=4)

    assert path.read_bytes() == b"one\n2\n"


def test_an_append_that_the_disk_has_no_room_for_says_so_and_can_be_repeated(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"one\n")

    with files_of_at_most(6), pytest.raises(OSError, match="too large"):
        disk.append(path, b"second\n", at=4)
    torn = path.read_bytes()
    disk.append(path, b"second\n", at=4)

    assert torn == b"one\nse"
    assert path.read_bytes() == b"one\nsecond\n"


def test_a_replaced_file_is_whole_for_who_had_it_open_and_for_who_opens_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    with path.open("rb") as reader:
        disk.replace(path, b"new and longer")
        seen_before, seen_after = reader.read(), path.read_bytes()

    assert (seen_before, seen_after) == (b"old", b"new and longer")
    assert os.listdir(tmp_path) == ["a"]


def test_a_replacement_that_the_disk_has_no_room_for_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    with files_of_at_most(5), pytest.raises(OSError, match="too large"):
        disk.replace(path, b"new and longer")
    seen = path.read_bytes()
    disk.replace(path, b"new")

    assert (seen, path.read_bytes()) == (b"old", b"new")
    assert os.listdir(tmp_path) == ["a"]


# --- locks


def test_a_lock_is_held_by_one_at_a_time_and_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "worker.lock"

    with disk.lock(path), pytest.raises(AlreadyRunning, match=r"worker\.lock: stop it first"), disk.lock(path):
        pass
    with disk.lock(path):
        held = disk.is_locked(path)

    assert (held, disk.is_locked(path)) == (True, False)


def test_a_lock_is_given_back_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError), disk.lock(tmp_path / "lock"):
        raise KeyError

    assert not disk.is_locked(tmp_path / "lock")


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    program = (
        "import sys, pathlib; from returnsd import disk\n"
        "with disk.lock(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        held = disk.is_locked(path)
        other.kill()
        other.wait()

    assert (held, disk.is_locked(path)) == (True, False)


def test_who_waits_for_a_lock_gets_it_when_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    order: list[str] = []

    def wait() -> None:
        with disk.lock(path, wait=True):
            order.append("second")

    waiting = threading.Thread(target=wait)
    with disk.lock(path):
        waiting.start()
        with pytest.raises(AlreadyRunning), disk.lock(path):  # meanwhile the other one has come to wait
            pass
        order.append("first")
    waiting.join(timeout=30)

    assert order == ["first", "second"]


def test_asking_whether_it_is_locked_makes_no_lock(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        disk.is_locked(tmp_path / "lock")

    assert os.listdir(tmp_path) == []

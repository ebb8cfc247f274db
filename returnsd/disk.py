"""The few durable verbs that everything else here is built from.

Each is one effect on the disk, done so that a crash before, within or after it leaves either the old or the
new state: write, fsync, rename, fsync the folder. Nothing here knows what a picture or a row is.
Linux only: no-replace rename, early write-back and leases are system calls that Python does not wrap.
"""

import ctypes
import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from returnsd.errors import AlreadyRunning, Unreadable

_libc = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_SYNC_FILE_RANGE_WRITE = 2
_HASH_CHUNK_BYTES = 1 << 20

_NOT_SUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Mark:
    """What tells one state of a file from the next: inode, size in bytes, modification time in ns."""

    inode: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> "Mark":
        """Return the mark of a stat result."""
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Content:
    """One whole read of a file: its bytes (None where it is larger than asked for), SHA-256 and mark."""

    data: bytes | None
    sha256: str
    mark: Mark


def move(source: Path, target: Path) -> None:
    """Rename within one file system and never replace: FileExistsError if the target is taken."""
    done = _libc.renameat2(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE)
    if done == 0:
        return
    code = ctypes.get_errno()
    if code not in _NOT_SUPPORTED:
        raise OSError(code, os.strerror(code), str(source), None, str(target))
    # A file system without RENAME_NOREPLACE: the target's folder is ours alone, so looking first is enough.
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    os.rename(source, target)


def make_folder(path: Path) -> None:
    """Create a folder and its missing parents, each one durable in its parent."""
    if path.is_dir():
        return
    make_folder(path.parent)
    try:
        os.mkdir(path)
    except FileExistsError:
        if not path.is_dir():
            raise
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def place_of(path: Path) -> tuple[int, int]:
    """Return (device, mount): files are renamed only between folders where both are the same.

    The device alone does not tell: two bind mounts of one file system refuse a rename between them (EXDEV), and
    systemd makes such mounts, one for each path of ReadWritePaths=.
    """
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        device = os.fstat(descriptor).st_dev
        lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    finally:
        os.close(descriptor)
    return device, next((int(line.split()[1]) for line in lines if line.startswith("mnt_id:")), 0)


def open_regular(path: Path) -> int:
    """Open a plain file for reading; Unreadable if it is anything else or has a second name.

    Never follows a symbolic link and never blocks on a FIFO. A second hard link could belong to someone else,
    who could then change or read what we file away.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.ENODEV):
            raise Unreadable("not_a_regular_file", str(path)) from error
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(descriptor)
        plain = stat.S_ISREG(status.st_mode)
        raise Unreadable("hard_link" if plain else "not_a_regular_file", str(path))
    return descriptor


def read(descriptor: int, limit_bytes: int) -> Content:
    """Read and hash an open file whole; beyond `limit_bytes` only hash it, in small memory."""
    mark = Mark.of(os.fstat(descriptor))
    if mark.size > limit_bytes:
        return Content(None, _hash(descriptor), mark)
    parts = []
    offset = 0
    while part := os.pread(descriptor, limit_bytes + 1 - offset, offset):
        parts.append(part)
        offset += len(part)
        if offset > limit_bytes:  # it grew while we read
            return Content(None, _hash(descriptor), mark)
        if offset == mark.size:  # if it grows later, its mark tells
            break
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    return Content(data, hashlib.sha256(data).hexdigest(), mark)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    descriptor = open_regular(path)
    try:
        return _hash(descriptor)
    finally:
        os.close(descriptor)


def _hash(descriptor: int) -> str:
    digest = hashlib.sha256()
    offset = 0
    while part := os.pread(descriptor, _HASH_CHUNK_BYTES, offset):
        digest.update(part)
        offset += len(part)
    return digest.hexdigest()


def start_writeback(descriptor: int) -> None:
    """Ask the kernel to begin writing a file's bytes, so that a later sync finds little to wait for.

    Measured on ext4, 64 new files of 5 KB: 19 ms for 64 syncs alone, 7 ms with this first; syncing the whole
    file system takes 4 ms, but waits for everybody else's writes too (1.1 s after an installation).
    """
    _libc.sync_file_range(descriptor, ctypes.c_int64(0), ctypes.c_int64(0), ctypes.c_uint(_SYNC_FILE_RANGE_WRITE))


def sync_file(descriptor: int) -> None:
    """Make a file's bytes durable."""
    os.fdatasync(descriptor)


def append(path: Path, data: bytes, at: int) -> None:
    """Write the bytes at offset `at`, the end of a file that we alone extend, and make them durable."""
    new = at == 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.ftruncate(descriptor, at)
        _write_all(descriptor, data, at)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if new:
        sync_folder(path.parent)


def replace(path: Path, data: bytes) -> None:
    """Put a whole file in a file's place: readers see the old bytes or the new ones, never a mixture."""
    draft = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        _write_all(descriptor, data, 0)
        # fsync before the rename: a named file must be a whole file
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.rename(draft, path)
    sync_folder(path.parent)


def _write_all(descriptor: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, at)
        view = view[written:]
        at += written


def open_for_writing_elsewhere(descriptor: int) -> bool:
    """Say whether any process has the file open for writing, where the kernel will tell us; else False.

    A read lease is granted only if nobody can write. It is given back at once. The kernel tells the file's
    owner and root; others, and some network file systems, get no answer. The process must ignore SIGIO.
    """
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


@contextmanager
def lock(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold an exclusive lock that dies with the process; AlreadyRunning if another holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if wait:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        else:
            _lock_now(descriptor, path)
        yield
    finally:
        os.close(descriptor)


def _lock_now(descriptor: int, path: Path) -> None:
    # A few tries: whoever asks `is_locked` holds it for a moment.
    for pause_s in (0.01, 0.05, None):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if pause_s is None:
                raise AlreadyRunning(
                    f"another returnsd process holds {path}: stop it first, or give this one its own paths.state"
                ) from error
            time.sleep(pause_s)


def is_locked(path: Path) -> bool:
    """Say whether some process holds the lock."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False

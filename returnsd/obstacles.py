"""What the operating system refuses, in words for people: which folder of the configuration, and what to do.

A person can do nothing with an error number or a path of ours. The configuration's own name of a folder
(`paths.archive`) is what an administrator knows it by.
"""

import errno
import os
import sqlite3
from dataclasses import dataclass, fields
from pathlib import Path

from returnsd import disk
from returnsd.config import Paths


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What is in the way, and what to do about it; both without a full stop."""

    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


def obstacle(error: Exception, paths: Paths) -> Obstacle:
    """Return what an error of the disk or of the ledger means in one installation."""
    if isinstance(error, sqlite3.OperationalError):
        return _of_ledger(error)
    if not isinstance(error, OSError):
        return Obstacle(str(error), "see the log")
    where = _where(error, paths)
    if error.errno in disk.FULL:
        return Obstacle(f"the disk of {where} is full", "free some space; it goes on by itself")
    if error.errno == errno.EROFS:
        return Obstacle(f"{where} is on a read-only file system", "mount it writable; it goes on by itself")
    if error.errno in (errno.EACCES, errno.EPERM):
        return Obstacle(f"no permission to write to {where}", "returnsd doctor tells who may; it goes on by itself")
    if error.errno == errno.ENOENT:
        return Obstacle(f"{where} is not there", "mount it, or make it again; it goes on by itself")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return Obstacle(f"in {where} a file lies where a folder must be", "move that file away")
    if error.errno == errno.EXDEV:
        return Obstacle(f"{where} lie on different file systems", "put them below one folder of one mount")
    return Obstacle(f"{where}: {(error.strerror or 'unknown error').lower()}", "see the log")


def _of_ledger(error: sqlite3.OperationalError) -> Obstacle:
    if error.sqlite_errorcode == sqlite3.SQLITE_FULL:
        return Obstacle("the disk of paths.state is full", "free some space; it goes on by itself")
    if error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Obstacle("the ledger is in use by another program", "wait, or stop what else has it open")
    return Obstacle("the ledger in paths.state cannot be written", "returnsd doctor tells why")


def _where(error: OSError, paths: Paths) -> str:
    """Return the configuration's names of the folders that an error is about."""
    touched = [Path(os.fsdecode(name)) for name in (error.filename, error.filename2) if name is not None]
    names = dict.fromkeys(name for path in touched if (name := folder_name(path, paths)) is not None)
    if len(names) > 1 and error.errno in (errno.EACCES, errno.EPERM):
        refusing = [name for name in names if not _is_writable(Path(getattr(paths, name.partition(".")[2])))]
        names = dict.fromkeys(refusing or names)
    joined = " and ".join if error.errno == errno.EXDEV else " or ".join
    return joined(names) or "a folder of paths"


def folder_name(path: Path, paths: Paths) -> str | None:
    """Return the configuration's name of the folder that a path lies in (`paths.archive`), None of any other."""
    folders = {f"paths.{field.name}": Path(getattr(paths, field.name)) for field in fields(paths)}
    holding = [name for name, folder in folders.items() if path.is_relative_to(folder)]
    return max(holding, key=lambda name: len(folders[name].parts), default=None)


def _is_writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK | os.X_OK, effective_ids=True)

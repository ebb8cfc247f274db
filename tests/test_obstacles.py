"""What the operating system refuses, in words that name a folder of the configuration and a remedy."""

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from returnsd import config as configuration
from returnsd import disk
from returnsd.config import Paths
from returnsd.obstacles import folder_name, obstacle


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = configuration.default(tmp_path).paths
    for folder in (found.inbox, found.queue, found.archive):
        folder.mkdir(parents=True)
    return found


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (errno.ENOSPC, "the disk of paths.archive is full"),
        (errno.EROFS, "paths.archive is on a read-only file system"),
        (errno.EACCES, "no permission to write to paths.archive"),
        (errno.ENOENT, "paths.archive is not there"),
        (errno.ENOTDIR, "in paths.archive a file lies where a folder must be"),
        (errno.EIO, "paths.archive: input/output error"),
    ],
)
def test_an_error_names_the_folder_as_the_configuration_does(code: int, what: str, paths: Paths) -> None:
    error = OSError(code, os.strerror(code), str(paths.archive / "2026-03-01" / "dots"))

    found = obstacle(error, paths)

    assert found.what == what
    assert found.remedy
    assert str(paths.archive) not in str(found)


def test_a_real_move_that_fails_names_the_folder(paths: Paths) -> None:
    (paths.archive / "day").write_text("a file")
    (paths.queue / "picture").write_text("a picture")

    with pytest.raises(OSError) as raised:
        disk.move(paths.queue / "picture", paths.archive / "day" / "picture")

    assert "paths.archive" in obstacle(raised.value, paths).what
    assert "Errno" not in str(obstacle(raised.value, paths))


def test_an_error_about_nothing_of_ours_is_told_all_the_same(paths: Paths) -> None:
    assert "a folder of paths" in obstacle(OSError(errno.EIO, "Input/output error"), paths).what


def test_the_innermost_folder_counts(paths: Paths, tmp_path: Path) -> None:
    around = configuration.parse("paths: {state: ., inbox: in}", tmp_path).paths

    assert folder_name(around.inbox / "a.jpg", around) == "paths.inbox"
    assert folder_name(tmp_path / "ledger.sqlite", around) == "paths.state"
    assert folder_name(Path("/nowhere"), paths) is None


def test_a_ledger_that_cannot_be_written_is_told(tmp_path: Path, paths: Paths) -> None:
    with pytest.raises(sqlite3.OperationalError) as raised:
        sqlite3.connect(f"file:{tmp_path}/none.sqlite?mode=ro", uri=True)

    assert "ledger in paths.state" in obstacle(raised.value, paths).what

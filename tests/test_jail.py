"""What a decoder process can still do once it has locked itself in: compute and answer, nothing else."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

_PRELUDE = """
import ctypes, json, os, signal, socket, subprocess, sys
import numpy as np, cv2
from returnsd.vision import jail
cv2.setNumThreads(1)
answer = os.dup(1)
filtered = jail.close_in()

def attempt(deed):
    try:
        deed()
    except BaseException as error:
        return type(error).__name__
    return "done"
"""


def locked_in(code: str, *arguments: str) -> dict[str, str]:
    """Run code in a locked process; it leaves its findings in `found`."""
    source = _PRELUDE + textwrap.dedent(code) + "\nos.write(answer, json.dumps(found).encode())\n"
    done = subprocess.run([sys.executable, "-c", source, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_no_file_can_be_opened_and_no_socket_made(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")

    found = locked_in(
        """
        found = {
            "read": attempt(lambda: open(sys.argv[1] + "/secret")),
            "write": attempt(lambda: open(sys.argv[1] + "/new", "w")),
            "socket": attempt(lambda: socket.socket(socket.AF_INET)),
            "unix": attempt(lambda: socket.socket(socket.AF_UNIX)),
            "pipe": attempt(lambda: os.pipe()),
            "memory file": attempt(lambda: os.memfd_create("x")),
        }
        """,
        str(tmp_path),
    )

    assert "done" not in found.values(), found
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret"]


@pytest.mark.skipif(os.uname().machine not in ("x86_64", "aarch64"), reason="system calls are filtered on these")
def test_what_needs_no_descriptor_is_refused_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")

    found = locked_in(
        """
        file = sys.argv[1] + "/file"
        found = {
            "remove": attempt(lambda: os.unlink(file)),
            "rename": attempt(lambda: os.rename(file, file + "2")),
            "link": attempt(lambda: os.link(file, file + "3")),
            "mode": attempt(lambda: os.chmod(file, 0o777)),
            "cut": attempt(lambda: os.truncate(file, 0)),
            "folder": attempt(lambda: os.mkdir(file + "4")),
            "signal": attempt(lambda: os.kill(os.getppid(), 0)),
            "fork": attempt(lambda: os.fork()),
            "execute": attempt(lambda: os.execv("/bin/true", ["true"])),
            "look": attempt(lambda: os.stat(file)),
        }
        """,
        str(tmp_path),
    )

    assert "done" not in found.values(), found
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("file", "kept")]


def test_pictures_can_still_be_decoded_and_numbers_computed() -> None:
    found = locked_in(
        """
        picture = cv2.imencode(".jpg", np.full((900, 900, 3), 90, np.uint8))[1]
        found = {
            "jpeg": attempt(lambda: cv2.imdecode(picture, cv2.IMREAD_COLOR)),
            "resize": attempt(lambda: cv2.resize(np.zeros((3000, 3000, 3), np.uint8), (100, 100))),
            "blas": attempt(lambda: np.ones((500, 500)) @ np.ones((500, 500))),
            "sorting": attempt(lambda: np.sort(np.arange(1_000_000)[::-1])),
        }
        """
    )

    assert set(found.values()) == {"done"}, found


def test_more_memory_than_any_picture_needs_is_refused() -> None:
    found = locked_in("found = {'memory': attempt(lambda: np.ones(1 << 30))}")

    assert found["memory"].endswith("MemoryError")


def test_it_ends_with_its_parent() -> None:
    code = "import os; from returnsd.vision import jail; jail.die_with(os.getppid() + 1); print('went on')"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (1, "")

"""A throw-away systemd to install into: a shell inside it that takes scripts, and waiting for what must happen."""

import json
import os
import subprocess
import time
from pathlib import Path

_DONE = "@@returnsd-box-done"


class Box:
    """One booted systemd. Everything in it vanishes with `close`."""

    def __init__(self, program: Path) -> None:
        """Boot it; the machine's root file system is seen in it as it is now, and is not changed by it."""
        self._shell = subprocess.Popen(
            [str(program), "bash", "-s"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd="/",
        )
        self.run("true")

    def try_(self, script: str) -> tuple[int, str]:
        """Run a script as root in the box; return its exit status and all it wrote."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"( {script}\n) </dev/null 2>&1; ended=$?; echo; echo {_DONE} $ended\n")
        self._shell.stdin.flush()
        written = []
        for line in self._shell.stdout:
            if line.startswith(_DONE):
                return int(line.split()[1]), "".join(written)[:-1].strip()
            written.append(line)
        raise RuntimeError("the box is gone:\n" + "".join(written)[-2000:])

    def run(self, script: str) -> str:
        """Run a script that must succeed; return what it wrote."""
        status, written = self.try_(script)
        assert status == 0, f"{script}\nended with {status}:\n{written}"
        return written

    def wait_for(self, condition: str, within_s: float = 20.0) -> None:
        """Wait until a script succeeds."""
        deadline = time.monotonic() + within_s
        while self.try_(condition)[0] != 0:
            if time.monotonic() > deadline:
                raise AssertionError(f"not within {within_s:g} s: {condition}\n{self.journal()}")
            time.sleep(0.1)

    def write(self, path: str, text: str) -> None:
        """Write a file in the box."""
        self.run(f"mkdir -p {os.path.dirname(path)}; cat >{path} <<'@@EOF'\n{text}\n@@EOF")

    def journal(self, query: str = "-n 40") -> str:
        """Return lines of the journal."""
        return self.run(f"journalctl --no-pager {query}")

    def entries(self, *query: str) -> list[dict[str, str]]:
        """Return journal entries with all their fields."""
        lines = self.run("journalctl --no-pager -o json " + " ".join(query)).splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def shown(self, unit: str, name: str) -> str:
        """Return a property of a unit."""
        return self.run(f"systemctl show --value --property {name} {unit}")

    def close(self) -> None:
        """Take it down."""
        if self._shell.stdin is not None:
            self._shell.stdin.close()
        self._shell.wait(30)

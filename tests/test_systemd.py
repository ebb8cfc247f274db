"""The unit, as systemd reads it."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
UNIT = ROOT / "systemd/returnsd.service"
PROGRAM = "/opt/returnsd/bin/returnsd"


def verified(unit: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit with a program that exists on this machine."""
    text = UNIT.read_text(encoding="utf-8")
    assert text.count(PROGRAM) == 1
    copy = tmp_path / "returnsd.service"
    copy.write_text(text.replace(PROGRAM, "/bin/true"), encoding="utf-8")
    return copy


@pytest.mark.systemd_analyze
def test_systemd_finds_nothing_wrong_with_the_unit(unit: Path) -> None:
    found = verified(unit)

    assert found.stdout + found.stderr == ""
    assert found.returncode == 0


@pytest.mark.systemd_analyze
def test_systemd_would_name_a_setting_it_does_not_know(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("Restart=on-failure", "Restrat=on-failure"))

    assert "Restrat" in verified(unit).stderr

"""The units as systemd reads them, and how far they are closed."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "systemd"
UNITS = sorted(path.name for path in FOLDER.iterdir() if path.suffix in (".service", ".timer"))
PROGRAMS = re.compile(r"/opt/returnsd/(bin|libexec)/[a-z-]+")


def analyzed(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *map(str, arguments)], capture_output=True, text=True, check=False)


def exposure(unit: Path) -> float:
    """Return the overall exposure level, 0 (closed) to 10, as systemd counts it."""
    told = analyzed("security", "--offline=true", unit)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", told.stdout)
    assert found, told.stdout + told.stderr
    return float(found[1])


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """All units, with programs that exist on this machine."""
    for name in UNITS:
        text = (FOLDER / name).read_text(encoding="utf-8")
        (tmp_path / name).write_text(PROGRAMS.sub("/bin/true", text), encoding="utf-8")
    return tmp_path


@pytest.mark.systemd_analyze
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong_with_a_unit(name: str, units: Path) -> None:
    found = analyzed("verify", "--man=no", units / name.replace("@.", "@some."))

    assert found.stdout + found.stderr == ""
    assert found.returncode == 0


@pytest.mark.systemd_analyze
def test_systemd_would_name_a_setting_it_does_not_know(units: Path) -> None:
    unit = units / "returnsd.service"
    unit.write_text(unit.read_text().replace("Restart=on-failure", "Restrat=on-failure"))

    assert "Restrat" in analyzed("verify", "--man=no", unit).stderr


@pytest.mark.systemd_analyze
@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("returnsd.service", 1.0),
        ("returnsd@.service", 1.0),
        ("returnsd-batch.service", 1.0),
        ("returnsd-web.service", 1.5),
    ],
)
def test_a_unit_is_closed_as_far_as_was_promised(name: str, most: float) -> None:
    assert exposure(FOLDER / name) <= most


@pytest.mark.systemd_analyze
def test_an_open_unit_would_exceed_the_bound(units: Path) -> None:
    unit = units / "returnsd.service"
    unit.write_text(
        re.sub(r"(?m)^(PrivateNetwork|SystemCallFilter|CapabilityBoundingSet)=.*\n", "", unit.read_text())
    )

    assert exposure(unit) > 1.0


def test_an_instance_differs_from_the_one_service_in_its_names_alone() -> None:
    one = (FOLDER / "returnsd.service").read_text()
    instance = (FOLDER / "returnsd@.service").read_text()

    named = instance.replace("/etc/returnsd/%i.yaml", "/etc/returnsd/config.yaml")
    named = named.replace("returnsd-%i", "returnsd").replace(" (%i)", "")
    ordered = named.replace("After=local-fs.target time-set.target", one_line(one, "After"))

    assert ordered == one


def one_line(unit: str, key: str) -> str:
    (line,) = [line for line in unit.splitlines() if line.startswith(key + "=")]
    return line


@pytest.mark.parametrize("name", ["returnsd.service", "returnsd@.service", "returnsd-web.service"])
def test_a_service_comes_back_but_not_over_its_configuration(name: str) -> None:
    unit = (FOLDER / name).read_text()

    assert one_line(unit, "Restart") == "Restart=on-failure"
    assert one_line(unit, "RestartPreventExitStatus") == "RestartPreventExitStatus=78"
    assert one_line(unit, "OnFailure") == "OnFailure=returnsd-failed@%n.service"


def test_what_old_systemds_do_not_know_stands_in_drop_ins_named_by_their_first_version() -> None:
    drop_ins = {path.name: path.read_text() for path in (FOLDER / "drop-ins").iterdir()}

    assert "Type=notify-reload" in drop_ins["253-notify-reload.conf"]
    assert "RestartSteps=" in drop_ins["254-back-off.conf"]
    for unit in FOLDER.glob("*.service"):
        assert "notify-reload" not in unit.read_text()
        assert "RestartSteps" not in unit.read_text()


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="needs systemd-sysusers")
@pytest.mark.root
def test_user_groups_and_folders_are_made_as_written(tmp_path: Path) -> None:
    for made in ("etc", "var/lib"):
        (tmp_path / made).mkdir(parents=True)
    for name, program in (("sysusers.conf", "systemd-sysusers"), ("tmpfiles.conf", "systemd-tmpfiles")):
        create = ["--create"] if program == "systemd-tmpfiles" else []
        subprocess.run([program, *create, f"--root={tmp_path}", FOLDER / name], capture_output=True, check=True)

    groups = dict(line.split(":", 1) for line in (tmp_path / "etc/group").read_text().splitlines())
    base = tmp_path / "var/lib/returnsd"

    assert groups["returnsd-inbox"].endswith(":returnsd")
    assert oct(base.stat().st_mode)[-4:] == "0711"
    assert oct((base / "inbox").stat().st_mode)[-4:] == "2770"
    assert oct((base / "queue").stat().st_mode)[-4:] == "0700"

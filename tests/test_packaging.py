"""What an installation consists of, as far as that shows without installing; test_install_systemd.py installs."""

import re
import subprocess
from pathlib import Path

import pytest

from returnsd import config

ROOT = Path(__file__).parent.parent
SCRIPTS = [path for path in sorted((ROOT / "packaging").rglob("*")) if path.is_file() and path.suffix != ".in"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_says_what_it_is_for_and_stops_at_the_first_error(script: Path) -> None:
    lines = script.read_text().splitlines()

    assert lines[0] == "#!/bin/sh"
    assert any(line in ("set -eu", "set -e") for line in lines)
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["sh", "-n", script], check=False).returncode == 0


def test_the_installed_configuration_keeps_everything_below_var_lib() -> None:
    stage = (ROOT / "packaging/stage").read_text()
    found = re.search(r"sed -e 's\|(: var/)\|(: /var/lib/returnsd/)\|'", stage)
    assert found

    installed = config.parse((ROOT / "config.yaml").read_text().replace(found[1], found[2]), Path("/etc/returnsd"))

    paths = installed.paths
    everything = [paths.inbox, paths.queue, paths.archive, paths.review, paths.rejected, paths.results, paths.state]
    assert {path.parent for path in everything} == {Path("/var/lib/returnsd")}
    assert {path.name for path in everything} == {
        path.name for path in map(Path, re.findall(r"(?m)^d (\S+/\S+)", tmpfiles())) if path.name != "returnsd"
    }


def tmpfiles() -> str:
    return (ROOT / "systemd/tmpfiles.conf").read_text()


def test_the_package_takes_its_version_from_the_code_and_needs_no_download() -> None:
    control = (ROOT / "packaging/debian/control.in").read_text()
    make_deb = (ROOT / "packaging/make-deb").read_text()

    assert "Version: @VERSION@" in control
    assert "returnsd/__init__.py" in make_deb
    for name in ("postinst", "prerm", "postrm"):
        script = (ROOT / "packaging/debian" / name).read_text()
        assert not re.search(r"pip|curl|wget|apt", script)


@pytest.mark.parametrize("name", ["postrm", "prerm"])
def test_no_removal_touches_pictures_or_the_ledger(name: str) -> None:
    removing = (ROOT / "packaging/debian" / name).read_text() + (ROOT / "packaging/uninstall").read_text()

    assert not re.search(r"rm [^\n]*/var/lib", removing)

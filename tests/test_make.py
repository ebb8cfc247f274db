"""The commands of the Makefile and the versions they install, without installing anything."""

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
FILES = ["Makefile", "setup.cfg", "pyproject.toml", "constraints.txt"]
TARGETS = ["help", "run", "test", "lint", "format", "bench", "constraints", "install", "uninstall", "deb", "clean"]


def pinned() -> dict[str, Version]:
    """Return the pinned versions by canonical name; constraints.txt holds nothing else."""
    versions: dict[str, Version] = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            pin = re.fullmatch(r"([\w.-]+)==([\w.]+)", line)
            assert pin, line
            versions[canonicalize_name(pin[1])] = Version(pin[2])
    return versions


def required() -> dict[str, list[Requirement]]:
    """Return what setup.cfg asks for: the service's own dependencies under "service", then each extra's."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    groups = {"service": setup["options"]["install_requires"], **setup["options.extras_require"]}
    return {name: [Requirement(line) for line in text.split("\n") if line] for name, text in groups.items()}


def make(directory: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    program = shutil.which("make")
    assert program is not None
    environ = {**os.environ, "PATH": path or os.environ["PATH"], "LC_ALL": "C"}
    environ = {name: value for name, value in environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(
        [program, *arguments], cwd=directory, env=environ, capture_output=True, text=True, check=False
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A directory with what make looks at, older than anything made in it."""
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path / name)
        os.utime(tmp_path / name, (1, 1))
    return tmp_path


def test_every_dependency_is_pinned_to_a_version_that_setup_cfg_allows() -> None:
    versions = pinned()

    for requirement in [requirement for group in required().values() for requirement in group]:
        version = versions[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement


def test_the_project_does_not_constrain_itself() -> None:
    assert "returnsd" not in pinned()


def test_opencv_stays_below_5_and_without_a_display() -> None:
    opencv = [requirement for requirement in required()["service"] if "opencv" in requirement.name]

    assert [requirement.name for requirement in opencv] == ["opencv-python-headless"]
    assert not opencv[0].specifier.contains("5.0.0")
    assert pinned()["opencv-python-headless"].major < 5


def test_the_service_does_not_depend_on_what_only_training_needs() -> None:
    names = {requirement.name for requirement in required()["service"]}

    assert names.isdisjoint({"scikit-learn", "scikit-image", "pandas", "joblib", "scipy"})


def test_ci_runs_lint_and_tests() -> None:
    script = ROOT / ".ci/run"

    assert os.access(script, os.X_OK)
    lines = script.read_text(encoding="utf-8").splitlines()
    assert any(line.startswith("make lint") for line in lines)
    assert any(line.startswith("make test") for line in lines)


@pytest.mark.make
def test_make_alone_lists_every_command(clone: Path) -> None:
    listed = make(clone)

    assert [line.split()[1] for line in listed.stdout.splitlines()] == TARGETS


@pytest.mark.make
def test_run_installs_the_service_alone_and_test_installs_the_rest(clone: Path) -> None:
    run, test = make(clone, "-n", "run").stdout, make(clone, "-n", "test").stdout

    assert "install --quiet -c constraints.txt -e '.[web]'\n" in run
    assert "install --quiet -c constraints.txt -e '.[dev,training,heic,web]'\n" in test
    assert ".venv/bin/returnsd run --web --config config.yaml" in run
    assert ".venv/bin/python -m pytest" in test


@pytest.mark.make
def test_what_is_installed_is_not_installed_again_until_the_dependencies_change(clone: Path) -> None:
    (clone / ".venv/bin").mkdir(parents=True)
    for name in ("bin/python", ".installed-service", ".installed-all"):
        (clone / ".venv" / name).touch()

    before = [make(clone, "-n", goal).stdout for goal in ("run", "test")]
    os.utime(clone / "constraints.txt", (2**33, 2**33))
    after = [make(clone, "-n", goal).stdout for goal in ("run", "test")]

    assert ["pip" in said for said in before] == [False, False]
    assert ["pip" in said for said in after] == [True, True]


@pytest.mark.make
@pytest.mark.parametrize("goal", ["run", "test", "lint"])
def test_without_a_usable_python_make_says_what_is_missing(goal: str, clone: Path) -> None:
    old = clone / "bin/python3"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)

    refused = make(clone, goal, path=str(old.parent))

    assert refused.returncode != 0
    assert "returnsd needs Python 3.11 or newer" in refused.stderr
    assert not (clone / ".venv").exists()

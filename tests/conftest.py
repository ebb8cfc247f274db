"""What tests may need beyond this repository; where it is missing they skip and say what is missing."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from returnsd.ledger import Ledger
    from returnsd.spool import Spool

# examples on a busy machine are slow, not wrong
settings.register_profile("returnsd", deadline=None)
settings.load_profile("returnsd")

ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
SYSTEMD_BOX = SHARED / "tools/systemd-box"


def is_root() -> bool:
    return os.geteuid() == 0


def has_systemd_box() -> bool:
    return is_root() and os.access(SYSTEMD_BOX, os.X_OK) and Path("/lib/systemd/systemd").exists()


def chromium() -> str | None:
    """Return the browser's program."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


NEEDS: dict[str, tuple[str, Callable[[], object]]] = {
    "shared": ("needs the measuring data in ../shared/data", (SHARED / "data").is_dir),
    "root": ("needs root", is_root),
    "systemd_box": ("needs root, systemd and ../shared/tools/systemd-box", has_systemd_box),
    "systemd_analyze": ("needs systemd-analyze", lambda: shutil.which("systemd-analyze")),
    "make": ("needs make", lambda: shutil.which("make")),
    "chromium": ("needs Chromium", chromium),
}


def pytest_configure(config: pytest.Config) -> None:
    for name, (reason, _) in NEEDS.items():
        config.addinivalue_line("markers", f"{name}: {reason}")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = {name: reason for name, (reason, is_there) in NEEDS.items() if not is_there()}
    for item in items:
        for name, reason in missing.items():
            if item.get_closest_marker(name):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The directory of the measuring data; a test that asks for it skips where there is none."""
    reason, is_there = NEEDS["shared"]
    if not is_there():
        pytest.skip(reason)
    return SHARED / "data"


@pytest.fixture(scope="session")
def systemd_box() -> Path:
    """The program that runs a command under a systemd of its own; a test that asks for it may skip."""
    reason, is_there = NEEDS["systemd_box"]
    if not is_there():
        pytest.skip(reason)
    return SYSTEMD_BOX


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a small real model, trained once for the whole run."""
    from tests.tiny import tiny_bundle

    return tiny_bundle(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def shop_work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The work folder of a training of kind `best` on a drawn shop, done once for the whole run."""
    from tests.shop import train_shop

    return train_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def spool(tmp_path: Path) -> "Spool":
    """A spool over empty folders."""
    from returnsd import config as configuration
    from returnsd.spool import Spool

    return Spool(configuration.default(tmp_path).paths)


@pytest.fixture
def ledger(spool: "Spool") -> Iterator["Ledger"]:
    """Its ledger, empty."""
    from returnsd.ledger import LEDGER, Ledger

    ledger = Ledger(spool.paths.state / LEDGER)
    yield ledger
    ledger.close()

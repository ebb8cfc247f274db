"""Installed from the package on a real systemd, fully hardened, with the real numpy, OpenCV and web stack.

One box for the module: it takes a second to boot and three to install into. Every test leaves the service running.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.box import Box
from tests.tiny import tiny_bundle, tiny_jpeg

pytestmark = pytest.mark.systemd_box

ROOT = Path(__file__).parent.parent
PICTURES = 240
NEWER = "99.0"

HOME = "/var/lib/returnsd"
CONFIG = "/etc/returnsd/config.yaml"
SETTINGS = """\
paths: {{inbox: {home}/inbox, queue: {home}/queue, archive: {home}/archive, review: {home}/review,
        rejected: {home}/rejected, results: {home}/results, state: {home}/state}}
watch: {{settle_s: 0.1, rescan_s: 0.5, patience_s: 0.5}}
model: {{bundle: tiny, target_accuracy: 0.8}}
"""


class Installation(Box):
    """A box with returnsd installed in it."""

    share: Path
    dropped = 0

    def drop(self, count: int, home: str = HOME) -> None:
        """Have anna put so many pictures into the inbox, none of which she put there before."""
        first, self.dropped = self.dropped, self.dropped + count
        assert self.dropped <= PICTURES
        names = f"for n in $(seq {first} {self.dropped - 1}); do cp {self.share}/pictures/$n.jpg ."
        self.run(f"runuser -u anna -- sh -c 'umask 077; cd {home}/inbox && {names}; done'")

    def rows(self, home: str = HOME) -> int:
        """Return how many rows the CSV files hold."""
        return int(self.run(f"cat {home}/results/returns-*.csv 2>/dev/null | grep -c '^0' || true"))

    def wait_for_rows(self, count: int, home: str = HOME, within_s: float = 40.0) -> None:
        """Wait until they hold that many."""
        deadline = time.monotonic() + within_s
        while self.rows(home) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.rows(home)} of {count} rows\n{self.journal('-n 60')}")
            time.sleep(0.2)

    def all_is_well(self) -> bool:
        """Say whether every picture dropped so far has its row and its file, once."""
        self.wait_for_rows(self.dropped)
        self.run("returnsd audit")
        return self.rows() == self.dropped

    def restart(self) -> None:
        """Start anew with a good configuration and no failures on record."""
        self.write(CONFIG, SETTINGS.format(home=HOME))
        self.run("systemctl reset-failed; systemctl restart returnsd")

    def main_process(self, unit: str = "returnsd") -> int:
        """Return the process id of a service."""
        return int(self.shown(unit, "MainPID"))


def staged_package(folder: Path) -> tuple[Path, Path]:
    """Build the package, and one of a newer version with the same content; return both."""
    staged = folder / "stage"
    # as compact as is quick: it is installed once from the same disk
    environ = {"PATH": "/usr/bin:/bin", "COMPRESSION": "none", **pip_settings()}
    subprocess.run([ROOT / "packaging/stage", staged], check=True, env=environ, capture_output=True)
    (code,) = staged.glob("opt/returnsd/lib/python3*/site-packages/returnsd/__init__.py")
    if not (shipped := code.parent / "bundles/retail21").exists():
        shutil.copytree(folder / "tiny", shipped)  # a checkout without its model is tested with the small one
    first = make_deb(staged, folder, environ)
    text = re.sub(r'__version__ = ".*"', f'__version__ = "{NEWER}"', code.read_text())
    # a new file, since the package that was built may share the old one's inode
    code.unlink()
    code.write_text(text)
    shutil.rmtree(code.parent / "__pycache__")
    return first, make_deb(staged, folder, {**environ, "VERSION": NEWER})


def pip_settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "HOME", "SSL_", "HTTP"))}


def make_deb(staged: Path, folder: Path, environ: dict[str, str]) -> Path:
    made = subprocess.run(
        [ROOT / "packaging/make-deb", staged, folder], check=True, env=environ, capture_output=True, text=True
    )
    return Path(made.stdout.strip())


@pytest.fixture(scope="module")
def share() -> Iterator[Path]:
    """A folder that the box sees too (its /tmp is its own): packages, pictures and a small model."""
    folder = Path(tempfile.mkdtemp(prefix="returnsd-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    (folder / "pictures").mkdir()
    for number in range(PICTURES):
        (folder / f"pictures/{number}.jpg").write_bytes(tiny_jpeg(("dots", "stripes")[number % 2], number))
    tiny_bundle(folder)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def packages(share: Path) -> tuple[Path, Path]:
    return staged_package(share)


@pytest.fixture(scope="module")
def here(systemd_box: Path, share: Path, packages: tuple[Path, Path]) -> Iterator[Installation]:
    """A box in which the package was installed, without a network, over a configuration that was there already."""
    box = Installation(systemd_box)
    box.share = share
    box.write(CONFIG, SETTINGS.format(home=HOME))
    box.write("/etc/returnsd/on-failure", '#!/bin/sh\necho "$1" >>/var/lib/returnsd/state/failures\n')
    box.run("chmod +x /etc/returnsd/on-failure")
    box.run(f"mkdir -p {HOME}/state/bundles; cp -r {share}/tiny {HOME}/state/bundles/")
    allow_what_the_box_lacks(box)
    box.run(f"unshare --net dpkg -i {packages[0]}")
    box.run("useradd -G returnsd-inbox anna")
    yield box
    box.close()


def allow_what_the_box_lacks(box: Box) -> None:
    """Go without a user namespace where the box, being a chroot, cannot make one; all else stays closed."""
    if box.try_("systemd-run --wait --quiet -p PrivateUsers=yes true")[0] != 0:
        for unit in ("returnsd", "returnsd@", "returnsd-web", "returnsd-batch"):
            box.write(f"/etc/systemd/system/{unit}.service.d/box.conf", "[Service]\nPrivateUsers=no")


def test_the_package_starts_the_service_and_enables_it(here: Installation) -> None:
    here.wait_for("systemctl is-active returnsd")

    assert here.run("systemctl is-enabled returnsd") == "enabled"
    assert re.fullmatch(
        r"0 arriving, 0 in the queue, 0\.0/s, model tiny-1\.0\+\w+", here.shown("returnsd", "StatusText")
    )
    assert here.run(f"head -1 {CONFIG}").startswith("paths: ")
    assert here.run("stat -c '%U %G %a' /var/lib/returnsd/inbox") == "returnsd returnsd-inbox 2770"


def test_the_running_service_is_closed_in(here: Installation) -> None:
    pid = here.main_process()

    status = dict(
        line.split(":\t", 1) for line in here.run(f"cat /proc/{pid}/status").splitlines() if ":\t" in line
    )
    decoders = here.run(f"pgrep -P {pid}").split()

    assert (status["Seccomp"], status["NoNewPrivs"], int(status["CapEff"], 16)) == ("2", "1", 0)
    assert here.run(f"readlink /proc/{pid}/ns/net") != here.run("readlink /proc/1/ns/net")
    assert here.try_(f"touch /proc/{pid}/root/etc/x")[0] != 0
    assert len(decoders) == 2
    # the decoders' own filter lies on top of the unit's
    closed_in = int(status["Seccomp_filters"]) + 1
    loaded = " && ".join(
        f"grep -q 'Seccomp_filters:[[:space:]]{closed_in}$' /proc/{one}/status" for one in decoders
    )
    here.wait_for(loaded)


def test_pictures_of_another_user_with_a_closed_umask_are_judged(here: Installation) -> None:
    here.drop(20)
    here.run(f"runuser -u anna -- sh -c 'umask 077; mkdir {HOME}/inbox/monday'")
    here.run(f"runuser -u anna -- sh -c 'umask 077; cp {here.share}/pictures/20.jpg {HOME}/inbox/monday/'")
    here.dropped += 1

    assert here.all_is_well()
    assert here.run(f"find {HOME}/archive -type f | head -1")
    assert here.try_(f"runuser -u anna -- ls {HOME}/queue {HOME}/state")[0] != 0


def test_the_journal_tells_an_items_story_by_its_fields(here: Installation) -> None:
    here.drop(1)
    here.wait_for_rows(here.dropped)
    item = here.run(f"tail -1 {HOME}/results/returns-*.csv").split(",")[0]

    story = here.entries("-u returnsd", f"ITEM_ID={item}")

    assert [entry["EVENT"] for entry in story] == ["item_taken_in", "item_judged", "item_shelved"]
    assert all(entry["_SYSTEMD_UNIT"] == "returnsd.service" for entry in story)
    assert story[1]["CATEGORY"] in ("dots", "stripes", "noise")
    assert story[0]["MESSAGE"].startswith(f"item_taken_in item={item} file=")
    assert here.run("journalctl --no-pager -u returnsd EVENT=service_started -o cat").count("service_started") == 1


def test_the_doctor_finds_no_fault(here: Installation) -> None:
    found = json.loads(here.run("returnsd doctor --json"))

    assert [finding for finding in found if finding["level"] == "FAULT"] == []
    assert "pictures come from the group returnsd-inbox: anna" in [finding["text"] for finding in found]


def test_folders_that_systemd_mounts_apart_are_known_to_be_apart(here: Installation) -> None:
    code = "import sys, returnsd.disk as d; print(len({d.place_of(d.Path(p)) for p in sys.argv[1:]}))"
    walls = "-p ProtectSystem=strict -p ReadWritePaths=/srv/one -p ReadWritePaths=/srv/two"
    here.run("mkdir -p /srv/one/a /srv/one/b /srv/two")

    counted = f"systemd-run --quiet --wait --pipe {walls} /opt/returnsd/bin/python -c '{code}'"

    assert here.run(f"{counted} /srv/one/a /srv/one/b") == "1"
    assert here.run(f"{counted} /srv/one/a /srv/two") == "2"


def test_the_documented_queries_are_ones_that_journalctl_understands(here: Installation) -> None:
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    queries = re.findall(r"\| `(journalctl [^|`\\]+)", page)

    assert len(queries) >= 7
    for query in queries:
        assert "Failed" not in here.try_(f"{query} --no-pager")[1]


def test_it_stops_in_good_order_with_pictures_in_flight(here: Installation) -> None:
    here.drop(40)
    began = time.monotonic()
    here.run("systemctl stop returnsd")

    assert time.monotonic() - began < 5
    assert here.shown("returnsd", "Result") == "success"
    here.run("returnsd audit; systemctl start returnsd")
    assert here.all_is_well()


def test_killed_it_comes_back_and_loses_nothing(here: Installation) -> None:
    here.restart()
    here.drop(30)
    killed = here.main_process()
    here.run(f"kill -9 {killed}")

    here.wait_for("systemctl is-active returnsd && test $(systemctl show --value -p NRestarts returnsd) = 1")

    assert here.main_process() != killed
    assert here.all_is_well()


def test_a_service_that_hangs_is_restarted_by_the_watchdog(here: Installation) -> None:
    here.write("/etc/systemd/system/returnsd.service.d/hurry.conf", "[Service]\nWatchdogSec=2s")
    here.run("systemctl daemon-reload")
    here.restart()
    hanging = here.main_process()
    here.run(f"kill -STOP {hanging}")

    here.wait_for(f"systemctl is-active returnsd && ! systemctl show -p MainPID returnsd | grep -q '={hanging}$'")

    assert "Watchdog timeout" in here.journal("-u returnsd -n 20")
    # and one that does nothing for longer than the watchdog waits is left alone
    pid = here.main_process()
    time.sleep(3)
    assert here.main_process() == pid
    here.run("rm /etc/systemd/system/returnsd.service.d/hurry.conf; systemctl daemon-reload")
    assert here.all_is_well()


def test_a_reload_takes_a_good_configuration_and_refuses_a_bad_one(here: Installation) -> None:
    here.restart()
    pid = here.main_process()
    here.write(CONFIG, SETTINGS.format(home=HOME) + "log: {level: debug}")
    here.run("systemctl reload returnsd")
    here.wait_for("journalctl --no-pager -u returnsd EVENT=reloaded -o json | grep -q log.level")

    here.write(CONFIG, "batch: {max_items: -3}\n")
    here.run("systemctl reload returnsd")
    here.wait_for("systemctl show -p StatusText returnsd | grep -q 'reload refused: batch.max_items'")

    assert here.shown("returnsd", "ActiveState") == "active"
    assert here.main_process() == pid
    here.drop(5)
    assert here.rows() <= here.dropped
    here.write(CONFIG, SETTINGS.format(home=HOME))
    here.run("systemctl reload returnsd")
    here.wait_for("! systemctl show -p StatusText returnsd | grep -q refused")
    assert here.all_is_well()


def test_a_bad_configuration_at_the_start_is_not_tried_again_and_someone_is_told(here: Installation) -> None:
    here.write(CONFIG, "workers: none\n")
    here.run("rm -f /var/lib/returnsd/state/failures")

    here.try_("systemctl restart returnsd")
    here.wait_for("grep -qx returnsd.service /var/lib/returnsd/state/failures")

    time.sleep(2.5)  # RestartSec is 2 s
    assert here.shown("returnsd", "ExecMainStatus") == "78"
    assert here.shown("returnsd", "ActiveState") == "failed"
    assert here.shown("returnsd", "NRestarts") == "0"
    assert "workers: found" in here.journal("-u returnsd -n 20")
    here.restart()


def test_an_instance_on_a_full_disk_pauses_says_so_and_goes_on(here: Installation) -> None:
    home = "/var/lib/returnsd-small"
    owner = "uid=$(id -u returnsd),gid=$(id -g returnsd)"
    here.run(f"mkdir {home}; mount -t tmpfs -o size=6m,mode=0711,{owner} small {home}")
    here.run("/opt/returnsd/libexec/add-inbox small")
    assert home in here.run("cat /etc/returnsd/small.yaml")
    here.write("/etc/returnsd/small.yaml", SETTINGS.format(home=home))
    here.run(f"mkdir -p {home}/state/bundles; cp -r {here.share}/tiny {home}/state/bundles/")
    here.run("systemctl start returnsd@small")
    for number in range(8):
        here.run(f"cp {here.share}/pictures/{number}.jpg {home}/inbox/.{number}.jpg")
    here.wait_for(f"test -s {home}/state/status.json")

    here.try_(f"cat /dev/zero >{home}/fill")
    here.run(f"cd {home}/inbox; for n in $(seq 0 7); do mv .$n.jpg $n.jpg; done")
    paused = "paused: disk_full"
    here.wait_for(f"systemctl show -p StatusText returnsd@small | grep -q '{paused}'")

    assert "PAUSED: the disk of " in here.run("returnsd status --config /etc/returnsd/small.yaml")
    assert here.shown("returnsd@small", "NRestarts") == "0"
    (event,) = here.entries("-u returnsd@small", "EVENT=intake_paused")
    assert (event["REASON"], event["PRIORITY"]) == ("disk_full", "3")
    here.run(f"rm {home}/fill")
    here.wait_for_rows(8, home)
    here.run("returnsd audit --config /etc/returnsd/small.yaml")
    here.wait_for(f"! systemctl show -p StatusText returnsd@small | grep -q '{paused}'")
    here.run(f"systemctl stop returnsd@small; umount {home}")


def test_the_timer_judges_what_waits_while_the_service_does_not_run(here: Installation) -> None:
    here.run("systemctl stop returnsd")
    here.drop(10)
    soon = "[Timer]\nOnCalendar=\nOnCalendar=*:*:*\nRandomizedDelaySec=0\nAccuracySec=1s\nPersistent=false"
    here.write("/etc/systemd/system/returnsd-batch.timer.d/soon.conf", soon)
    here.run("systemctl daemon-reload; systemctl start returnsd-batch.timer")
    here.wait_for(f"ls {HOME}/state/reports/report-*.json")
    here.run("systemctl stop returnsd-batch.timer")
    here.wait_for("! systemctl is-active returnsd-batch | grep -q activ.*ing")

    reports = [json.loads(here.run(f"cat {path}")) for path in here.run(f"ls {HOME}/state/reports/*.json").split()]
    assert sum(report["judged"] for report in reports) == here.dropped
    assert reports[0]["judged_by"] == "batch"
    assert here.shown("returnsd-batch", "Result") == "success"
    here.run("rm -r /etc/systemd/system/returnsd-batch.timer.d; systemctl daemon-reload; systemctl start returnsd")
    assert here.all_is_well()


def test_the_page_runs_beside_under_its_own_walls(here: Installation) -> None:
    here.run("systemctl start returnsd-web")

    answered = here.run("curl --silent --show-error --fail http://127.0.0.1:5001/livez")
    ready = here.run("curl --silent http://127.0.0.1:5001/readyz")

    assert answered
    assert json.loads(ready)["ready"] is True
    assert here.shown("returnsd-web", "ActiveState") == "active"
    pid = here.main_process("returnsd-web")
    assert int(here.run(f"grep CapEff /proc/{pid}/status").split()[1], 16) == 0
    assert here.try_(f"touch /proc/{pid}/root/etc/x")[0] != 0
    here.run("systemctl reload returnsd-web; systemctl stop returnsd-web")
    assert here.shown("returnsd-web", "Result") == "success"


def test_a_back_up_of_the_running_service_brings_everything_back(here: Installation) -> None:
    here.run("returnsd backup /root/ledger.backup")
    before = here.rows()
    here.drop(10)
    here.wait_for_rows(before + 10)
    here.run(f"systemctl stop returnsd; rm {HOME}/state/ledger.sqlite*")

    said = here.run("returnsd restore /root/ledger.backup")

    assert f"{before} rows are back; 10 pictures went back into the queue" in said
    here.run("returnsd rebuild-results")
    assert here.run(f"stat -c %U {HOME}/state/ledger.sqlite {HOME}/results/*.csv | sort -u") == "returnsd"
    here.run("systemctl start returnsd")
    assert here.all_is_well()


def test_upgrade_and_downgrade_with_pictures_in_flight_lose_nothing(
    here: Installation, packages: tuple[Path, Path]
) -> None:
    here.write(CONFIG, SETTINGS.format(home=HOME) + "# mine")
    for package, version in ((packages[1], NEWER), (packages[0], "")):
        here.drop(40)
        here.run(f"dpkg -i --force-downgrade {package}")
        here.wait_for("systemctl is-active returnsd")

        running = json.loads(here.run("returnsd status --json"))
        assert version in running["service"]["version"]
        assert here.all_is_well()
    assert "99" not in running["service"]["version"]
    assert here.run(f"tail -1 {CONFIG}") == "# mine"
    assert here.shown("returnsd", "ActiveState") == "active"


def test_a_stopped_service_stays_stopped_over_an_upgrade(here: Installation, packages: tuple[Path, Path]) -> None:
    here.run("systemctl stop returnsd; systemctl disable returnsd")

    here.run(f"dpkg -i {packages[0]}")

    assert here.shown("returnsd", "ActiveState") == "inactive"
    assert here.try_("systemctl is-enabled returnsd")[1] == "disabled"


def test_removed_it_leaves_pictures_ledger_and_configuration(here: Installation) -> None:
    kept = here.run(f"find {HOME} -type f | sort")

    here.run("systemctl start returnsd; dpkg -r returnsd")

    assert here.try_("systemctl list-unit-files --no-legend 'returnsd*.service'")[1] == ""
    assert here.try_("pgrep -f /opt/returnsd/bin")[0] != 0
    assert here.try_("ls -d /opt/returnsd /usr/bin/returnsd")[0] != 0
    assert set(kept.split()) - set(here.run(f"find {HOME} -type f").split()) <= {f"{HOME}/state/ledger.sqlite-wal"}
    assert here.run(f"cat {CONFIG}")
    assert here.run("id returnsd")


def test_make_install_does_the_same_and_make_uninstall_takes_it_away(here: Installation) -> None:
    staged = here.share / "stage"

    here.run(f"{ROOT}/packaging/install {staged} ''")
    here.wait_for("systemctl is-active returnsd")
    assert here.all_is_well()
    here.run(f"{ROOT}/packaging/install {staged} ''")  # again: an upgrade
    here.wait_for("systemctl is-active returnsd")
    here.run(f"{ROOT}/packaging/uninstall ''")

    assert here.try_("systemctl cat returnsd")[0] != 0
    assert here.try_("ls -d /opt/returnsd")[0] != 0
    assert here.rows() == here.dropped


def test_destdir_is_honoured_and_nothing_tells_where_it_was_built(share: Path, packages: tuple[Path, Path]) -> None:
    destination = share / "destination"

    subprocess.run([ROOT / "packaging/install", share / "stage", destination], check=True)
    traces = subprocess.run(["grep", "-rlF", str(share), destination], capture_output=True, text=True, check=False)

    assert (destination / "opt/returnsd/bin/returnsd").read_text().startswith("#!/opt/returnsd/bin/python -I\n")
    assert (destination / "usr/lib/systemd/system/returnsd.service").exists()
    assert traces.stdout == ""
    subprocess.run([ROOT / "packaging/uninstall", destination], check=True, capture_output=True)
    assert [path for path in destination.rglob("*") if not path.is_dir()] == []


NOT_HERE = ("sudo apt install", "make deb")
"""What the box has already: Debian's packages; and the package, which every other test here installs."""


def test_a_newcomer_gets_from_nothing_to_a_running_service_in_ten_commands(
    here: Installation, packages: tuple[Path, Path]
) -> None:
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"## From nothing.*?```sh\n(.*?)```", page, flags=re.DOTALL)
    commands = block.strip().splitlines()
    here.run(f"rm -rf {HOME} /etc/returnsd; mkdir -p /root/clone/dist; cp {packages[0]} /root/clone/dist/")
    here.run(f"cp {here.share}/pictures/0.jpg /root/clone/photo.jpg; systemctl daemon-reload")

    assert len(commands) <= 10
    for command in commands:
        if not command.startswith(NOT_HERE):
            here.run(f'cd /root/clone; sudo() {{ "$@"; }}; USER=anna; {command}')
            here.wait_for("systemctl is-active returnsd || ! test -e /usr/bin/returnsd")

    here.wait_for_rows(1)
    here.wait_for("curl --silent --fail http://127.0.0.1:5001/livez")
    here.run("systemctl is-enabled returnsd returnsd-web returnsd-batch.timer")

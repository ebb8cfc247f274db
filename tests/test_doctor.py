"""What the doctor finds and advises: pure judgments on facts, and one whole examination of a real folder."""

import errno
import json
import os
import stat
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from returnsd import cli, config, diagnosis, doctor, machine
from returnsd.config import Config
from returnsd.diagnosis import Finding
from returnsd.ledger import LEDGER, Ledger
from returnsd.machine import Mount, Space, Unit
from returnsd.spool import Spool
from returnsd.survey import Survey
from tests.examples import NOON, example_id, file_away

GIB = 1 << 30

SHOWN = """\
Id=returnsd.service
User=returnsd
ExecStart={ path=/opt/returnsd/bin/returnsd ; argv[]=/opt/returnsd/bin/returnsd run --config /etc/returnsd/config.yaml ; ignore_errors=no ; pid=7 }
NRestarts=2
ExecMainStatus=0
LoadState=loaded
ActiveState=active
Result=success
UnitFileState=enabled
NeedDaemonReload=no
ProtectSystem=strict
ReadWritePaths=-/srv/returns
StateDirectory=returnsd
"""  # noqa: E501 (as systemctl prints it)

MOUNTS = r"""
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
41 22 0:40 / /mnt/the\040desk rw,relatime shared:2 - cifs //nas/desk rw
"""


@pytest.fixture
def here(tmp_path: Path) -> Config:
    return config.default(tmp_path)


@pytest.fixture
def installed() -> Config:
    """A configuration whose folders a unit can see; nothing is made there."""
    return config.default(Path("/srv/returns"))


@pytest.fixture
def unit() -> Unit:
    return replace(machine.parse_unit(SHOWN), restarts=0, may_write=None)


def levels(findings: Iterable[Finding]) -> list[str]:
    return [finding.level for finding in findings]


def test_mounts_are_read_with_spaces_in_their_names() -> None:
    found = machine.parse_mounts(MOUNTS.strip())

    assert found == {22: Mount(22, "/", "ext4"), 41: Mount(41, "/mnt/the desk", "cifs")}


def test_a_unit_is_read_as_systemctl_shows_it() -> None:
    found = machine.parse_unit(SHOWN)

    assert (found.name, found.loaded, found.enabled, found.user, found.restarts) == (
        "returnsd.service", True, True, "returnsd", 2,
    )  # fmt: skip
    assert found.uses(Path("/etc/returnsd/config.yaml"))
    assert not found.uses(Path("/etc/returnsd/config"))
    assert found.may_write == (Path("/var/lib/returnsd"), Path("/srv/returns"))


def test_the_mount_of_a_path_is_one_of_this_machines(tmp_path: Path) -> None:
    found = machine.mount_of(tmp_path)

    assert os.path.ismount(found.point)
    assert tmp_path.is_relative_to(found.point)


@pytest.mark.parametrize(
    ("free_gib", "total_gib", "free_inodes", "level"),
    [
        (100, 400, 10**7, "fine"),
        (1.5, 400, 10**7, "advice"),
        (0.1, 400, 10**7, "FAULT"),
        (0.5, 1, 10**7, "fine"),  # a small disk that is half empty
        (100, 400, 400_000, "advice"),
        (100, 400, 3, "FAULT"),
        (100, 400, None, "fine"),  # btrfs has no fixed number
    ],
)
def test_space_and_inodes_are_judged(
    free_gib: float, total_gib: float, free_inodes: int | None, level: str
) -> None:
    total_inodes = None if free_inodes is None else 10**8 // 10
    space = Space(int(free_gib * GIB), int(total_gib * GIB), free_inodes, total_inodes)

    found = diagnosis.judge_space(Path("/srv"), space)

    assert found.level == level
    assert bool(found.remedy) == (level != "fine")


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs"])
def test_a_network_inbox_with_events_is_advised_to_scan_instead(kind: str, here: Config) -> None:
    mount = Mount(1, "/mnt/nas", kind)
    scanning = replace(here, watch=replace(here.watch, events=False))

    (advice,) = diagnosis.judge_inbox_mount(mount, here)

    assert advice.level == "advice"
    assert "events: false" in advice.remedy
    assert list(diagnosis.judge_inbox_mount(mount, scanning)) == []


@pytest.mark.parametrize(("kind", "found"), [("nfs", ["FAULT"]), ("tmpfs", ["FAULT"]), ("ext4", []), ("zfs", [])])
def test_a_ledger_on_a_network_or_in_memory_is_a_fault(kind: str, found: list[str], here: Config) -> None:
    assert levels(diagnosis.judge_state_mount(Mount(1, "/x", kind), here)) == found


def test_shelves_on_another_mount_than_the_queue_are_a_fault_that_names_them(here: Config) -> None:
    (fault,) = diagnosis.judge_apart([here.paths.archive], here)

    assert fault.level == "FAULT"
    assert str(here.paths.archive) in fault.text


@pytest.mark.parametrize(
    ("mode", "members", "level", "remedy"),
    [
        (0o2770, ["anna"], "fine", ""),
        (0o2770, [], "advice", "usermod -aG returnsd-inbox USER"),
        (0o0770, ["anna"], "advice", "chmod g+s /in"),
        (0o2777, ["anna"], "advice", "chmod o-w /in"),
        (0o0700, ["anna"], "advice", "chgrp returnsd-inbox /in; chmod 2770 /in"),
    ],
)
def test_the_inboxs_door_is_judged(mode: int, members: list[str], level: str, remedy: str) -> None:
    found = diagnosis.judge_door(Path("/in"), stat.S_IFDIR | mode, "returnsd", "returnsd-inbox", members)

    assert (found.level, found.remedy) == (level, remedy)


@pytest.mark.parametrize(
    ("year", "newest", "synchronised", "level"),
    [
        (2027, "2027-01-01", True, "fine"),
        (2027, None, None, "fine"),
        (2027, None, False, "advice"),
        (1970, None, True, "FAULT"),
        (2027, "2027-02-01", True, "FAULT"),
    ],
)
def test_a_clock_that_cannot_be_right_is_told(
    year: int, newest: str | None, synchronised: bool | None, level: str
) -> None:
    assert diagnosis.judge_clock(datetime(year, 1, 2, tzinfo=UTC), newest, synchronised).level == level


def test_the_kernels_limit_on_watches_is_named_with_its_remedy(here: Config) -> None:
    refused = diagnosis.judge_refusal(OSError(errno.ENOSPC, "No space left on device"), here)

    assert "sysctl -w fs.inotify.max_user_watches" in refused.remedy
    assert diagnosis.judge_watches(7000, 8192).level == "advice"
    assert diagnosis.judge_watches(7, 8192).level == "fine"


def test_a_unit_that_failed_over_its_configuration_says_which_command_helps(unit: Unit, here: Config) -> None:
    failed = replace(unit, active="failed", result="exit-code", exit_status=78)

    (fault,) = diagnosis.judge_units([failed], failed, here)

    assert fault.level == "FAULT"
    assert "returnsd config check" in fault.remedy


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"enabled": False}, "enable"),
        ({"active": "inactive"}, "start"),
        ({"needs_daemon_reload": True}, "daemon-reload"),
        ({"restarts": 3}, "journalctl"),
    ],
)
def test_a_unit_that_is_not_as_it_should_be_is_advised(
    change: dict[str, object], word: str, unit: Unit, here: Config
) -> None:
    changed = replace(unit, **change)  # type: ignore[arg-type]

    found = list(diagnosis.judge_units([changed], changed, here))

    assert any(finding.level == "advice" and word in finding.remedy for finding in found)


def test_without_systemd_or_without_a_unit_for_this_file_it_says_so(unit: Unit, here: Config) -> None:
    assert levels(diagnosis.judge_units(None, None, here)) == ["advice"]
    assert levels(diagnosis.judge_units([unit], None, here)) == ["advice"]
    assert levels(diagnosis.judge_units([unit], unit, here)) == ["fine"]


def test_folders_that_the_unit_may_not_write_to_are_a_fault(unit: Unit, installed: Config) -> None:
    walled = replace(unit, may_write=(Path("/var/lib/returnsd"),))

    found = list(diagnosis.judge_units([walled], walled, installed))

    assert levels(found) == ["fine", "FAULT"]
    assert f"ReadWritePaths={installed.paths.state.parent}" in found[1].remedy


@pytest.mark.parametrize(("bundle", "hidden"), [("/home/anna/shop", True), ("/srv/shop", False), ("shop", False)])
def test_a_model_that_the_unit_cannot_see_is_a_fault(bundle: str, hidden: bool, unit: Unit) -> None:
    here = config.parse(f"model: {{bundle: {bundle}}}", Path("/srv"))
    walled = replace(unit, may_write=(Path("/srv"),))

    found = list(diagnosis.judge_units([walled], walled, here))

    assert any(f"cannot see {bundle}" in finding.text for finding in found) == hidden


def test_folders_in_several_mounts_of_the_unit_are_a_fault(unit: Unit, installed: Config) -> None:
    base = installed.paths.inbox.parent
    apart = replace(unit, may_write=tuple(diagnosis.all_folders(installed)))
    together = replace(unit, may_write=(base,))

    assert levels(diagnosis.judge_units([apart], apart, installed)) == ["fine", "FAULT"]
    assert levels(diagnosis.judge_units([together], together, installed)) == ["fine"]


def _made(here: Config) -> Path:
    for folder in diagnosis.all_folders(here):
        folder.mkdir(parents=True)
    return here.paths.inbox


def with_model(folder: Path, tiny: Path) -> Path:
    file = folder / "config.yaml"
    file.write_text(f"model: {{bundle: {tiny}, target_accuracy: 0.8}}\n")
    return file


def test_a_whole_examination_of_a_new_installation_finds_no_fault(
    tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = cli.main(["doctor", "--json", "--config", str(with_model(tmp_path, tiny))])

    found = json.loads(capsys.readouterr().out)
    assert [finding for finding in found if finding["level"] == "FAULT"] == []
    assert status == 0
    abouts = {finding["about"] for finding in found}
    assert {"units", "folders", "file system", "space", "clock", "ledger", "model"} <= abouts
    assert not (tmp_path / "var").exists()


def test_what_stands_in_the_way_is_told_with_a_remedy_and_exit_status_1(
    tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = with_model(tmp_path, tiny)
    file.write_text(file.read_text().replace(str(tiny), "nowhere"))
    (tmp_path / "var").write_text("no folder")

    status = cli.main(["doctor", "--config", str(file)])

    shown = capsys.readouterr().out
    assert status == 1
    assert f"FAULT  folders: {tmp_path}/var is no folder\n       -> move it away" in shown
    assert "FAULT  model: no bundle is called 'nowhere'" in shown


@pytest.mark.root
def test_folders_are_judged_as_the_user_who_asks(here: Config) -> None:
    _made(here)
    here.paths.queue.chmod(0o777)
    child = os.fork()
    if child == 0:
        os.chmod(here.paths.inbox.parent.parent, 0o755)
        os.setuid(65534)
        found = list(doctor._folders(here))
        os._exit(len([finding for finding in found if finding.level == "FAULT"]))

    faults = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    # nobody may write to six of them (or reach none, behind a closed folder of pytest's), all to the queue
    assert faults >= 7


def test_a_ledger_and_its_newest_row_are_looked_at(tmp_path: Path, here: Config) -> None:
    ledger = here.paths.state / "ledger.sqlite"
    ledger.parent.mkdir(parents=True)
    ledger.write_bytes(b"no database at all, but long enough to be taken for one" * 30)

    found = list(doctor._records_and_clock(here))

    assert levels(found)[0] == "FAULT"
    assert str(ledger) in found[0].text


def test_files_that_watch_more_folders_than_they_need_are_counted(here: Config) -> None:
    _made(here)
    (here.paths.inbox / "monday/morning").mkdir(parents=True)

    (found,) = doctor._events(here)

    assert found.text.startswith("3 folders")


def test_what_is_missing_from_review_and_what_does_not_belong_there_is_told(tmp_path: Path, tiny: Path) -> None:
    here = config.parse(f"model: {{bundle: {tiny}}}", tmp_path)
    spool = Spool(here.paths)
    ledger = Ledger(here.paths.state / LEDGER)
    file_away(spool, ledger, 1).unlink()
    decided = file_away(spool, ledger, 2)
    ledger.decide(decided.name[:26], "dots", NOON, "anna")
    ledger.close()
    (here.paths.review / "note.txt").write_text("")
    (here.paths.review / "dotz").mkdir()
    (here.paths.review / "dotz" / "a.jpg").write_text("")

    found = [finding for finding in doctor.examine(here, None) if finding.about == "review"]

    assert levels(found) == [diagnosis.ADVICE] * 4
    assert [finding.text for finding in found] == [
        f"1 item waits and has no file: {example_id(1)}",
        "1 file belongs to no item: note.txt",
        "files lie in folders that are no category: dotz",
        f"1 decision is recorded, and its file still in review: {example_id(2)}",
    ]
    assert all(finding.remedy for finding in found)


def test_a_review_in_good_order_is_fine() -> None:
    (found,) = diagnosis.judge_review(Survey(), [])

    assert found.level == diagnosis.FINE

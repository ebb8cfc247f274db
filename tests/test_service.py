"""The running service, as systemd and an administrator meet it: real processes, real signals."""

import csv
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.running import ROOT, RunningService
from tests.installation import files_below
from tests.tiny import tiny_jpeg

CONFIG = """
watch: {{settle_s: 0.05, rescan_s: 0.5, patience_s: 0.3}}
batch: {{max_items: 16, max_wait_s: 0.1}}
model: {{bundle: {bundle}, target_accuracy: 0.8}}
log: {{format: json}}
"""


@pytest.fixture
def service(tmp_path: Path, tiny: Path) -> Iterator[RunningService]:
    with RunningService(tmp_path / "here", CONFIG.format(bundle=tiny)) as running:
        yield running


def drop(service: RunningService, count: int, prefix: str = "photo") -> None:
    for number in range(count):
        (service.inbox / f"{prefix}-{number}.jpg").write_bytes(tiny_jpeg(("dots", "stripes")[number % 2], number))


def csv_rows(service: RunningService) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = []
    for path in sorted((service.folder / "var/results").glob("returns-*.csv")):
        with path.open(newline="", encoding="utf-8") as lines:
            rows += csv.DictReader(lines)
    return rows


def test_pictures_dropped_become_rows_and_files(service: RunningService) -> None:
    service.start()

    drop(service, 20)
    service.wait_for_rows(20)
    status = service.stop()

    assert status == 0
    assert len(csv_rows(service)) == 20
    assert service.run("audit").returncode == 0


def test_an_idle_service_rests_from_the_start(service: RunningService) -> None:
    service.start()
    time.sleep(2)  # all decoders have loaded

    before = service.cpu_s()
    time.sleep(2)

    assert service.cpu_s() - before < 0.4


def test_sigterm_brings_what_is_in_flight_to_its_shelf_within_five_seconds(service: RunningService) -> None:
    service.start()
    drop(service, 300)
    service.wait_for_rows(10)
    began = time.monotonic()

    status = service.stop(signal.SIGTERM)

    assert (status, time.monotonic() - began < 5) == (0, True)
    rows = service.rows()
    assert len(files_below(service.folder / "var/archive") + files_below(service.folder / "var/review")) == rows
    assert service.run("audit").returncode == 0


def test_a_second_instance_is_refused_and_the_first_goes_on(service: RunningService) -> None:
    service.start()

    second = service.run("run")
    drop(service, 1)
    service.wait_for_rows(1)

    assert second.returncode == 1
    assert "another returnsd process" in second.stderr


def test_sighup_takes_a_new_configuration_over_and_refuses_a_bad_one(service: RunningService) -> None:
    service.start()
    good = service.config.read_text()
    service.config.write_text(good + "return_id_pattern: '^(RMA[0-9]+)'\n")
    service.send(signal.SIGHUP)
    wait_for(service, "reloaded")
    service.config.write_text("batch: {max_items: -3}\n")
    service.send(signal.SIGHUP)
    wait_for(service, "reload_refused")

    (service.inbox / "RMA77 a.jpg").write_bytes(tiny_jpeg("dots", 1))
    service.wait_for_rows(1)

    assert csv_rows(service)[0]["return_id"] == "RMA77"
    service.config.write_text(good)
    wait_for_status(service, lambda said: "last error: reload refused" in said)

    service.send(signal.SIGHUP)
    wait_for_status(service, lambda said: "reload refused" not in said)

    (refused,) = service.events("reload_refused")
    assert "batch.max_items" in str(refused["error"])


def wait_for_status(service: RunningService, right: Callable[[str], bool]) -> None:
    deadline = time.monotonic() + 30
    while not right(said := service.run("status").stdout):
        assert time.monotonic() < deadline, said


def wait_for(service: RunningService, event: str) -> None:
    deadline = time.monotonic() + 20
    while not service.events(event):
        assert time.monotonic() < deadline, service.log()[-2000:]
        time.sleep(0.02)


def test_a_configuration_that_cannot_be_used_ends_with_78_and_names_every_fault(service: RunningService) -> None:
    service.config.write_text("workers: none\nlimits: {file_mib: 0}\nunknown: 1\n")

    ended = service.run("run")

    assert ended.returncode == 78
    for fault in ("workers", "limits.file_mib", "unknown"):
        assert fault in ended.stderr


def test_a_model_that_is_damaged_is_not_served(service: RunningService, tiny: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in tiny.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    forest = broken / "forest.npz"
    forest.write_bytes(forest.read_bytes()[:-100] + bytes(100))
    service.config.write_text(CONFIG.format(bundle=broken))

    ended = service.run("run")

    assert ended.returncode == 1
    assert "forest.npz" in ended.stderr


def test_the_service_does_not_load_what_only_training_needs(service: RunningService) -> None:
    service.start()
    drop(service, 3)
    service.wait_for_rows(3)

    loaded = "".join(Path(f"/proc/{pid}/maps").read_text() for pid in service.process_ids())

    assert "numpy" in loaded
    for heavy in ("sklearn", "pandas", "scipy", "skimage"):
        assert f"/{heavy}/" not in loaded


def test_killed_again_and_again_among_broken_files_it_loses_and_doubles_nothing(service: RunningService) -> None:
    """The promise in small: pictures, broken files, SIGKILL three times, then the whole account."""
    dice = random.Random(7)
    whole = [tiny_jpeg(("dots", "stripes")[n % 2], n % 150) for n in range(200)]
    broken = [data[: dice.randrange(len(data))] for data in whole[:20]]
    files = {f"good-{n}.jpg": data for n, data in enumerate(whole)}
    files |= {f"broken-{n}.jpg": data for n, data in enumerate(broken)}
    service.start()
    for number, (name, data) in enumerate(files.items()):
        (service.inbox / name).write_bytes(data)
        if number in (60, 120, 180):
            service.wait_for_rows(number // 4)
            service.stop(signal.SIGKILL)
            service.start()
    service.wait_for_rows(len(files))
    assert service.stop() == 0

    rows = csv_rows(service)
    shelves = [service.folder / f"var/{shelf}" for shelf in ("archive", "review", "rejected")]
    on_shelves = {path.name[:26]: path for shelf in shelves for path in files_below(shelf)}

    assert sorted(row["file_name"] for row in rows) == sorted(files)
    assert sorted(on_shelves) == sorted(row["item_id"] for row in rows)
    for row in rows:
        actual = hashlib.sha256(on_shelves[row["item_id"]].read_bytes()).hexdigest()
        assert actual == row["sha256"] == hashlib.sha256(files[row["file_name"]]).hexdigest()
        assert (row["shelf"] == "rejected") == row["file_name"].startswith("broken")
    assert service.run("audit").returncode == 0
    before = {path.name: path.read_bytes() for path in files_below(service.folder / "var/results")}
    assert service.run("rebuild-results").returncode == 0
    assert {path.name: path.read_bytes() for path in files_below(service.folder / "var/results")} == before


def test_a_killed_decoder_is_replaced_and_its_picture_is_judged(service: RunningService) -> None:
    service.start()
    drop(service, 100)
    service.wait_for_rows(5)
    for pid in service.process_ids()[1:]:
        os.kill(pid, signal.SIGKILL)

    service.wait_for_rows(100)

    assert {row["shelf"] for row in csv_rows(service)} <= {"archive", "review"}


def test_a_changed_file_wakes_it_long_before_the_next_scan(service: RunningService) -> None:
    text = service.config.read_text().replace("rescan_s: 0.5", "rescan_s: 3600")
    service.config.write_text(text)
    service.start()
    time.sleep(0.3)

    drop(service, 1)

    assert service.wait_for_rows(1, within_s=10) < 2


def test_batch_judges_all_that_waits_and_stops(service: RunningService) -> None:
    drop(service, 30)
    (service.inbox / "broken.jpg").write_bytes(tiny_jpeg("dots", 1)[:-50])

    done = service.run("batch", "--json")

    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["judged"], report["rejected"]) == (31, {"incomplete": 1})
    assert service.run("audit").returncode == 0


def test_batch_beside_a_running_service_waits_for_it_and_reports(service: RunningService) -> None:
    service.start()
    drop(service, 30)

    done = service.run("batch", "--json")

    report = json.loads(done.stdout)
    assert (done.returncode, report["judged_by"], report["judged"]) == (0, "service", 30)


def test_the_command_alone_teaches() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "returnsd", "--help"], capture_output=True, text=True, check=True, cwd=ROOT
    )

    for command in ("run", "batch", "classify", "status", "decide", "audit", "rebuild-results", "model", "config"):
        assert f"    {command}" in shown.stdout

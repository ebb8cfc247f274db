"""`returnsd web` and `returnsd run --web`, as an administrator meets them: real processes, real signals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from benchmarks.running import ROOT, RunningService
from returnsd import logs
from returnsd.companion import Companion
from tests.tiny import tiny_jpeg
from tests.web import TOKEN, Served

CONFIG = """
watch: {{settle_s: 0.05, rescan_s: 0.5, patience_s: 0.3}}
model: {{bundle: {bundle}, threshold: 0.5}}
workers: 1
web: {{port: 0}}
log: {{format: json}}
"""


def run(folder: Path, config: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "config.yaml").write_text(config)
    command = [sys.executable, "-m", "returnsd", *arguments, "--config", str(folder / "config.yaml")]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)


def eventually(true: Callable[[], bool], within_s: float = 20.0) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.05)
    return False


def test_it_serves_before_the_worker_ever_ran_and_ends_in_good_order(tmp_path: Path, tiny: Path) -> None:
    with Served(tmp_path, CONFIG.format(bundle=tiny)) as page:
        answer = httpx.get(page.address + "/v1/review")
        page.process.send_signal(signal.SIGTERM)
        status = page.process.wait(10)

    assert answer.json()["count"] == 0
    assert status == 0
    assert '"web_stopped"' in page.log()


@pytest.mark.parametrize("command", [["web"], ["run", "--web"]])
def test_an_address_others_can_reach_without_a_token_is_a_config_fault(
    command: list[str], tmp_path: Path, tiny: Path
) -> None:
    ended = run(tmp_path, f"model: {{bundle: {tiny}}}\nweb: {{host: 0.0.0.0, port: 0}}\n", *command)

    assert ended.returncode == 78
    assert "web.token_file" in ended.stderr


def test_with_a_token_it_listens_to_others(tmp_path: Path, tiny: Path) -> None:
    (tmp_path / "token").touch(0o600)
    (tmp_path / "token").write_text(TOKEN)
    config = CONFIG.format(bundle=tiny).replace("{port: 0}", "{host: 0.0.0.0, port: 0, token_file: token}")

    with Served(tmp_path, config) as page:
        address = page.address.replace("0.0.0.0", "127.0.0.1")
        without = httpx.get(address + "/v1/review")
        with_it = httpx.get(address + "/v1/review", headers={"Authorization": f"Bearer {TOKEN}"})

    assert (without.status_code, with_it.status_code) == (401, 200)


def test_a_second_one_over_the_same_state_is_refused(tmp_path: Path, tiny: Path) -> None:
    with Served(tmp_path, CONFIG.format(bundle=tiny)) as page:
        second = run(tmp_path, page.config.read_text(), "web")

    assert second.returncode == 1
    assert "another returnsd process holds" in second.stderr


def test_a_port_that_is_taken_is_told_with_the_remedy(tmp_path: Path, tiny: Path) -> None:
    with Served(tmp_path / "one", CONFIG.format(bundle=tiny)) as page:
        port = page.address.rpartition(":")[2]
        (tmp_path / "two").mkdir()
        second = run(tmp_path / "two", CONFIG.format(bundle=tiny).replace("port: 0", f"port: {port}"), "web")

    assert second.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in second.stderr
    assert "web.port" in second.stderr


def test_sighup_takes_a_good_configuration_over_and_keeps_the_old_one_when_the_new_is_bad(
    tmp_path: Path, tiny: Path
) -> None:
    with Served(tmp_path, CONFIG.format(bundle=tiny)) as page:
        page.config.write_text(CONFIG.format(bundle=tiny).replace("threshold: 0.5", "threshold: 0.75"))
        page.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: '"reloaded"' in page.log())
        after_good = httpx.get(page.address + "/v1/model").json()["threshold"]
        page.config.write_text("nonsense: 1\n")
        page.process.send_signal(signal.SIGHUP)
        assert eventually(lambda: '"reload_refused"' in page.log())
        after_bad = httpx.get(page.address + "/v1/model").json()["threshold"]

    assert (after_good, after_bad) == (0.75, 0.75)


def test_run_with_web_serves_beside_the_worker_restarts_it_and_ends_with_it(tmp_path: Path, tiny: Path) -> None:
    with RunningService(tmp_path, CONFIG.format(bundle=tiny)) as service:
        service.start(arguments=["--web"])
        assert eventually(lambda: len(service.events("web_started")) == 1)
        address = str(service.events("web_started")[0]["address"])
        (service.inbox / "photo.jpg").write_bytes(tiny_jpeg("stripes", 1))
        service.wait_for_rows(1)
        found = httpx.get(address + "v1/items").json()["items"]
        ready = httpx.get(address + "readyz").json()
        os.kill(_web_pid(service), signal.SIGKILL)
        assert eventually(lambda: len(service.events("web_started")) == 2)
        status = service.stop()
        again = str(service.events("web_started")[1]["address"])

    assert [item["file_name"] for item in found] == ["photo.jpg"]
    assert (ready["ready"], ready["worker"]) == (True, "running")
    assert status == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(again)


def test_a_file_moved_by_hand_into_a_categorys_folder_is_decided(tmp_path: Path, tiny: Path) -> None:
    config = CONFIG.format(bundle=tiny).replace("threshold: 0.5", "threshold: 1.0")
    with RunningService(tmp_path, config) as service:
        service.start(arguments=["--web"])
        (service.inbox / "photo.jpg").write_bytes(tiny_jpeg("stripes", 1))
        review = tmp_path / "var/review"
        assert eventually(lambda: (review / "dots").is_dir() and any(review.glob("*_photo.jpg")))
        (waiting,) = review.glob("*_photo.jpg")

        waiting.rename(review / "dots" / waiting.name)

        assert eventually(lambda: any((tmp_path / "var/archive").glob("*/dots/*_photo.jpg")))
        assert service.run("audit").returncode == 0


def test_the_page_dies_with_a_worker_that_is_killed(tmp_path: Path, tiny: Path) -> None:
    with RunningService(tmp_path, CONFIG.format(bundle=tiny)) as service:
        service.start(arguments=["--web"])
        assert eventually(lambda: len(service.events("web_started")) == 1)
        address = str(service.events("web_started")[0]["address"])

        service.stop(signal.SIGKILL)

    assert eventually(lambda: not _answers(address))


def _web_pid(service: RunningService) -> int:
    for pid in service.process_ids()[1:]:
        if "--beside" in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
            return pid
    raise AssertionError("no web process")


def _answers(address: str) -> bool:
    try:
        return httpx.get(address + "livez").status_code == 200
    except httpx.TransportError:
        return False


def test_a_companion_that_keeps_ending_is_started_ever_less_often(tmp_path: Path) -> None:
    started = tmp_path / "started"
    companion = Companion(["sh", "-c", f"echo x >> {started}"], logs.get_logger("test"))

    now = 0.0
    while now < 100.0:
        companion.step(now)
        if companion._process is not None:
            companion._process.wait()
        now += 0.5

    starts = len(started.read_text().splitlines())
    assert 5 <= starts <= 8  # after 1, 2, 4, 8, 16, 32 ... seconds

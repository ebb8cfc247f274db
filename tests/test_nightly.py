"""The one-shot batch: all that waits is judged, and every row is in exactly one report."""

import json
import signal
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path

import pytest

from returnsd import config as configuration
from returnsd import disk, nightly
from returnsd.audit import audit
from returnsd.config import Config
from returnsd.ledger import LEDGER, Ledger
from returnsd.records import Shelf
from returnsd.spool import Spool
from returnsd.status import LOCK, STATUS
from tests.examples import enter, example_id, example_rejection, example_verdict, file_away
from tests.installation import files_below
from tests.tiny import tiny_jpeg


@pytest.fixture
def config(tmp_path: Path, tiny: Path) -> Config:
    text = f"{{model: {{bundle: {tiny}, target_accuracy: 0.9}}, workers: 1, watch: {{settle_s: 0, patience_s: 0}}}}"
    config = configuration.parse(text, tmp_path)
    config.paths.inbox.mkdir(parents=True)
    return config


@pytest.fixture
def spool(config: Config) -> Spool:
    return Spool(config.paths)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for a running service for as good as no time."""
    monkeypatch.setattr(nightly, "_PATIENCE_S", 0.02)
    monkeypatch.setattr(nightly, "_LOOK_S", 0.001)


def drop(config: Config, name: str, data: bytes) -> Path:
    path = config.paths.inbox / name
    path.write_bytes(data)
    return path


def tell(config: Config, **changes: object) -> None:
    """Let a running service have told how it is doing."""
    told: dict[str, object] = {"model": "tiny-1.0+00000000", "held": {}, "problem": None}
    (config.paths.state / STATUS).write_text(json.dumps({**told, **changes}))


# --- judging


def test_all_that_waits_is_judged_and_the_report_says_what_came_of_it(config: Config) -> None:
    drop(config, "a.jpg", tiny_jpeg("stripes", 1))
    drop(config, "b.jpg", tiny_jpeg("stripes", 2))
    drop(config, "empty.jpg", b"")
    drop(config, "text.jpg", b"no picture at all")
    (config.paths.inbox / "link.jpg").symlink_to("a.jpg")
    told: list[tuple[int, int]] = []

    report, path = nightly.run(config, lambda judged, waiting: told.append((judged, waiting)))

    assert json.loads(path.read_text()) == asdict(report)
    assert (report.judged_by, report.problem) == ("batch", None)
    assert (report.first_row, report.last_row, report.judged) == (0, 4, 4)
    assert report.rejected == {"empty": 1, "not_a_picture": 1}
    assert report.categories == {"stripes": 2}
    assert report.shelves == {"archive": 2, "review": 0, "rejected": 2}
    assert (report.archived_share, report.waiting_in_review) == (1.0, 0)
    assert report.left == {"refused": 1}
    assert report.model.startswith("tiny-1.0+")
    assert told[-1][0] == 4
    ledger = Ledger(config.paths.state / LEDGER)
    assert audit(Spool(config.paths), ledger).clean
    ledger.close()


def test_every_row_is_in_exactly_one_report(config: Config) -> None:
    reports = []
    for number in (1, 2):
        drop(config, f"{number}.jpg", tiny_jpeg("stripes", number))
        reports.append(nightly.run(config)[0])
    reports.append(nightly.run(config)[0])

    assert [(report.first_row, report.last_row, report.judged) for report in reports] == [
        (0, 1, 1), (1, 2, 1), (2, 2, 0),
    ]  # fmt: skip
    assert reports[2].archived_share is None


def test_a_batch_that_is_told_to_stop_says_so_and_leaves_the_rest(config: Config) -> None:
    for number in range(3):
        drop(config, f"{number}.jpg", tiny_jpeg("stripes", number))

    report, _ = nightly.run(config, lambda judged, waiting: signal.raise_signal(signal.SIGTERM))

    assert report.problem == "stopped by a signal"
    left = files_below(config.paths.inbox) + files_below(config.paths.queue)
    assert len(left) + report.judged == 3


def test_a_batch_whose_inbox_goes_away_ends_and_says_so(config: Config) -> None:
    drop(config, "a.jpg", tiny_jpeg("stripes", 1))

    def unmount(judged: int, waiting: int) -> None:
        if config.paths.inbox.exists():
            config.paths.inbox.rename(config.paths.inbox.with_name("unmounted"))

    report, _ = nightly.run(replace(config, watch=replace(config.watch, settle_s=0.1, patience_s=0.1)), unmount)

    assert report.problem == "inbox_missing"


# --- beside a running service


def test_beside_a_service_nothing_is_judged_and_all_it_judged_is_reported(config: Config, spool: Spool) -> None:
    ledger = Ledger(config.paths.state / LEDGER)
    file_away(spool, ledger, 0)
    enter(ledger, example_verdict(1, shelf=Shelf.ARCHIVE, reason="confident"), example_rejection(2))
    ledger.close()
    with disk.lock(config.paths.state / LOCK):
        tell(config)

        report, _ = nightly.run(config)

    assert (report.judged_by, report.problem, report.model) == ("service", None, "tiny-1.0+00000000")
    assert report.shelves == {"archive": 1, "review": 1, "rejected": 1}
    assert (report.judged, report.archived_share, report.waiting_in_review) == (3, 0.5, 1)


def test_the_models_that_judged_are_named_whichever_is_in_force(config: Config, spool: Spool) -> None:
    ledger = Ledger(config.paths.state / LEDGER)
    enter(ledger, example_verdict(0, model="old-1.0+1"), example_verdict(1, model="old-1.0+1"))
    ledger.close()
    with disk.lock(config.paths.state / LOCK):
        tell(config)
        first, _ = nightly.run(config)
    ledger = Ledger(config.paths.state / LEDGER)
    enter(ledger, *(example_verdict(n, model="new-1.0+2" if n == 4 else "old-1.0+1") for n in (2, 3, 4)))
    ledger.close()
    with disk.lock(config.paths.state / LOCK):
        second, _ = nightly.run(config)

    assert (first.model, second.model) == ("old-1.0+1", "old-1.0+1 (2), new-1.0+2 (1)")


def test_what_the_service_holds_back_is_left_and_not_waited_for(config: Config, spool: Spool) -> None:
    Ledger(config.paths.state / LEDGER).close()
    drop(config, "open.jpg", b"half")
    drop(config, "upload.part", b"half")
    with disk.lock(config.paths.state / LOCK):
        tell(config, held={"open_for_writing": 1, "refused": 0})

        report, _ = nightly.run(config)

    assert (report.left, report.problem) == ({"open_for_writing": 1}, None)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("problem", "said"),
    [("disk_full", "disk_full"), (None, "the running service left 2 files unjudged for 0 s")],
)
def test_a_service_that_does_not_get_on_is_given_up(
    problem: str | None, said: str, config: Config, spool: Spool
) -> None:
    Ledger(config.paths.state / LEDGER).close()
    spool.take_in(drop(config, "a.jpg", b"picture"), example_id(1))
    drop(config, "b.jpg", b"picture")
    with disk.lock(config.paths.state / LOCK):
        tell(config, problem=problem)

        report, _ = nightly.run(config)

    assert report.problem == said


@pytest.mark.usefixtures("quick")
def test_a_service_is_waited_for_until_all_is_judged(config: Config, spool: Spool) -> None:
    Ledger(config.paths.state / LEDGER).close()
    files = [drop(config, f"{number}.jpg", b"picture") for number in range(5)]
    seen: list[int] = []

    def judge_one(_: int, waiting: int) -> None:
        seen.append(waiting)
        if files:
            files.pop().unlink()

    with disk.lock(config.paths.state / LOCK):
        tell(config)
        report, _ = nightly.run(config, judge_one)

    assert seen == [5, 4, 3, 2, 1, 0]
    assert report.problem is None


# --- reports


def test_a_report_is_named_by_when_it_began_and_where_it_ends(config: Config, spool: Spool) -> None:
    ledger = Ledger(config.paths.state / LEDGER)
    enter(ledger, *(example_verdict(number) for number in range(12)))
    ledger.close()
    folder = config.paths.state / nightly.REPORTS
    folder.mkdir()
    for name in (
        "report-2026-01-01T030000-9.json",
        "report-2026-01-02T030000-10.json",
        "report-x.json",
        "note.txt",
    ):
        (folder / name).write_text("{}")
    with disk.lock(config.paths.state / LOCK):
        tell(config)

        report, path = nightly.run(config)

    began = datetime.fromisoformat(report.started_at)
    assert path == folder / f"report-{began:%Y-%m-%dT%H%M%S}-12.json"
    assert (report.first_row, report.last_row) == (10, 12)

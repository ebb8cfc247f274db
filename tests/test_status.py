"""The state of an installation: from folders and ledger, and from the service where one runs."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from returnsd import config as configuration
from returnsd import disk, review
from returnsd.config import Config
from returnsd.ledger import LEDGER, Ledger
from returnsd.records import Shelf
from returnsd.spool import STAGING, Spool
from returnsd.status import LOCK, STATUS, gather, lines
from returnsd.words import moment, zone
from tests.examples import NOON, arrived, enter, example_id, file_away

TOLD = {
    "pid": 17,
    "started_at": "2026-03-01T12:00:00+02:00",
    "per_second": 3.25,
    "model": "tiny-1.0+00000000",
    "threshold": 0.8125,
    "target_accuracy": 0.94,
    "held": {"open_for_writing": 2, "refused": 0},
    "problem": None,
    "last_error": None,
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return configuration.default(tmp_path)


@pytest.fixture
def spool(config: Config) -> Spool:
    config.paths.inbox.mkdir(parents=True)
    return Spool(config.paths)


@pytest.fixture
def running(config: Config, spool: Spool) -> Iterator[Path]:
    """A service that runs, as far as can be seen: return where it tells how it is doing."""
    with disk.lock(config.paths.state / LOCK):
        yield config.paths.state / STATUS


# --- the folders


def test_before_it_ever_ran_there_is_nothing(config: Config) -> None:
    found = gather(config)

    assert found == {"running": False, "inbox_files": 0, "queued": 0, "waiting": 0, "service": None}
    assert not config.paths.state.exists()


def test_what_waits_in_each_folder_is_counted(config: Config, spool: Spool) -> None:
    ledger = Ledger(config.paths.state / LEDGER)
    for number in range(3):
        file_away(spool, ledger, number)
    ledger.close()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (config.paths.inbox / name).write_bytes(b"picture")
    spool.take_in(config.paths.inbox / "a.jpg", example_id(10))
    (config.paths.queue / STAGING).mkdir()
    (config.paths.review / "note.txt").write_text("a stranger's file waits for no one")

    found = gather(config)

    assert (found["inbox_files"], found["queued"], found["waiting"]) == (2, 1, 3)


@pytest.mark.parametrize(("recursive", "count"), [(True, 2), (False, 1)])
def test_in_the_inbox_only_what_will_be_taken_in_is_counted(
    recursive: bool, count: int, config: Config, spool: Spool
) -> None:
    for name in ("a.jpg", "b.jpg.PART", ".c.jpg", "Thumbs.db", "day/d.jpg", "day.tmp/e.jpg"):
        path = config.paths.inbox / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"picture")

    found = gather(replace(config, watch=replace(config.watch, recursive=recursive)))

    assert found["inbox_files"] == count


def test_a_hidden_file_counts_where_hidden_files_are_taken_in(config: Config, spool: Spool) -> None:
    (config.paths.inbox / ".hidden.jpg").write_bytes(b"picture")

    found = gather(replace(config, watch=replace(config.watch, ignore=("*.tmp",))))

    assert found["inbox_files"] == 1


def test_today_is_told_apart_from_all_days(config: Config, spool: Spool) -> None:
    now = datetime.now().astimezone()
    ledger = Ledger(config.paths.state / LEDGER)
    file_away(spool, ledger, 0)
    enter(ledger, arrived(1, now, shelf=Shelf.ARCHIVE, reason="confident"))
    ledger.close()

    found = gather(config)

    nothing = dict.fromkeys(
        ("archived_by_people", "rejected_by_itself", "rejected_by_people", "waiting", "unjudged"), 0
    )
    today = now.date().isoformat()
    assert found["today"] == {"day": today, "received": 1, "archived_by_itself": 1, **nothing}
    assert found["total"] == {"day": "", "received": 2, "archived_by_itself": 1, **nothing, "waiting": 1}


def test_a_decision_taken_back_is_an_act_and_no_state(config: Config, spool: Spool) -> None:
    ledger = Ledger(config.paths.state / LEDGER)
    file_away(spool, ledger, 0)
    review.decide(spool, ledger, example_id(0), "dots", by="anna", decided_at=NOON, categories=["dots"])
    review.withdraw(spool, ledger, example_id(0), by="anna", decided_at=NOON)
    ledger.close()

    found = gather(config)

    assert found["acts"] == {"judged": {"archive": 0, "review": 1, "rejected": 0}, "decisions": 2}
    assert lines(found)[-1] == (
        "total: 1 received = 0 archived by itself + 0 settled by people + 0 rejected by itself + 1 waiting"
    )


# --- the service


def test_a_running_service_is_asked_what_it_told_last(config: Config, running: Path) -> None:
    running.write_text(json.dumps(TOLD))

    found = gather(config)

    assert (found["running"], found["service"]) == (True, TOLD)


def test_what_a_service_told_that_runs_no_more_does_not_count(config: Config, spool: Spool) -> None:
    with disk.lock(config.paths.state / LOCK):
        (config.paths.state / STATUS).write_text(json.dumps(TOLD))

    found = gather(config)

    assert (found["running"], found["service"]) == (False, None)
    assert lines(found)[0] == "returnsd is not running here: start it with `returnsd run`"


@pytest.mark.parametrize("text", [None, "", "{half", "[]", "\xff"])
def test_a_service_that_has_told_nothing_yet_runs_all_the_same(
    text: str | None, config: Config, running: Path
) -> None:
    if text is not None:
        running.write_text(text, encoding="latin-1")

    found = gather(config)

    assert (found["running"], found["service"]) == (True, None)
    assert lines(found)[0].startswith("returnsd is starting")


# --- in words


def test_a_person_reads_how_things_stand(config: Config, running: Path) -> None:
    running.write_text(json.dumps({**TOLD, "staying": [["link.jpg", "not_a_regular_file"]]}))
    Ledger(config.paths.state / LEDGER).close()

    said = lines(gather(config))

    assert said == [
        f"running since {moment(NOON)} ({zone(NOON)}), pid 17, 3.25/s",
        "inbox 0, queue 0, waiting for a person 0",
        "today: 0 received = 0 archived by itself + 0 settled by people + 0 rejected by itself + 0 waiting",
        "total: 0 received = 0 archived by itself + 0 settled by people + 0 rejected by itself + 0 waiting",
        "model tiny-1.0+00000000: archives from 81.2 % sure on (target accuracy 94 %)",
        "held in the inbox: 2 open for writing",
        "  stays in the inbox: link.jpg (not a regular file)",
    ]


def test_what_is_wrong_is_said_last_in_words(config: Config, running: Path) -> None:
    found = {"what": "the disk of paths.queue is full", "remedy": "free some space"}
    broken = {**TOLD, "threshold": None, "held": {}, "problem": "disk_full", "obstacle": found}
    running.write_text(json.dumps(broken))

    said = lines(gather(config))

    assert said[-2:] == [
        "model tiny-1.0+00000000: archives nothing (target accuracy 94 %)",
        "PAUSED: the disk of paths.queue is full: free some space",
    ]


def test_trouble_that_has_passed_is_told_as_the_last_error(config: Config, running: Path) -> None:
    running.write_text(json.dumps({**TOLD, "last_error": "the disk of paths.queue is full: free some space"}))

    assert lines(gather(config))[-1] == "last error: the disk of paths.queue is full: free some space"

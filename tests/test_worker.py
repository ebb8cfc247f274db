"""The worker, step by step: from the inbox to the shelf, and what disturbs it on the way."""

import errno
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from returnsd import disk, policy
from returnsd.audit import audit
from returnsd.bundle import Bundle
from returnsd.config import Config
from returnsd.records import Shelf
from returnsd.vision.pool import Job, Seen
from returnsd.worker import Model
from tests.installation import HerePool, Installation, files_below, shelved
from tests.tiny import tiny_jpeg

Make = Callable[..., Installation]


@pytest.fixture(scope="module")
def bundle(tiny: Path) -> Bundle:
    return Bundle.load(tiny)


@pytest.fixture
def pool(tiny: Path) -> HerePool:
    return HerePool(tiny)


@pytest.fixture
def make(tmp_path: Path, bundle: Bundle, pool: HerePool) -> Iterator[Make]:
    """Make installations over the same folder; the second one is a restart."""
    made: list[Installation] = []

    def one(change: Callable[[Config], Config] = lambda config: config, **named: object) -> Installation:
        here = Installation(tmp_path, bundle, named.pop("pool", pool), change, **named)  # type: ignore[arg-type]
        made.append(here)
        return here

    yield one
    for here in made:
        here.close()


def with_watch(**values: object) -> Callable[[Config], Config]:
    return lambda config: replace(config, watch=replace(config.watch, **values))  # type: ignore[arg-type]


def with_batch(**values: object) -> Callable[[Config], Config]:
    return lambda config: replace(config, batch=replace(config.batch, **values))  # type: ignore[arg-type]


def with_limits(**values: object) -> Callable[[Config], Config]:
    return lambda config: replace(config, limits=replace(config.limits, **values))  # type: ignore[arg-type]


# --- the way of one picture


def test_a_picture_becomes_one_row_and_one_file_with_the_bytes_that_were_judged(make: Make) -> None:
    here = make()
    picture = tiny_jpeg("stripes", 1)
    here.drop("RMA-17 front.jpg", picture)

    here.work()

    row = here.row("RMA-17 front.jpg")
    assert row.sha256 == hashlib.sha256(picture).hexdigest()
    assert row.category in here.model.bundle.categories
    assert [path.read_bytes() for path in shelved(here.paths)] == [picture]
    assert files_below(here.paths.inbox) == files_below(here.paths.queue) == []
    assert audit(here.spool, here.ledger).clean


def test_the_shelf_follows_the_rule(make: Make) -> None:
    here = make()
    for threshold, name in ((0.0, "sure.jpg"), (1.1, "unsure.jpg"), (None, "never.jpg")):
        here.worker.model = Model(here.model.bundle, policy.Rule(threshold, 0.05))
        here.drop(name, tiny_jpeg("stripes", 1))
        here.work()

    rows = {row.file_name: (row.shelf, row.reason) for row in here.rows()}

    assert rows == {
        "sure.jpg": (Shelf.ARCHIVE, "confident"),
        "unsure.jpg": (Shelf.REVIEW, "below_threshold"),
        "never.jpg": (Shelf.REVIEW, "no_certified_threshold"),
    }


def test_the_archive_is_ordered_by_day_and_category(make: Make) -> None:
    here = make(now=lambda: datetime(2026, 3, 1, 12, tzinfo=timezone(timedelta(hours=1))))
    here.worker.model = Model(here.model.bundle, policy.Rule(0.0, 0.05))
    here.drop("a.jpg", tiny_jpeg("stripes", 1))

    here.work()

    row = here.row("a.jpg")
    assert [path.parent for path in shelved(here.paths)] == [here.paths.archive / "2026-03-01" / str(row.category)]


def test_the_return_id_is_found_in_the_name(make: Make) -> None:
    here = make(lambda config: replace(config, return_id_pattern=r"^(RMA-[0-9]+)"))
    here.drop("RMA-4711_2.jpg", tiny_jpeg("dots", 1))

    here.work()

    assert here.row("RMA-4711_2.jpg").return_id == "RMA-4711"


def test_the_same_content_twice_is_two_rows_and_the_second_says_so(make: Make) -> None:
    here = make()
    here.drop("a.jpg", tiny_jpeg("dots", 1))
    here.work()
    for name in ("b.jpg", "c.jpg"):
        here.drop(name, tiny_jpeg("dots", 1))

    here.work()

    first = here.row("a.jpg").item_id
    assert here.row("a.jpg").duplicate_of is None
    assert {here.row(name).duplicate_of for name in ("b.jpg", "c.jpg")} == {first}
    assert len(shelved(here.paths)) == 3


def test_the_same_name_twice_is_two_rows_and_two_files(make: Make) -> None:
    here = make()
    for seed in (1, 2):
        here.drop("photo.jpg", tiny_jpeg("dots", seed))
        here.work()

    assert len(here.rows()) == len(shelved(here.paths)) == 2


@pytest.mark.parametrize(
    "name",
    [
        b"with space.jpg", b"line\nbreak.jpg", b"\xff\xfe not utf-8.jpg", b"=cmd|' calc'!A0.jpg", b"-rf.jpg",
        b"'quoted'.jpg", b"a" * 251 + b".jpg", "ü".encode() * 125 + b".jpg", b"no suffix", b"UPPER.JPG",
        "\u202egpj.exe".encode(), b"wrong.png", b"%s%n.jpg", b"CON.jpg", b"x.jpg ",
    ],
)  # fmt: skip
def test_any_name_is_taken(name: bytes, make: Make) -> None:
    here = make()
    here.drop(os.fsdecode(name), tiny_jpeg("dots", 1))

    here.work()

    row = here.row(os.fsdecode(name))
    assert row.shelf is not Shelf.REJECTED
    assert len(shelved(here.paths)) == 1
    assert audit(here.spool, here.ledger).clean


# --- what is no picture


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("empty.jpg", b"", "empty"),
        ("text.jpg", b"hello, this is no picture at all", "not_a_picture"),
        ("half.jpg", tiny_jpeg("dots", 1)[:-200], "incomplete"),
    ],
)
def test_what_is_no_picture_is_rejected_with_its_reason_and_kept(
    name: str, data: bytes, reason: str, make: Make
) -> None:
    here = make()
    here.drop(name, data)

    here.work()

    row = here.row(name)
    assert (row.shelf, row.reason, row.category) == (Shelf.REJECTED, reason, None)
    assert row.sha256 == hashlib.sha256(data).hexdigest()
    assert [path.read_bytes() for path in files_below(here.paths.rejected)] == [data]
    assert audit(here.spool, here.ledger).clean


def test_a_file_above_the_limit_is_rejected_and_not_read_into_memory(make: Make, pool: HerePool) -> None:
    here = make(with_limits(file_mib=1))
    here.drop("large.jpg", tiny_jpeg("dots", 1) + bytes(2 << 20))

    here.work()

    assert here.row("large.jpg").reason == "too_large"
    assert sum(pool.batches) == 0
    assert audit(here.spool, here.ledger).clean


def test_a_file_far_above_the_limit_is_not_even_hashed(make: Make) -> None:
    here = make(with_limits(file_mib=1))
    path = here.paths.inbox / "huge.jpg"
    path.write_bytes(b"x")
    os.truncate(path, 1 << 34)

    here.work()

    assert (here.row("huge.jpg").reason, here.row("huge.jpg").sha256) == ("too_large", None)
    assert audit(here.spool, here.ledger, hashing=False).clean


@pytest.mark.parametrize("make_it", ["symlink", "fifo", "hard link", "folder"])
def test_what_is_not_a_plain_file_of_its_own_stays_where_it_is(make_it: str, make: Make, tmp_path: Path) -> None:
    here = make()
    outside = tmp_path / "outside.jpg"
    outside.write_bytes(tiny_jpeg("dots", 1))
    strange = here.paths.inbox / "strange.jpg"
    {
        "symlink": lambda: strange.symlink_to(outside),
        "fifo": lambda: os.mkfifo(strange),
        "hard link": lambda: strange.hardlink_to(outside),
        "folder": strange.mkdir,
    }[make_it]()

    here.work()

    assert os.path.lexists(strange)
    assert here.rows() == []
    assert outside.read_bytes() == tiny_jpeg("dots", 1)


def test_an_unfinished_upload_is_left_alone_until_it_is_renamed(make: Make) -> None:
    here = make()
    for name in ("a.jpg.tmp", "b.part", ".hidden.jpg"):
        here.drop(name, tiny_jpeg("dots", 1))
    here.work()
    before = len(here.rows())

    os.rename(here.paths.inbox / "a.jpg.tmp", here.paths.inbox / "a.jpg")
    here.step(3)
    here.work()

    assert (before, [row.file_name for row in here.rows()]) == (0, ["a.jpg"])


def test_a_file_still_growing_at_the_start_is_taken_when_it_is_whole(make: Make) -> None:
    here = make(with_watch(settle_s=2.0, patience_s=30.0))
    picture = tiny_jpeg("dots", 1)
    path = here.drop("slow.jpg", picture[:100])
    for length in (200, 300, 400):
        here.step()
        path.write_bytes(picture[:length])
    here.step(5)
    held = len(here.rows())

    path.write_bytes(picture)
    here.work()

    assert held == 0
    assert here.row("slow.jpg").sha256 == hashlib.sha256(picture).hexdigest()


def test_a_file_that_is_open_for_writing_waits(make: Make) -> None:
    here = make()
    path = here.drop("open.jpg", tiny_jpeg("dots", 1))
    with path.open("ab"):
        here.step(20)
        held = len(here.rows())
    here.work()

    assert (held, len(here.rows())) == (0, 1)


# --- batches


def test_a_batch_is_never_larger_than_configured_and_one_transaction_each(make: Make) -> None:
    here = make(with_batch(max_items=4))
    for number in range(10):
        here.drop(f"{number}.jpg", tiny_jpeg("dots", number))
    batches: list[int] = []
    record = here.ledger.record

    def counted(verdicts: list[object], *others: object) -> None:
        batches.append(len(verdicts))
        record(verdicts, *others)  # type: ignore[arg-type]

    here.ledger.record = counted  # type: ignore[method-assign, assignment]

    here.work()

    assert sum(batches) == 10
    assert max(batches) <= 4


class SlowPool(HerePool):
    """Answers only when told to."""

    answers = 0

    def collect(self, timeout_s: float) -> list[Seen]:
        jobs, self.jobs = list(self.jobs), type(self.jobs)()
        self.jobs.extend(jobs[: self.answers])
        seen = super().collect(0)
        self.jobs.extend(jobs[self.answers :])
        self.answers = 0
        return seen


def test_an_item_waits_no_longer_for_company_than_configured(make: Make, tiny: Path) -> None:
    slow = SlowPool(tiny)
    here = make(with_batch(max_items=8, max_wait_s=3.0), pool=slow)
    for number in range(2):
        here.drop(f"{number}.jpg", tiny_jpeg("dots", number))
    here.step(4)
    slow.answers = 1

    here.step(2)
    early = len(here.rows())
    here.step(4)

    assert (early, len(here.rows())) == (0, 1)


def test_an_idle_worker_judges_at_once(make: Make) -> None:
    here = make(with_batch(max_wait_s=60.0))
    here.drop("a.jpg", tiny_jpeg("dots", 1))

    here.step(4, seconds=0.02)

    assert len(here.rows()) == 1


# --- files that change under its hands


def test_a_file_that_changes_while_it_is_judged_is_judged_anew(make: Make, tiny: Path) -> None:
    slow = SlowPool(tiny)
    here = make(pool=slow)
    here.drop("a.jpg", tiny_jpeg("dots", 1))
    here.step(3)
    (queued,) = files_below(here.paths.queue)
    other = tiny_jpeg("stripes", 5)
    queued.write_bytes(other)
    os.utime(queued, ns=(1, 1))

    for _ in range(6):
        slow.answers = 1
        here.step()

    assert here.row("a.jpg").sha256 == hashlib.sha256(other).hexdigest()
    assert audit(here.spool, here.ledger).clean


def test_a_file_that_never_stops_changing_is_rejected_not_mislabelled(make: Make, tiny: Path) -> None:
    slow = SlowPool(tiny)
    here = make(pool=slow)
    here.drop("a.jpg", tiny_jpeg("dots", 1))

    for number in range(20):
        here.step()
        for queued in files_below(here.paths.queue):
            queued.write_bytes(tiny_jpeg("dots", 2) + bytes(number))
        slow.answers = number % 2

    assert here.row("a.jpg").reason == "still_written_to"
    assert audit(here.spool, here.ledger).clean


def test_a_file_written_to_after_its_row_is_never_shelved_under_it(make: Make) -> None:
    here = make()
    path = here.drop("a.jpg", tiny_jpeg("dots", 1))
    writer = os.open(path, os.O_RDONLY)  # no writer by the kernel's count, but it keeps the inode at hand
    project = here.worker.results.project

    def meddle(days: list[str]) -> object:
        (queued,) = files_below(here.paths.queue)
        queued.write_bytes(b"something else")
        return project(days)

    here.worker.results.project = meddle  # type: ignore[method-assign, assignment]

    here.work()
    os.close(writer)

    assert here.row("a.jpg").reason == "still_written_to"
    assert audit(here.spool, here.ledger).clean


# --- restarts


def test_what_lies_in_the_queue_is_judged_after_a_restart(make: Make, tiny: Path) -> None:
    slow = SlowPool(tiny)
    dying = make(pool=slow)
    for number in range(3):
        dying.drop(f"{number}.jpg", tiny_jpeg("dots", number))
    dying.step(3)
    dying.close()

    here = make()
    here.work()

    assert len(here.rows()) == 3
    assert audit(here.spool, here.ledger).clean


def test_an_item_whose_judging_keeps_killing_us_is_rejected_and_its_neighbours_are_judged(
    make: Make, tiny: Path
) -> None:
    class Deadly(HerePool):
        def submit(self, jobs: list[Job]) -> None:  # type: ignore[override]
            super().submit(jobs)
            if any(b"deadly" in job.data for job in jobs):
                raise KeyboardInterrupt  # as good as dead: nothing after this line happens

    first = make(pool=Deadly(tiny))
    for number in range(3):
        first.drop(f"{number}.jpg", tiny_jpeg("dots", number))
    first.drop("deadly.jpg", tiny_jpeg("dots", 9) + b"deadly")
    starts = 0
    here = first
    while starts < 20:
        try:
            here.work()
            break
        except KeyboardInterrupt:
            here.close()
            here = make(pool=Deadly(tiny))
            starts += 1

    assert starts < 20
    assert here.row("deadly.jpg").reason == "decoder_crashed"
    assert [here.row(f"{number}.jpg").shelf for number in range(3)].count(Shelf.REJECTED) == 0


def test_items_given_up_in_good_order_are_not_suspected(make: Make, tiny: Path) -> None:
    for _ in range(6):
        stopping = make(pool=SlowPool(tiny))
        if not files_below(stopping.paths.queue):
            stopping.drop("a.jpg", tiny_jpeg("dots", 1))
        stopping.step(4)
        stopping.worker.abandon()
        stopping.close()

    here = make()
    here.work()

    assert here.row("a.jpg").shelf is not Shelf.REJECTED


def test_a_torn_line_is_healed_at_the_start(make: Make) -> None:
    before = make()
    before.drop("a.jpg", tiny_jpeg("dots", 1))
    before.work()
    (day,) = before.worker.results.days()
    path = before.worker.results.file_of(day)
    before.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])

    make().step()

    assert path.read_bytes() == whole


# --- a broken world


def test_a_full_disk_pauses_intake_and_nothing_is_lost(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    here = make()
    here.drop("a.jpg", tiny_jpeg("dots", 1))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(disk, "append", full)
        here.step(5)
        problem, rows = here.worker.tally.problem, len(shelved(here.paths))
    here.work()

    assert (problem, rows) == ("disk_full", 0)
    assert here.worker.tally.problem is None
    assert audit(here.spool, here.ledger).clean
    assert len(here.rows()) == 1


def test_a_ledger_that_cannot_be_written_pauses_intake(make: Make) -> None:
    here = make()
    here.drop("a.jpg", tiny_jpeg("dots", 1))
    blocker = sqlite3.connect(here.paths.state / "ledger.sqlite", isolation_level=None)
    here.ledger._db.execute("PRAGMA busy_timeout = 10")
    blocker.execute("BEGIN IMMEDIATE")

    here.step(5)
    problem = here.worker.tally.problem
    blocker.execute("ROLLBACK")
    here.work()

    assert problem == "ledger_failing"
    assert here.worker.tally.last_error == (
        "the ledger is in use by another program: wait, or stop what else has it open"
    )
    assert len(here.rows()) == 1


def test_an_inbox_that_is_gone_pauses_intake_until_it_is_back(make: Make) -> None:
    here = make()
    here.step(2)
    here.paths.inbox.rename(here.paths.inbox.with_name("elsewhere"))

    here.step(2)
    problem, told = here.worker.intake_problem, here.worker.tally.obstacle
    here.paths.inbox.with_name("elsewhere").rename(here.paths.inbox)
    here.drop("a.jpg", tiny_jpeg("dots", 1))
    here.work()

    assert problem == "inbox_missing"
    assert told is not None and told[0] == "paths.inbox is not there"
    assert here.worker.tally.obstacle is None
    assert len(here.rows()) == 1


# --- time


def test_midnight_divides_the_days_by_when_they_were_judged(make: Make) -> None:
    zone = timezone(timedelta(hours=2))
    moments = [datetime(2026, 5, 31, 23, 59, 59, 999_000, zone)]
    here = make(now=lambda: moments[-1])
    here.drop("before.jpg", tiny_jpeg("dots", 1))
    here.work()
    moments.append(datetime(2026, 6, 1, 0, 0, 0, 1_000, zone))
    here.drop("after.jpg", tiny_jpeg("dots", 2))

    here.work()

    assert here.worker.results.days() == ["2026-05-31", "2026-06-01"]
    assert b"after.jpg" in here.worker.results.file_of("2026-06-01").read_bytes()
    assert audit(here.spool, here.ledger).clean


def test_a_clock_that_jumps_back_by_years_harms_nothing(make: Make) -> None:
    zone = timezone(timedelta(hours=0))
    moments = [datetime(2026, 5, 31, 12, tzinfo=zone)]
    here = make(now=lambda: moments[-1])
    here.drop("now.jpg", tiny_jpeg("dots", 1))
    here.work()
    moments.append(datetime(1999, 1, 1, 12, tzinfo=zone))
    path = here.drop("then.jpg", tiny_jpeg("dots", 2))
    os.utime(path, (4_000_000_000, 4_000_000_000))

    here.work()

    assert here.worker.results.days() == ["1999-01-01", "2026-05-31"]
    assert audit(here.spool, here.ledger).clean

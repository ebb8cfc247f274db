"""Queue and shelves: a file is in one place at any moment, under a name that is its own, and replaces nothing."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from returnsd import config as configuration
from returnsd import policy
from returnsd.config import Paths
from returnsd.errors import SpoolError
from returnsd.records import Shelf
from returnsd.spool import STAGING, Queued, Spool
from tests.examples import DAY, NOON, example_decision, example_id, example_item, example_rejection, example_verdict
from tests.installation import files_below

NAMES = [
    b"plain.jpg",
    b"line\nbreak.jpg",
    b"\xff\xfe not utf-8.jpg",
    b"-rf.jpg",
    b"_.jpg",
    b"..jpg",
    b"01ARYZ6S41TSV4RRFFQ69G5FAV_looks like one of ours.jpg",
    b"a" * 224 + b".jpg",  # the longest that goes into the queue beside its id
    b"a" * 225 + b".jpg",
    b"a" * 251 + b".jpg",
    "ü".encode() * 125 + b".jpg",
    b"\xff" * 255,
]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    paths = configuration.default(tmp_path).paths
    paths.inbox.mkdir(parents=True)
    return paths


@pytest.fixture
def spool(paths: Paths) -> Spool:
    return Spool(paths)


def drop(paths: Paths, name: bytes = b"a.jpg", data: bytes = b"picture") -> Path:
    path = paths.inbox / os.fsdecode(name)
    path.write_bytes(data)
    return path


def taken_in(spool: Spool, number: int, name: bytes = b"a.jpg", data: bytes = b"picture") -> Queued:
    return spool.take_in(drop(spool.paths, name, data), example_id(number))


# --- the folders


def test_all_folders_but_the_inbox_are_made(tmp_path: Path) -> None:
    paths = configuration.default(tmp_path).paths

    Spool(paths)

    made = {path.name for path in (tmp_path / "var").iterdir()}
    assert made == {"queue", "archive", "review", "rejected", "results", "state"}


def test_folders_on_other_file_systems_are_named(paths: Paths) -> None:
    spool = Spool(paths)

    with pytest.raises(SpoolError, match=rf"must share a file system: /proc, {paths.queue}"):
        spool.check_same_filesystem(paths.inbox, Path("/proc"))
    with pytest.raises(SpoolError, match="/proc"):
        Spool(replace(paths, review=Path("/proc")))


# --- taking in


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_any_name_is_renamed_into_the_queue_and_found_there(name: bytes, spool: Spool) -> None:
    source = drop(spool.paths, name)
    inode = source.stat().st_ino

    queued = spool.take_in(source, example_id(1))

    assert not source.exists()
    assert queued.path.stat().st_ino == inode
    assert os.fsencode(queued.item.file_name) == name
    assert spool.queued(10) == [queued]
    assert spool.find_queued(example_id(1)) == queued
    assert spool.queue_ids() == {example_id(1)}


def test_the_time_of_arrival_is_the_ids(spool: Spool) -> None:
    queued = taken_in(spool, 0)

    assert queued.item.received_at == NOON
    assert queued.item.received_at.tzinfo is not None


@pytest.mark.parametrize("name", [b"a.jpg", b"a" * 251 + b".jpg"])
def test_a_file_that_is_gone_leaves_nothing_in_the_queue(name: bytes, spool: Spool) -> None:
    with pytest.raises(FileNotFoundError):
        spool.take_in(spool.paths.inbox / os.fsdecode(name), example_id(1))

    assert os.listdir(spool.paths.queue) == []


@pytest.mark.parametrize("name", [b"a.jpg", b"a" * 251 + b".jpg"])
def test_what_lies_in_the_queue_is_never_replaced(name: bytes, spool: Spool) -> None:
    taken_in(spool, 1, name, b"first")
    second = drop(spool.paths, name, b"second")

    with pytest.raises(FileExistsError):
        spool.take_in(second, example_id(1))

    assert second.read_bytes() == b"second"
    assert [path.read_bytes() for path in files_below(spool.paths.queue)] == [b"first"]


# --- the queue


def test_the_queue_is_read_oldest_first_up_to_a_limit_and_passing_over_what_is_known(spool: Spool) -> None:
    for number in (3, 1, 2, 4):
        taken_in(spool, number, b"a" * 251 + b".jpg" if number == 2 else b"a.jpg")

    found = spool.queued(2, {example_id(1)})

    assert [queued.item.id for queued in found] == [example_id(2), example_id(3)]


def test_an_interrupted_take_in_is_cleared_away_by_the_queues_owner_alone(spool: Spool) -> None:
    (spool.paths.queue / example_id(1)).mkdir()

    seen = (spool.queue_ids(), spool.find_queued(example_id(1)), os.listdir(spool.paths.queue))
    found = spool.queued(10)

    assert seen == (set(), None, [example_id(1)])
    assert found == []
    assert os.listdir(spool.paths.queue) == []


def test_what_is_no_item_is_passed_over_and_left_alone(spool: Spool) -> None:
    (spool.paths.queue / "notes.txt").write_bytes(b"")
    (spool.paths.queue / f"{example_id(1)}.jpg").write_bytes(b"")
    (spool.paths.queue / example_id(2)).write_bytes(b"a file where a folder would be")
    (spool.paths.queue / STAGING).mkdir()
    before = sorted(os.listdir(spool.paths.queue))

    assert spool.queued(10) == []
    assert spool.queue_ids() == set()
    assert spool.find_queued(example_id(2)) is None
    assert sorted(os.listdir(spool.paths.queue)) == before


def test_an_item_that_is_not_there_is_not_found(spool: Spool) -> None:
    taken_in(spool, 1)

    assert spool.find_queued(example_id(2)) is None


def test_the_queue_is_made_durable_even_when_the_inbox_is_gone(spool: Spool) -> None:
    spool.paths.inbox.rmdir()

    spool.sync_queue()

    assert not spool.paths.inbox.exists()


# --- submitting


def test_a_picture_from_the_network_enters_the_queue_whole(spool: Spool) -> None:
    queued = spool.submit(b"picture", "a.jpg", example_id(1))

    assert queued.path.read_bytes() == b"picture"
    assert spool.queued(10) == [queued]
    assert os.listdir(spool.paths.queue / STAGING) == []


def test_a_half_written_submission_is_no_item(spool: Spool) -> None:
    spool.submit(b"picture", "a.jpg", example_id(1))
    (spool.paths.queue / STAGING / example_id(2)).write_bytes(b"half a pic")

    assert spool.queue_ids() == {example_id(1)}


def test_a_folder_that_cannot_be_made_is_named_with_a_remedy(tmp_path: Path) -> None:
    paths = configuration.default(tmp_path).paths
    paths.archive.parent.mkdir()
    paths.archive.write_text("a file")

    with pytest.raises(SpoolError, match=r"cannot be made: in paths\.archive a file lies where a folder must be"):
        Spool(paths)


def test_a_submission_never_replaces_an_item(spool: Spool) -> None:
    spool.submit(b"first", "a.jpg", example_id(1))

    with pytest.raises(FileExistsError):
        spool.submit(b"second", "a.jpg", example_id(1))

    assert spool.queued(10)[0].path.read_bytes() == b"first"


def test_a_submitted_name_may_be_as_long_as_the_queue_allows(spool: Spool) -> None:
    spool.submit(b"picture", "a" * 228, example_id(1))

    with pytest.raises(ValueError, match="at most 228 bytes"):
        spool.submit(b"picture", "ü" * 114 + "a", example_id(2))

    assert spool.queue_ids() == {example_id(1)}


@pytest.mark.parametrize("name", ["../a.jpg", "a/b.jpg", "/etc/passwd"])
def test_a_submitted_name_that_leads_elsewhere_is_refused(name: str, spool: Spool) -> None:
    with pytest.raises(ValueError, match="a file name"):
        spool.submit(b"picture", name, example_id(1))

    assert files_below(spool.paths.queue) == []


# --- the shelves


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shelf", Shelf)
def test_a_file_of_any_name_is_renamed_to_its_shelf(shelf: Shelf, name: bytes, spool: Spool) -> None:
    queued = taken_in(spool, 1, name)
    inode = queued.path.stat().st_ino
    verdict = example_verdict(1, os.fsdecode(name), shelf=shelf)

    place = spool.shelve(queued, verdict)

    assert [place] == files_below(spool.shelf(shelf)) == spool.expected_places(verdict, None)
    assert place.stat().st_ino == inode
    assert os.listdir(spool.paths.queue) == []


def test_the_archive_is_ordered_by_day_and_category(spool: Spool) -> None:
    verdict = example_verdict(1, "a.jpg", shelf=Shelf.ARCHIVE, category="Home/Garden")

    place = spool.shelve(taken_in(spool, 1), verdict)

    assert place == spool.paths.archive / DAY / "Home_Garden" / f"{example_id(1)}_a.jpg"


@pytest.mark.parametrize("name", NAMES)
def test_a_strangers_file_on_the_shelf_is_not_replaced(name: bytes, spool: Spool) -> None:
    verdict = example_rejection(1, os.fsdecode(name))
    (strangers,) = spool.expected_places(verdict, None)
    strangers.write_bytes(b"stranger")

    places = [spool.shelve(taken_in(spool, 1, name), verdict) for _ in range(2)]

    assert strangers.read_bytes() == b"stranger"
    assert files_below(spool.paths.rejected) == sorted([strangers, *places])
    assert [place.name[:28] for place in places] == [example_id(1) + "~2", example_id(1) + "~3"]
    assert {place.suffix for place in places} == {strangers.suffix}
    assert spool.find(example_id(1), "gone.jpg", [spool.paths.rejected]) is not None


def test_a_shelf_that_was_removed_is_made_again(spool: Spool) -> None:
    spool.paths.rejected.rmdir()

    place = spool.shelve(taken_in(spool, 1), example_rejection(1))

    assert place.read_bytes() == b"picture"


# --- decisions


def in_review(spool: Spool, number: int = 1, name: bytes = b"a.jpg") -> Path:
    verdict = example_verdict(number, os.fsdecode(name))
    return spool.shelve(taken_in(spool, number, name), verdict)


@pytest.mark.parametrize("name", NAMES)
def test_a_decision_moves_the_file_to_its_category(name: bytes, spool: Spool) -> None:
    place = in_review(spool, 1, name)
    decision = example_decision(1, file_name=os.fsdecode(name), category="a/b")

    moved = spool.file_decision(decision, [place])

    assert moved == spool.paths.archive / DAY / "a_b" / place.name
    assert files_below(spool.paths.archive) == [moved]
    assert not place.exists()


def test_a_rejection_by_a_person_moves_the_file_to_the_rejected(spool: Spool) -> None:
    place = in_review(spool)
    decision = example_decision(1, file_name="a.jpg", category=None, shelf=Shelf.REJECTED)

    assert spool.file_decision(decision, [place]) == spool.paths.rejected / place.name


def test_a_file_that_was_renamed_in_review_is_found_by_its_id(spool: Spool) -> None:
    place = in_review(spool)
    place.rename(place.with_name(f"{example_id(1)}_better name.jpg"))
    decision = example_decision(1, file_name="a.jpg")

    moved = spool.file_decision(decision, [place])

    assert moved == spool.decided_place(decision)
    assert files_below(spool.paths.review) == []


def test_a_decision_that_was_carried_out_already_moves_nothing(spool: Spool) -> None:
    place = in_review(spool)
    decision = example_decision(1, file_name="a.jpg")
    moved = spool.file_decision(decision, [place])

    again = spool.file_decision(decision, [place])

    assert again is None
    assert spool.expected_places(example_verdict(1), decision) == [moved]
    assert files_below(spool.paths.archive) == [moved]


def test_a_decision_for_where_the_file_lies_already_leaves_it_there(spool: Spool) -> None:
    verdict = example_verdict(1, "a.jpg", shelf=Shelf.ARCHIVE, category="stripes")
    place = spool.shelve(taken_in(spool, 1), verdict)

    moved = spool.file_decision(example_decision(1, file_name="a.jpg"), [place])

    assert moved is None
    assert files_below(spool.paths.archive) == [place]


def test_the_file_of_another_item_is_never_taken_for_it(spool: Spool) -> None:
    in_review(spool, 2)

    assert spool.find(example_id(1), "a.jpg", [spool.paths.review, spool.paths.review / "missing"]) is None


# --- all together


FILE_NAMES = st.binary(min_size=1, max_size=255).map(lambda raw: raw.translate(bytes.maketrans(b"/\0", b"__")))


@given(FILE_NAMES.filter(lambda name: name not in (b".", b"..")))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_its_name_a_file_comes_through_with_its_bytes(tmp_path: Path, name: bytes) -> None:
    paths = configuration.default(tmp_path / os.urandom(4).hex()).paths
    paths.inbox.mkdir(parents=True)
    spool = Spool(paths)
    drop(paths, name, name)
    taken = spool.take_in(paths.inbox / os.fsdecode(name), example_id(1))
    item = spool.queued(1)[0].item
    verdict = example_verdict(1, item.file_name)

    place = spool.shelve(taken, verdict)

    assert os.fsencode(item.file_name) == name
    assert place.read_bytes() == name
    assert place.name == policy.shelf_name(example_id(1), example_item(1, os.fsdecode(name)).file_name)

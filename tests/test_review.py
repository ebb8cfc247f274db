"""Decisions by people: recorded first, then written and carried out, whoever does it and however often."""

from datetime import timedelta

import pytest

from returnsd import review
from returnsd.audit import audit
from returnsd.errors import AlreadyDecided, DecisionError
from returnsd.ledger import Ledger
from returnsd.records import Decision, Shelf
from returnsd.spool import Spool
from tests.examples import DAY, NOON, enter, example_id, example_verdict, file_away
from tests.installation import files_below

CATEGORIES = ("dots", "noise", "stripes")
HOUR = timedelta(hours=1)
ID = example_id(1)


def decide(
    spool: Spool, ledger: Ledger, category: str | None, hours: int = 1, reason: str | None = None
) -> Decision:
    at = NOON + hours * HOUR
    return review.decide(
        spool, ledger, ID, category, by="anna", decided_at=at, categories=CATEGORIES, reason=reason
    )


def rows(spool: Spool) -> list[str]:
    """Return the lines of the day's decisions without the header."""
    path = spool.paths.results / f"decisions-{DAY}.csv"
    return path.read_text().splitlines()[1:] if path.exists() else []


def lies_at(spool: Spool) -> str:
    """Return where the only file of the spool lies, from the common folder on."""
    folders = (spool.paths.queue, spool.paths.archive, spool.paths.review, spool.paths.rejected)
    (path,) = (path for folder in folders for path in files_below(folder))
    return str(path.relative_to(spool.paths.archive.parent))


# --- deciding


def test_a_decision_is_recorded_written_and_carried_out(spool: Spool, ledger: Ledger) -> None:
    file_away(spool, ledger, 1)

    decision = decide(spool, ledger, "stripes")

    assert ledger.decision(ID) == decision
    assert [row.split(",")[5] for row in rows(spool)] == ["stripes"]
    assert lies_at(spool) == f"archive/{DAY}/stripes/{ID}_1.jpg"
    assert audit(spool, ledger).clean


@pytest.mark.parametrize(
    ("given", "kept"), [(None, "not_a_product"), ("", "not_a_product"), ("blurred", "blurred")]
)
def test_a_rejection_says_why(given: str | None, kept: str, spool: Spool, ledger: Ledger) -> None:
    file_away(spool, ledger, 1)

    decision = decide(spool, ledger, None, reason=given)

    assert (decision.category, decision.reason) == (None, kept)
    assert lies_at(spool) == f"rejected/{ID}_1.jpg"
    assert audit(spool, ledger).clean


def test_a_rejection_cannot_pass_for_a_withdrawal(spool: Spool, ledger: Ledger) -> None:
    file_away(spool, ledger, 1)

    with pytest.raises(DecisionError, match="'withdrawn' is no reason"):
        decide(spool, ledger, None, reason="withdrawn")

    assert ledger.decision(ID) is None


@pytest.mark.parametrize(
    ("category", "said"),
    [
        ("strips", "did you mean stripes"),
        ("STRIPES", "did you mean stripes"),
        ("bicycle", "known are: dots, noise, stripes"),
        ("", "known are"),
    ],
)
def test_an_unknown_category_is_answered_and_nothing_happens(
    category: str, said: str, spool: Spool, ledger: Ledger
) -> None:
    file_away(spool, ledger, 1)

    with pytest.raises(DecisionError, match=f"unknown category '{category}'; {said}"):
        decide(spool, ledger, category)

    assert ledger.decision(ID) is None
    assert lies_at(spool).startswith("review/")


def test_an_item_that_was_archived_by_itself_is_moved_where_a_person_says(spool: Spool, ledger: Ledger) -> None:
    file_away(spool, ledger, 1, shelf=Shelf.ARCHIVE, reason="confident")
    before = lies_at(spool)

    decide(spool, ledger, "stripes")

    assert before == f"archive/{DAY}/dots/{ID}_1.jpg"
    assert lies_at(spool) == f"archive/{DAY}/stripes/{ID}_1.jpg"
    assert audit(spool, ledger).clean


def test_who_comes_second_moves_nothing(spool: Spool, ledger: Ledger) -> None:
    file_away(spool, ledger, 1)
    decide(spool, ledger, "stripes")

    with pytest.raises(AlreadyDecided):
        decide(spool, ledger, "dots", hours=2)

    assert lies_at(spool) == f"archive/{DAY}/stripes/{ID}_1.jpg"
    assert len(rows(spool)) == 1


# --- taking back


def test_what_is_taken_back_waits_in_review_again(spool: Spool, ledger: Ledger) -> None:
    file_away(spool, ledger, 1)
    decide(spool, ledger, "stripes")

    review.withdraw(spool, ledger, ID, by="bert", decided_at=NOON + 2 * HOUR)

    assert lies_at(spool) == f"review/{ID}_1.jpg"
    assert [row.split(",")[7] for row in rows(spool)] == ["", "withdrawn"]
    assert audit(spool, ledger).clean


def test_an_item_may_go_to_and_fro_as_often_as_people_like(spool: Spool, ledger: Ledger) -> None:
    file_away(spool, ledger, 1)

    for hours in range(0, 10, 2):
        decide(spool, ledger, CATEGORIES[hours % 3] if hours != 4 else None, hours)
        review.withdraw(spool, ledger, ID, by="bert", decided_at=NOON + (hours + 1) * HOUR)
    decide(spool, ledger, "noise", 10)

    assert lies_at(spool) == f"archive/{DAY}/noise/{ID}_1.jpg"
    assert len(rows(spool)) == 11
    assert audit(spool, ledger).clean


def test_where_nothing_was_decided_there_is_nothing_to_take_back(spool: Spool, ledger: Ledger) -> None:
    file_away(spool, ledger, 1)

    with pytest.raises(DecisionError, match="has no decision in force"):
        review.withdraw(spool, ledger, ID, by="bert", decided_at=NOON)

    assert lies_at(spool) == f"review/{ID}_1.jpg"


# --- healing


def test_a_decision_that_was_only_recorded_is_carried_on(spool: Spool, ledger: Ledger) -> None:
    file_away(spool, ledger, 1)
    ledger.decide(ID, "stripes", NOON, "anna")

    moved = [review.heal(spool, ledger).moved, review.heal(spool, ledger).moved]

    assert moved == [1, 0]
    assert lies_at(spool) == f"archive/{DAY}/stripes/{ID}_1.jpg"
    assert len(rows(spool)) == 1
    assert audit(spool, ledger).clean


def test_a_withdrawal_that_was_only_recorded_is_carried_on(spool: Spool, ledger: Ledger) -> None:
    file_away(spool, ledger, 1)
    decide(spool, ledger, "stripes")
    ledger.withdraw(ID, NOON + 2 * HOUR, "bert")

    moved = review.heal(spool, ledger).moved

    assert moved == 1
    assert lies_at(spool) == f"review/{ID}_1.jpg"
    assert audit(spool, ledger).clean


def test_a_decision_after_a_withdrawal_that_was_only_recorded_is_carried_on(spool: Spool, ledger: Ledger) -> None:
    file_away(spool, ledger, 1)
    decide(spool, ledger, "stripes")
    ledger.withdraw(ID, NOON + 2 * HOUR, "bert")
    decide(spool, ledger, "noise", 3)

    review.heal(spool, ledger)

    assert lies_at(spool) == f"archive/{DAY}/noise/{ID}_1.jpg"
    assert audit(spool, ledger).clean


def test_an_item_decided_before_its_file_reached_the_shelf_is_moved_later(spool: Spool, ledger: Ledger) -> None:
    spool.paths.inbox.mkdir()
    (spool.paths.inbox / "1.jpg").write_bytes(b"picture")
    queued = spool.take_in(spool.paths.inbox / "1.jpg", ID)
    verdict = example_verdict(1, sha256=None)
    enter(ledger, verdict)
    decide(spool, ledger, "stripes")
    early = lies_at(spool)
    spool.shelve(queued, verdict)

    review.heal(spool, ledger)

    assert early == f"queue/{ID}_1.jpg"
    assert lies_at(spool) == f"archive/{DAY}/stripes/{ID}_1.jpg"


# --- what stands in the way


def test_a_decision_whose_file_cannot_be_moved_is_recorded_and_waits(spool: Spool, ledger: Ledger) -> None:
    file_away(spool, ledger, 1)
    (spool.paths.archive / DAY).write_text("a file where a folder must be")

    decision = decide(spool, ledger, "stripes")
    (pending,) = review.finish(spool, ledger, [decision])

    assert ledger.decision(ID) == decision
    assert len(rows(spool)) == 1
    assert pending.obstacle is not None
    assert str(pending.obstacle) == ("in paths.archive a file lies where a folder must be: move that file away")
    assert (spool.paths.review / f"{ID}_1.jpg").exists()


def test_what_waited_is_carried_out_when_the_way_is_free(spool: Spool, ledger: Ledger) -> None:
    file_away(spool, ledger, 1)
    (spool.paths.archive / DAY).write_text("a file where a folder must be")
    decision = decide(spool, ledger, "stripes")

    before = review.heal(spool, ledger)
    (spool.paths.archive / DAY).unlink()
    after = review.finish(spool, ledger, [decision])

    assert (before.moved, [one.decision for one in before.pending]) == (0, [decision])
    assert after == []
    assert lies_at(spool) == f"archive/{DAY}/stripes/{ID}_1.jpg"
    assert audit(spool, ledger).clean


def test_a_decision_whose_results_cannot_be_written_is_recorded_and_moves_nothing(
    spool: Spool, ledger: Ledger
) -> None:
    file_away(spool, ledger, 1)
    (spool.paths.results / f"decisions-{DAY}.csv").mkdir()

    decision = decide(spool, ledger, "stripes")
    waiting = review.heal(spool, ledger)
    (spool.paths.results / f"decisions-{DAY}.csv").rmdir()

    assert [one.decision for one in waiting.pending] == [decision]
    assert lies_at(spool).startswith("review/")
    assert review.finish(spool, ledger, [decision]) == []
    assert audit(spool, ledger).clean


def test_what_waits_and_is_taken_back_stays_in_review(spool: Spool, ledger: Ledger) -> None:
    file_away(spool, ledger, 1)
    (spool.paths.archive / DAY).write_text("a file where a folder must be")
    decision = decide(spool, ledger, "stripes")
    review.withdraw(spool, ledger, ID, by="bert", decided_at=NOON + 2 * HOUR)
    (spool.paths.archive / DAY).unlink()

    left = review.finish(spool, ledger, [decision])

    assert left == []
    assert lies_at(spool) == f"review/{ID}_1.jpg"
    assert audit(spool, ledger).clean


def test_an_item_without_a_file_is_decided_and_told_to_have_none(spool: Spool, ledger: Ledger) -> None:
    file_away(spool, ledger, 1).unlink()

    decision = decide(spool, ledger, "stripes")

    assert review.finish(spool, ledger, [decision]) == [review.Pending(decision, None)]


def test_where_all_was_carried_out_healing_touches_nothing(spool: Spool, ledger: Ledger) -> None:
    file_away(spool, ledger, 1)
    decide(spool, ledger, "stripes")
    path = spool.paths.results / f"decisions-{DAY}.csv"
    before = path.stat()

    moved = review.heal(spool, ledger).moved

    assert moved == 0
    assert path.stat() == before


def test_a_decision_whose_file_was_deleted_for_its_age_is_left_alone(spool: Spool, ledger: Ledger) -> None:
    place = file_away(spool, ledger, 1)
    ledger.decide(ID, "stripes", NOON, "anna")
    ledger.expire([ID], NOON)
    place.unlink()

    assert review.heal(spool, ledger) == review.Healed(0, [])

"""What the running worker counts."""

import pytest

from returnsd.metrics import Tally
from returnsd.records import Shelf
from tests.examples import example_rejection, example_verdict


def test_items_are_counted_by_shelf_and_by_reason() -> None:
    tally = Tally()
    tally.count(example_verdict(1))
    tally.count(example_verdict(2, shelf=Shelf.ARCHIVE, reason="confident"))
    tally.count(example_rejection(3, reason="empty"))
    tally.count(example_rejection(4, reason="damaged"))

    assert tally.shelves == {"review": 1, "archive": 1, "rejected": 2}
    assert tally.reasons == {"below_threshold": 1, "confident": 1, "empty": 1, "damaged": 1}
    assert tally.total == 4


def test_at_first_there_is_nothing_and_nothing_is_wrong() -> None:
    tally = Tally()

    assert (tally.total, tally.per_second(100.0)) == (0, 0.0)
    assert tally.problem is tally.last_error is tally.doorbell_trouble is None


def test_the_rate_is_of_the_time_since_it_was_first_asked_for() -> None:
    tally = Tally()
    tally.per_second(100.0)
    for number in range(30):
        tally.count(example_verdict(number))

    assert tally.per_second(110.0) == pytest.approx(3.0)


def test_the_rate_forgets_what_is_older_than_a_minute() -> None:
    tally = Tally()
    tally.per_second(0.0)
    for number in range(600):
        tally.count(example_verdict(number))
    rates = [tally.per_second(now) for now in (10.0, 60.0, 71.0, 120.0)]

    assert rates == [pytest.approx(60.0), pytest.approx(10.0), 0.0, 0.0]


def test_asked_twice_in_the_same_moment_the_rate_is_zero_not_infinite() -> None:
    tally = Tally()
    tally.per_second(5.0)
    tally.count(example_verdict(1))

    assert tally.per_second(5.0) == 0.0


def test_after_an_hour_of_silence_the_rate_begins_anew() -> None:
    tally = Tally()
    tally.per_second(0.0)
    tally.count(example_verdict(1))

    silent = tally.per_second(3600.0)
    tally.count(example_verdict(2))

    assert silent == 0.0
    assert tally.per_second(3610.0) == pytest.approx(0.1)

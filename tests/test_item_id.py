"""Item ids: made from a moment and ten random bytes, sorted by arrival, safe as names."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from returnsd import item_id

ENTROPY = st.binary(min_size=10, max_size=10)
MOMENTS = st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1), timezones=st.just(UTC))


def test_the_id_of_the_specifications_example_is_the_specifications() -> None:
    # its moment 1469918176385 is written 01ARYZ6S41; its random letters TSV4RRFFQ69G5FAV stand for these bytes
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=1469918176385)

    made = item_id.new(moment, bytes.fromhex("d6764c61efb99302bd5b"))

    assert made == "01ARYZ6S41TSV4RRFFQ69G5FAV"


@given(MOMENTS, ENTROPY)
def test_an_id_is_valid_and_carries_its_arrival_to_the_millisecond(moment: datetime, entropy: bytes) -> None:
    made = item_id.new(moment, entropy)

    assert len(made) == item_id.LENGTH
    assert item_id.is_valid(made)
    assert item_id.received_at(made) == moment.replace(microsecond=moment.microsecond // 1000 * 1000)


@given(st.lists(MOMENTS, min_size=2, max_size=2, unique_by=lambda m: m.replace(microsecond=0)), ENTROPY, ENTROPY)
def test_ids_sort_by_arrival(moments: list[datetime], one: bytes, other: bytes) -> None:
    first, second = sorted(moments)

    assert item_id.new(first, one) < item_id.new(second, other)


@given(MOMENTS, st.sets(ENTROPY, min_size=2, max_size=2))
def test_other_random_bytes_make_another_id(moment: datetime, entropies: set[bytes]) -> None:
    made = {item_id.new(moment, entropy) for entropy in entropies}

    assert len(made) == 2


def test_the_offset_of_the_clock_does_not_matter() -> None:
    moment = datetime(2026, 3, 1, 12, tzinfo=UTC)

    made = item_id.new(moment.astimezone(timezone(timedelta(hours=9))), bytes(10))

    assert made == item_id.new(moment, bytes(10))


def test_a_clock_before_1970_counts_as_1970() -> None:
    made = item_id.new(datetime(1969, 1, 1, tzinfo=UTC), bytes(10))

    assert item_id.received_at(made) == datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("count", [0, 9, 11])
def test_anything_but_ten_random_bytes_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match=f"10 random bytes, not {count}"):
        item_id.new(datetime(2026, 3, 1, tzinfo=UTC), bytes(count))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "01ARYZ6S41TSV4RRFFQ69G5FA",  # short
        "01ARYZ6S41TSV4RRFFQ69G5FAVV",  # long
        "01aryz6s41tsv4rrffq69g5fav",  # small letters
        "01ARYZ6S41TSV4RRFFQ69G5FAU",  # U is no letter of the alphabet
        "01ARYZ6S41TSV4RRFFQ69G5FA\n",
        "８1ARYZ6S41TSV4RRFFQ69G5FAV",  # a digit, but not one of ours
        "81ARYZ6S41TSV4RRFFQ69G5FAV",  # more than 48 bits of milliseconds
    ],
)
def test_what_is_no_id_is_told(text: str) -> None:
    assert not item_id.is_valid(text)


@given(st.from_regex(r"\A[0-9A-HJKMNP-TV-Z]{26}\Z").filter(item_id.is_valid))
def test_every_valid_id_has_an_arrival_that_any_clock_can_show(text: str) -> None:
    moment = item_id.received_at(text)

    assert moment.astimezone(timezone(timedelta(hours=14))) == moment


def test_an_id_from_beyond_all_clocks_is_no_id() -> None:
    assert item_id.is_valid("6" + "Z" * 25)
    assert not item_id.is_valid("7" + "Z" * 25)

"""How numbers and times read."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from returnsd.words import author, moment, percent, times, zone


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("share", "decimals", "text"),
    [
        (0.94, 0, "94 %"), (0.8182, 1, "81.8 %"), (1.0, 0, "100 %"), (0.9999, 0, "99 %"), (0.9999, 1, "99.9 %"),
        (0.0, 0, "0 %"), (0.001, 0, "1 %"), (0.0001, 1, "0.1 %"), (None, 1, ""),
    ],
)  # fmt: skip
def test_a_share_reads_as_percent(share: float | None, decimals: int, text: str) -> None:
    assert percent(share, decimals) == text


@pytest.mark.usefixtures("berlin")
def test_times_are_told_in_this_machines_zone_which_is_said_once() -> None:
    winter = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    assert moment(winter) == "2026-01-02 04:04:05"
    assert zone(winter) == "CET, UTC+01:00"
    assert moment(winter.replace(month=7)) == "2026-07-02 05:04:05"


@pytest.mark.parametrize(("set_to", "said"), [("UTC", "UTC"), ("Asia/Kathmandu", "UTC+05:45")])
def test_a_zone_without_a_name_is_told_by_its_offset(
    set_to: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", set_to)
    time.tzset()
    try:
        assert zone(datetime(2026, 1, 1, tzinfo=UTC)) == said
    finally:
        monkeypatch.undo()
        time.tzset()


def test_who_gave_no_name_is_someone() -> None:
    assert [author(name) for name in ("Anna", "page", "folder")] == [
        "Anna", "someone at the page", "someone with a file manager",
    ]  # fmt: skip


def test_a_count_agrees_with_its_noun() -> None:
    assert (times(1, "picture"), times(0, "picture"), times(2, "entry", "entries")) == (
        "1 picture", "0 pictures", "2 entries",
    )  # fmt: skip

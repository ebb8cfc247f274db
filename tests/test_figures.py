"""Figures that add up, and are the same wherever a person or a program meets them."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from returnsd import nightly, review
from returnsd.figures import Day, Figures, total
from returnsd.ledger import LEDGER, Ledger
from returnsd.records import Shelf
from returnsd.report import Report
from returnsd.spool import Spool
from returnsd.status import gather, lines
from tests.examples import DAY, NOON, arrived, enter, example_id, example_item, example_rejection, example_verdict
from tests.tiny import CATEGORIES, tiny_jpeg
from tests.web import House, open_house

PARTS = (
    "archived_by_itself", "archived_by_people", "rejected_by_itself", "rejected_by_people", "waiting", "unjudged",
)  # fmt: skip
EXPECTED = {
    "received": 13, "archived_by_itself": 4, "archived_by_people": 2, "rejected_by_itself": 2,
    "rejected_by_people": 2, "waiting": 3, "unjudged": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[House]:
    """A little spool in which everything has happened that can happen to an item."""
    with open_house(tmp_path_factory.mktemp("figures"), tiny, threshold=1.0) as opened:
        enter(
            opened.installation.ledger,
            *(arrived(n, datetime.now().astimezone(), shelf=Shelf.ARCHIVE, reason="confident") for n in range(5)),
        )
        for number in range(6):
            opened.installation.drop(f"{number}.jpg", tiny_jpeg(CATEGORIES[number % 3], number))
        opened.installation.drop("empty.jpg", b"")
        opened.installation.drop("text.jpg", b"no picture")
        opened.installation.work()
        archived = [row.item_id for row in opened.installation.rows() if row.shelf == "archive"]
        waiting = [row.item_id for row in opened.installation.rows() if row.shelf == "review"]
        decide(opened, archived[:1], category="dots")  # the audit: right
        decide(opened, archived[1:2], category="noise")  # another category
        decide(opened, archived[2:3], reject="retake")  # no picture of a product at all
        decide(opened, waiting[:2], category="dots")
        decide(opened, waiting[2:3], reject="not_a_product")
        decide(opened, waiting[3:4], category="noise")
        opened.client.post("/v1/decisions/withdrawals", json={"item_ids": waiting[3:4]})
        (opened.installation.paths.review / "note.txt").write_text("a stranger's file")
        yield opened


def decide(house: House, items: list[str], **said: str) -> None:
    answer = house.client.post("/v1/decisions", json={"item_ids": items, "by": "Anna", **said})
    assert answer.status_code == 200, answer.text


def is_whole(told: dict[str, int]) -> bool:
    return told["received"] == sum(told[part] for part in PARTS)


# --- everywhere the same


def test_statistics_tell_what_adds_up(house: House) -> None:
    told = house.client.get("/v1/statistics").json()

    (today,) = told["days"]
    assert {name: told["total"][name] for name in EXPECTED} == EXPECTED
    assert {name: today[name] for name in EXPECTED} == EXPECTED
    assert is_whole(told["total"])
    assert told["waiting"] == EXPECTED["waiting"]
    assert sum(told["rejected"].values()) == EXPECTED["rejected_by_itself"] + EXPECTED["rejected_by_people"]
    assert sum(told["categories"].values()) + sum(told["rejected"].values()) == EXPECTED["received"]


def test_the_status_tells_the_same(house: House) -> None:
    found = gather(house.installation.config)

    assert {name: found["total"][name] for name in EXPECTED} == EXPECTED  # type: ignore[index]
    assert {name: found["today"][name] for name in EXPECTED} == EXPECTED  # type: ignore[index]
    assert found["waiting"] == EXPECTED["waiting"]
    sentence = (
        "13 received = 4 archived by itself + 4 settled by people (2 archived, 2 rejected)"
        " + 2 rejected by itself + 3 waiting"
    )
    assert f"total: {sentence}" in lines(found)


def test_the_metrics_tell_the_same_and_call_acts_acts(house: House) -> None:
    text = house.client.get("/metrics").text

    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    stands = {part: int(values[f'returnsd_standing_items{{state="{part}"}}']) for part in PARTS}
    assert stands == {part: EXPECTED[part] for part in PARTS}
    assert int(values["returnsd_items_seen_total"]) == EXPECTED["received"]
    assert int(values["returnsd_review_waiting_items"]) == EXPECTED["waiting"]
    assert int(values["returnsd_decisions_total"]) == 8
    assert "HELP returnsd_decisions_total Acts of people" in text


def test_the_dashboard_tells_the_same(house: House) -> None:
    text = house.client.get("/dashboard", headers={"Accept": "text/html"}).text

    assert "Received today: 13" in text
    for name, value in (
        ("archived by itself", 4), ("archived by people", 2), ("rejected by people", 2), ("rejected by itself", 2),
        ("wait for a person", 3),
    ):  # fmt: skip
        assert f"<b>{value}</b><span>{name}</span>" in text
    assert "13 received = 4 archived by itself + 4 settled by people" in text


def test_the_nightly_report_tells_the_same(house: House) -> None:
    report = Report("now")

    nightly._count(house.installation.config, report)

    assert report.stands == {part: EXPECTED[part] for part in PARTS if part != "unjudged"}
    assert (report.judged, report.waiting_in_review) == (EXPECTED["received"], EXPECTED["waiting"])
    assert report.shelves == {"archive": 5, "review": 6, "rejected": 2}
    assert json.dumps(report.as_json())


# --- counting


@pytest.fixture
def figures(spool: Spool, ledger: Ledger) -> Iterator[Figures]:
    opened = Figures(spool.paths.state / LEDGER)
    yield opened
    opened.close()


def test_a_day_is_the_day_of_receipt(ledger: Ledger, figures: Figures) -> None:
    enter(ledger, example_verdict(1, judged_at=NOON + timedelta(days=2)), example_rejection(2))
    ledger.begin([example_item(3)])

    days = figures.days(DAY)

    assert days == [Day(DAY, received=3, rejected_by_itself=1, waiting=1, unjudged=1)]
    assert figures.all() == Day("", received=3, rejected_by_itself=1, waiting=1, unjudged=1)
    assert figures.days("2026-03-02") == []


def test_the_rows_of_a_report_are_counted_by_how_they_stand(spool: Spool, ledger: Ledger, figures: Figures) -> None:
    enter(ledger, *(example_verdict(number) for number in range(4)))
    for number in (0, 2):
        review.decide(spool, ledger, example_id(number), "dots", by="anna", decided_at=NOON, categories=CATEGORIES)

    assert figures.rows(1, 3) == Day("", received=2, archived_by_people=1, waiting=1)


def test_sums_over_days_add_up(ledger: Ledger, figures: Figures) -> None:
    enter(ledger, *(arrived(n, NOON + timedelta(days=n % 3)) for n in range(7)), example_rejection(8))

    summed = total(figures.days(DAY))

    assert summed == figures.all()
    assert is_whole({name: value for name, value in asdict(summed).items() if name != "day"})

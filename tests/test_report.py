"""The nightly report in words and as a page."""

import re
from dataclasses import replace

from returnsd.report import Report, headline, page, sentences

FULL = Report(
    started_at="2026-11-24T02:00:00+00:00",
    ended_at="2026-11-24T02:03:00+00:00",
    duration_s=180.0,
    model="retail21-1.0+00000000",
    first_row=100,
    last_row=220,
    judged=120,
    shelves={"archive": 90, "review": 20, "rejected": 10},
    categories={"Footwear": 60, "Toys & Games": 50},
    rejected={"not_a_picture": 10},
    rejected_files=[{"item_id": "01M8", "file_name": "<script>alert(1)</script>.jpg", "reason": "not_a_picture"}],
    stands={
        "archived_by_itself": 90,
        "archived_by_people": 7,
        "rejected_by_people": 3,
        "rejected_by_itself": 10,
        "waiting": 10,
    },
    archived_share=0.8182,
    waiting_in_review=25,
    left={"open_for_writing": 2},
)


def test_the_headline_tells_how_it_ended() -> None:
    assert headline(FULL) == "returnsd: 120 judged, 25 wait for a person"
    assert headline(Report("t")) == "returnsd: nothing new, 0 wait for a person"
    assert headline(Report("t", problem="disk\r\nfull")) == "returnsd: not finished: disk full"


def test_the_report_is_told_in_plain_words() -> None:
    assert sentences(FULL) == [
        "120 pictures judged in 180.0 s: 90 archived, 20 to review, 10 rejected. Model: retail21-1.0+00000000.",
        "81.8 % of the usable ones were archived without a person.",
        "Of those to review, people have settled 10 by now (7 archived, 3 rejected).",
        "25 pictures in all wait for a person.",
        "Rejected: 10 not a picture.",
        "Left in the inbox: 2 open for writing.",
    ]


def test_beside_a_running_service_no_duration_is_told() -> None:
    beside = replace(FULL, judged_by="service", duration_s=0.1)

    assert sentences(beside)[0].startswith("120 pictures judged by the running service since the report before: 90")
    assert "0.1 s" not in page(beside) + " ".join(sentences(beside))


def test_the_categories_are_said_to_be_the_models() -> None:
    assert "Categories, as the model judged" in page(FULL)
    assert "whatever people have decided on them since" in page(FULL)


def test_the_page_needs_nothing_but_itself() -> None:
    text = page(FULL)

    assert not re.search(r"(src|href|url\()\s*=?", text.partition("<body>")[2])
    assert "<script" not in text
    assert "http" not in text


def test_the_page_holds_every_number_and_no_name_becomes_markup() -> None:
    text = page(FULL)

    for expected in ("120", "81.8 %", "Footwear", "Toys &amp; Games", "not a picture", "rows 101 to 220"):
        assert expected in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;.jpg" in text


def test_a_run_that_was_not_finished_says_so_at_the_top() -> None:
    text = page(Report("2026-11-24", problem="disk_full"))

    assert '<p class="problem">Not finished: disk_full</p>' in text

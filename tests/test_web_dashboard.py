"""The dashboard, the history, an item's story and the API's page: what people look up."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from returnsd.figures import Day
from returnsd.web import charts, overview
from returnsd.web.api_examples import EXAMPLES
from returnsd.web.estimates import differ, share_bounds
from returnsd.web.pulse import Beat
from returnsd.words import percent, zone
from tests.tiny import tiny_jpeg
from tests.web import House, open_house

PAGE = {"Accept": "text/html"}
EVIL = "<img src=x onerror=alert(1)>.jpg"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("dashboard"), tiny, threshold=0.9) as opened:
        for number in range(12):
            opened.installation.drop(f"RMA-{number}.jpg", tiny_jpeg(("dots", "stripes")[number % 2], number))
        opened.installation.drop("broken.jpg", b"no picture")
        opened.installation.drop(EVIL, tiny_jpeg("stripes", 50))
        opened.installation.work()
        opened.desk.config = replace(opened.desk.config, web=replace(opened.desk.config.web, audit_share=1.0))
        yield opened


def text_of(house: House, path: str, **parameters: str) -> str:
    answer = house.client.get(path, params=parameters or None, headers=PAGE)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return answer.text


# --- the dashboard


def test_the_dashboard_tells_today_in_numbers(house: House) -> None:
    text = text_of(house, "/dashboard")

    rows = house.installation.rows()
    assert f"Received today: {len(rows)}" in text
    for shelf, name in (
        ("archive", "archived by itself"), ("review", "wait for a person"), ("rejected", "rejected by itself"),
    ):  # fmt: skip
        count = sum(row.shelf == shelf for row in rows)
        assert re.search(rf'<div class="tile {shelf}"><b>{count}</b><span>{name}</span>', text)


def test_the_estimate_says_what_it_rests_on_and_its_bounds(house: House) -> None:
    text = text_of(house, "/dashboard")

    model = house.desk.judge.model
    chosen = model.bundle.calibration.correct[model.bundle.calibration.confidence >= 0.9]
    low, high = share_bounds(int(chosen.sum()), len(chosen))
    assert f"between {percent(low, 1)} and {percent(high, 1)} (95 % sure)" in text
    assert f"{chosen.sum()} of {len(chosen)} calibration pictures from the threshold on" in text


def test_the_zone_of_all_times_is_said_once(house: House) -> None:
    text = text_of(house, "/dashboard")

    assert text.count(f"Times and days are this machine's: {zone(datetime.now().astimezone())}") == 1


def test_the_dashboard_says_what_is_wrong_and_what_to_do(house: House) -> None:
    text = text_of(house, "/dashboard")

    assert "The worker does not run: nothing new is judged" in text
    assert "start it: returnsd run" in text


def test_the_audit_shows_what_was_archived_and_measures_the_model(house: House) -> None:
    queue = house.client.get("/v1/audit").json()
    items = [item for section in queue["sections"] for item in section["items"]]
    archived = {row.item_id for row in house.installation.rows() if row.shelf == "archive"}
    right, wrong = items[0], items[1]

    house.client.post("/v1/decisions", json={"item_ids": [right["item_id"]], "category": right["category"]})
    house.client.post("/v1/decisions", json={"item_ids": [wrong["item_id"]], "category": "noise"})

    left = house.client.get("/v1/audit").json()
    low, high = share_bounds(1, 2)
    assert {item["item_id"] for item in items} == archived
    assert (queue["count"], left["count"]) == (len(archived), len(archived) - 2)
    assert "1 of 2 wrong" in text_of(house, "/dashboard")
    assert f"between {percent(low, 1)} and {percent(high, 1)}" in text_of(house, "/dashboard")


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    [(0, 10, 0.0, 0.3085), (10, 10, 0.6915, 1.0), (94, 100, 0.8740, 0.9777), (1, 2, 0.0126, 0.9874), (0, 0, 0, 1)],
)
def test_the_bounds_of_a_share_are_clopper_and_pearsons(hits: int, count: int, low: float, high: float) -> None:
    assert share_bounds(hits, count) == pytest.approx((low, high), abs=1e-4)


def test_two_samples_differ_only_when_it_cannot_be_chance() -> None:
    dice = np.random.default_rng(1)
    same = [dice.beta(5, 2, 500), dice.beta(5, 2, 3000)]
    other = dice.beta(2, 2, 500)

    assert differ(*same) is None
    assert (differ(other, same[1]) or 0) > 0.2


def test_drift_of_confidences_is_told(house: House) -> None:
    unsure = np.random.default_rng(1).uniform(0.3, 0.6, 400)

    (notice,) = overview.of_drift(house.desk.judge.model, unsure, np.empty((0, 0), np.float32))

    assert re.fullmatch(
        r"The model is less sure than it was in calibration: \d+ % on average now, \d+ % then", notice.text
    )


def test_drift_of_features_is_told_where_the_card_has_a_reference(house: House) -> None:
    model = house.desk.judge.model
    count = model.bundle.forest.features
    card = {**model.bundle.card, "reference": {"mean": [0.0] * count, "deviation": [1.0] * count}}
    known = replace(model, bundle=replace(model.bundle, card=card))
    dice = np.random.default_rng(1)
    alike = dice.normal(0, 1, (300, count)).astype(np.float32)

    none = overview.of_drift(known, np.empty(0), alike)
    (notice,) = overview.of_drift(known, np.empty(0), alike + 1)

    assert none == []
    assert "unlike the training pictures" in notice.text


def test_a_paused_worker_and_a_full_disk_are_told() -> None:
    stands_in_the_way = {"what": "no permission to write to paths.queue", "remedy": "returnsd doctor tells who may"}
    service = {"problem": "eperm", "obstacle": stands_in_the_way, "last_error": None, "staying": []}
    beat = Beat({"running": True, "service": service}, free_bytes=1 << 20, total_bytes=1 << 40)

    notices = overview.of_service(beat)

    assert [notice.text for notice in notices] == [
        "Nothing is taken in: no permission to write to paths.queue",
        "The disk has 0.0 GiB left",
    ]
    assert notices[0].remedy == "returnsd doctor tells who may"


def test_files_that_stay_in_the_inbox_are_told_by_name() -> None:
    staying = [["link.jpg", "not_a_regular_file"], ["secret.jpg", "no_permission"]]
    service = {"problem": None, "last_error": None, "staying": staying, "held": {"refused": 1, "no_permission": 3}}
    beat = Beat({"running": True, "service": service}, free_bytes=1 << 40, total_bytes=1 << 40)

    (notice,) = overview.of_service(beat)

    assert notice.text == (
        "4 files stay in the inbox: link.jpg (not a regular file), secret.jpg (no permission), and 2 more"
    )


def test_a_model_that_archives_nothing_or_too_badly_is_told(house: House) -> None:
    model = house.desk.judge.model
    nothing = replace(model, rule=replace(model.rule, threshold=None))
    bad = overview.Audited(500, 200, 40, *share_bounds(160, 200))

    (first,) = overview.of_model(nothing, 0.94, overview.Audited(0, 0, 0, 0, 1))
    (second,) = overview.of_model(model, 0.94, bad)

    assert "Nothing is archived" in first.text
    assert "94 % was asked for" in second.text


def test_days_without_items_are_shown_too() -> None:
    last = date(2026, 3, 2)

    days = overview.every_day([Day("2026-02-28", archived_by_people=3)], last - timedelta(days=3), last)

    assert [day.day for day in days] == ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]
    assert [day.archived for day in days] == [0, 3, 0, 0]


def test_columns_stand_on_each_other_and_fit_the_drawing() -> None:
    chart = charts.days([Day("2026-01-01", 50, 20, 10, 3, 2, 15), Day("2026-01-02")])

    first, second = chart.bars
    assert chart.top == 50
    assert sum(block.height for block in first.blocks) == pytest.approx(charts.HEIGHT)
    assert min(block.y for block in first.blocks) == pytest.approx(0)
    assert second.blocks == []
    assert [first.label, second.label] == ["01-01", "today"]


def test_the_charts_name_today_and_the_end_of_the_scale(house: House) -> None:
    text = text_of(house, "/dashboard")

    assert re.search(r">today</text>", text)
    assert re.search(r">100 %</text>", text)


# --- the history


def test_the_history_finds_by_name_shelf_and_category(house: House) -> None:
    by_name = text_of(house, "/history", text="RMA-7.")
    rejected = text_of(house, "/history", shelf="rejected")
    nothing = text_of(house, "/history", text="nowhere")

    assert re.findall(r"RMA-\d+\.jpg", by_name) == ["RMA-7.jpg"]
    assert "broken.jpg" in rejected
    assert "RMA-" not in rejected
    assert "Nothing was found." in nothing


def test_the_history_tells_why_a_person_rejected_and_who(house: House) -> None:
    row = next(row for row in house.installation.rows() if row.shelf == "review")
    house.client.post("/v1/decisions", json={"item_ids": [row.item_id], "reject": "retake"})

    text = text_of(house, "/history", text=row.item_id)
    house.client.post("/v1/decisions/withdrawals", json={"item_ids": [row.item_id]})

    assert re.search(r'<span class="found-what">retake</span>', text)
    assert "below threshold" not in text
    assert "someone at the page" in text


def test_the_history_goes_on_with_older_ones(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("returnsd.web.looking._ON_A_PAGE", 5)

    first = text_of(house, "/history", text="RMA")
    older = re.search(r'href="(/history\?[^"]*before=\d+)"', first)
    assert older is not None
    second = text_of(house, older[1].replace("&amp;", "&"))

    names = [re.findall(r"<b>(RMA-\d+\.jpg)</b>", page) for page in (first, second)]
    assert len(names[0]) == len(names[1]) == 5
    assert set(names[0]).isdisjoint(names[1])


@pytest.mark.parametrize("asked", [{"day": "yesterday"}, {"shelf": "moon"}, {"text": "%"}, {"category": "'; --"}])
def test_a_search_for_nonsense_is_answered(asked: dict[str, str], house: House) -> None:
    text_of(house, "/history", **asked)


def test_a_file_name_never_becomes_markup(house: House) -> None:
    item_id = house.item(EVIL)

    for path in ("/history", f"/items/{item_id}"):
        text = text_of(house, path)
        assert "&lt;img src=x onerror=alert(1)&gt;.jpg" in text
        assert "<img src=x" not in text


# --- an item's story


def test_an_items_story_tells_everything_that_happened_to_it(house: House) -> None:
    item_id = next(row.item_id for row in house.installation.rows() if row.shelf == "review")
    house.client.post("/v1/decisions", json={"item_ids": [item_id], "category": "noise", "by": "Anna"})
    house.client.post("/v1/decisions/withdrawals", json={"item_ids": [item_id], "by": "Ben"})
    house.client.post("/v1/decisions", json={"item_ids": [item_id], "reject": "retake", "by": "Cleo"})

    text = re.sub(r"<[^>]+>", "", text_of(house, f"/items/{item_id}"))

    assert "because below threshold" in text
    assert "Anna said: noise" in text
    assert "Ben took the decision back" in text
    assert "Cleo rejected it: retake" in text
    assert str(house.installation.paths.rejected) in text


def test_an_item_whose_file_is_gone_says_so(house: House) -> None:
    row = next(row for row in house.installation.rows() if row.shelf == "review" and row.file_name == "RMA-0.jpg")
    place = house.installation.paths.review / f"{row.item_id}_RMA-0.jpg"
    place.rename(place.parent.parent / "taken.jpg")

    text = text_of(house, f"/items/{row.item_id}")
    house.tend()
    dashboard = text_of(house, "/dashboard")
    (place.parent.parent / "taken.jpg").rename(place)

    assert "File missing" in text
    assert f"/v1/items/{row.item_id}/preview" not in text
    assert f"1 item without a file in review: {row.item_id}" in dashboard
    assert "File missing" not in text_of(house, f"/items/{row.item_id}")


def test_an_item_that_waits_in_the_queue_has_a_story_too(house: House) -> None:
    sent = house.client.post("/v1/items", content=tiny_jpeg("dots", 9), headers={"Content-Type": "image/jpeg"})
    item_id = sent.json()["items"][0]["item_id"]

    assert "Waits in the queue" in text_of(house, f"/items/{item_id}")


def test_an_unknown_item_is_told_to_people_as_a_page(house: House) -> None:
    answer = house.client.get("/items/" + "0" * 26, headers=PAGE)

    assert answer.status_code == 404
    assert "<h1>Not found</h1>" in answer.text


# --- the API's page


def test_the_api_is_described_on_a_page_of_our_own(house: House) -> None:
    text = text_of(house, "/docs")
    document = house.client.get("/openapi.json").json()

    for path in document["paths"]:
        assert f"<code>{path}</code>" in text
    for name in document["components"]["schemas"]:
        assert f'id="{name}"' in text


def test_the_apis_page_shows_examples_and_no_empty_defaults(house: House) -> None:
    text = text_of(house, "/docs")
    document = house.client.get("/openapi.json").json()

    assert "(default )" not in text
    assert "(default None)" not in text
    assert "Idempotency-Key: order-4711" in text
    assert all(method.lower() in document["paths"][path] for method, path in EXAMPLES)


def test_the_apis_page_is_reached_from_every_page(house: House) -> None:
    for path in ("/", "/dashboard", "/history"):
        assert '<a href="/docs">API</a>' in text_of(house, path)


def test_without_a_token_there_is_nothing_to_sign_in_to(house: House) -> None:
    answer = house.client.get("/login", params={"next": "/history"}, headers=PAGE)

    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_no_page_takes_anything_from_elsewhere(house: House) -> None:
    item_id = house.installation.rows()[0].item_id

    for path in ("/", "/audit", "/dashboard", "/history", f"/items/{item_id}", "/docs"):
        text = text_of(house, path)
        found = re.findall(r'(?:src|href|action)="([^"]*)"', text)
        assert all(address.startswith(("/", "#")) for address in found), path
        assert "style=" not in text
        assert not re.search(r"<script(?![^>]*(src=|application/json))", text)
        assert not re.search(r"\son\w+=", text.replace("onerror=alert", ""))


def test_what_pages_are_made_of_may_be_kept_and_changes_its_address(house: House) -> None:
    address = re.search(r'href="(/static/page\.css\?[0-9a-f]+)"', text_of(house, "/"))
    assert address is not None

    known, other = house.client.get(address[1]), house.client.get("/static/page.css?old")

    assert "immutable" in known.headers["cache-control"]
    assert other.headers["cache-control"] == "no-cache"
    assert known.headers["content-type"] == "text/css; charset=utf-8"

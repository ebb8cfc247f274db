"""The API for programs: what it answers, and what it does to an installation."""

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.installation import files_below
from tests.tiny import CATEGORIES, tiny_jpeg
from tests.web import House, open_house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("api"), tiny, threshold=1.0) as opened:
        yield opened


def today() -> str:
    return datetime.now().astimezone().date().isoformat()


# --- predict


def test_a_raw_picture_is_judged(house: House) -> None:
    answer = house.client.post(
        "/v1/predict", content=tiny_jpeg("stripes", 1), headers={"Content-Type": "image/jpeg"}
    )

    (prediction,) = answer.json()["predictions"]
    assert answer.status_code == 200
    assert prediction["category"] == "stripes"
    assert set(prediction["probabilities"]) == set(CATEGORIES)
    assert prediction["shelf"] == "review"


def test_many_pictures_are_judged_in_their_order_and_a_bad_one_spoils_only_itself(house: House) -> None:
    files = [("file", (f"{n}.jpg", tiny_jpeg("stripes", n), "image/jpeg")) for n in range(40)]
    files.insert(3, ("file", ("bad.jpg", b"no picture", "image/jpeg")))

    answer = house.client.post("/v1/predict", files=files)

    predictions = answer.json()["predictions"]
    assert [one["name"] for one in predictions] == [name for _, (name, _, _) in files]
    assert (predictions[3]["category"], predictions[3]["shelf"]) == (None, "rejected")
    assert predictions[3]["reason"] == "not_a_picture"
    assert {one["category"] for n, one in enumerate(predictions) if n != 3} == {"stripes"}


def test_predicting_stores_nothing(house: House) -> None:
    before = files_below(house.installation.paths.queue)

    house.client.post("/v1/predict", content=tiny_jpeg("dots", 1), headers={"Content-Type": "image/jpeg"})

    assert files_below(house.installation.paths.queue) == before


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "", "multipart/mixed; boundary=x"])
def test_a_body_of_another_kind_is_415(kind: str, house: House) -> None:
    answer = house.client.post("/v1/predict", content=b"x", headers={"Content-Type": kind})

    assert answer.status_code == 415
    assert answer.headers["content-type"] == "application/problem+json"
    assert "image/*" in answer.json()["detail"]


def test_an_empty_body_and_a_form_without_files_are_told(house: House) -> None:
    empty = house.client.post("/v1/predict", content=b"", headers={"Content-Type": "image/jpeg"})
    form = house.client.post("/v1/predict", data={"a": "b"}, files={})
    boundary = {"Content-Type": "multipart/form-data; boundary=x"}
    nothing = house.client.post("/v1/predict", content=b"--x--\r\n", headers=boundary)
    broken = house.client.post("/v1/predict", content=b"junk", headers={"Content-Type": "multipart/form-data"})

    assert (empty.status_code, form.status_code, nothing.status_code) == (422, 415, 422)
    assert broken.status_code == 400
    assert broken.headers["content-type"] == "application/problem+json"


# --- submit


def submit(house: House, data: bytes, name: str = "sent.jpg", key: str | None = None) -> dict[str, object]:
    headers = {"Content-Type": "image/jpeg"} | ({} if key is None else {"Idempotency-Key": key})
    answer = house.client.post("/v1/items", params={"name": name}, content=data, headers=headers)
    assert answer.status_code == 201, answer.text
    (item,) = answer.json()["items"]
    return dict(item)


def test_a_submitted_picture_is_durable_when_its_id_is_answered_and_becomes_a_row(house: House) -> None:
    item = submit(house, tiny_jpeg("stripes", 50))

    queued = house.client.get(f"/v1/items/{item['item_id']}").json()
    house.installation.work()
    judged = house.client.get(f"/v1/items/{item['item_id']}").json()

    assert (queued["state"], queued["file_name"]) == ("queued", "sent.jpg")
    assert judged["state"] == "judged"
    assert judged["item"]["category"] == "stripes"
    assert judged["item"]["sha256"] == item["sha256"]


def test_many_are_submitted_in_one_form(house: House) -> None:
    files = [("file", (f"form-{n}.jpg", tiny_jpeg("dots", 60 + n), "image/jpeg")) for n in range(5)]

    answer = house.client.post("/v1/items", files=files)

    assert answer.status_code == 201
    assert [item["file_name"] for item in answer.json()["items"]] == [f"form-{n}.jpg" for n in range(5)]
    assert len({item["item_id"] for item in answer.json()["items"]}) == 5


def test_the_same_request_with_its_key_submits_nothing_again(house: House) -> None:
    data = tiny_jpeg("dots", 70)

    first = submit(house, data, key="order-70")
    while_queued = submit(house, data, key="order-70")
    house.installation.work()
    when_judged = submit(house, data, key="order-70")

    assert first["again"] is False
    assert while_queued["item_id"] == when_judged["item_id"] == first["item_id"]
    assert when_judged["again"] is True
    assert sum(row.sha256 == first["sha256"] for row in house.installation.rows()) == 1


def test_a_key_that_was_remembered_before_a_crash_still_brings_the_picture_in(house: House) -> None:
    data = tiny_jpeg("dots", 71)
    first = submit(house, data, key="order-71")
    for path in house.installation.paths.queue.glob(f"{first['item_id']}*"):
        path.unlink()  # as if we had died between remembering the key and entering the queue

    again = submit(house, data, key="order-71")

    assert again["item_id"] == first["item_id"]
    assert house.installation.spool.find_queued(str(first["item_id"])) is not None


def test_a_key_used_for_another_picture_is_refused(house: House) -> None:
    submit(house, tiny_jpeg("dots", 72), key="order-72")
    headers = {"Content-Type": "image/jpeg", "Idempotency-Key": "order-72"}

    answer = house.client.post("/v1/items", content=tiny_jpeg("dots", 73), headers=headers)

    assert answer.status_code == 422
    assert "another picture" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\a.jpg", "a.jpg"),
        ("..", "picture"),
        ("", "picture"),
        ("a\r\nSet-Cookie: x=1.jpg", "a__Set-Cookie: x=1.jpg"),
        (".hidden.jpg", ".hidden.jpg"),
        ("ü" * 200 + ".jpeg", "ü" * 97 + ".jpeg"),
    ],
)
def test_whatever_the_name_it_is_a_plain_name_in_the_queue(name: str, stored: str, house: House) -> None:
    item = submit(house, tiny_jpeg("dots", 80), name=name)

    assert item["file_name"] == stored
    queued = house.installation.spool.find_queued(str(item["item_id"]))
    assert queued is not None
    assert queued.path.parent == house.installation.paths.queue


# --- items


def test_items_are_found_by_name_category_shelf_and_day_page_by_page(house: House) -> None:
    house.receive("stripes", *range(100, 110), prefix="find")

    asked = {"text": "find-", "category": "stripes", "shelf": "review", "day": today(), "limit": "6"}
    first = house.client.get("/v1/items", params=asked).json()
    second = house.client.get("/v1/items", params={**asked, "before": str(first["next_before"])}).json()

    names = [item["file_name"] for page in (first, second) for item in page["items"]]
    assert sorted(names) == [f"find-stripes-{n}.jpg" for n in range(100, 110)]
    assert len(first["items"]) == 6
    assert second["next_before"] is None


def test_an_item_is_found_by_its_id(house: House) -> None:
    item_id = house.receive("stripes", 111)[0]

    found = house.client.get("/v1/items", params={"text": item_id.lower()}).json()

    assert [item["item_id"] for item in found["items"]] == [item_id]


def test_a_preview_is_a_small_jpeg_wherever_the_item_lies(house: House) -> None:
    item_id = house.receive("stripes", 112)[0]
    pixels = cv2.resize(cv2.imdecode(np.frombuffer(tiny_jpeg("dots", 1), np.uint8), 1), (900, 600))
    queued = submit(house, bytes(cv2.imencode(".png", pixels)[1]))

    in_review = house.client.get(f"/v1/items/{item_id}/preview")
    house.client.post("/v1/decisions", json={"item_ids": [item_id], "category": "dots"})
    archived = house.client.get(f"/v1/items/{item_id}/preview", params={"px": 800})
    in_queue = house.client.get(f"/v1/items/{queued['item_id']}/preview")

    assert [answer.status_code for answer in (in_review, archived, in_queue)] == [200, 200, 200]
    assert in_review.headers["content-type"] == "image/jpeg"
    assert "immutable" in in_review.headers["cache-control"]
    assert cv2.imdecode(np.frombuffer(in_queue.content, np.uint8), 1).shape == (213, 320, 3)


def test_what_is_no_picture_has_no_preview(house: House) -> None:
    house.installation.drop("broken-preview.jpg", b"no picture")
    house.installation.work()

    answer = house.client.get(f"/v1/items/{house.item('broken-preview.jpg')}/preview")

    assert answer.status_code == 404
    assert "nothing can be seen" in answer.json()["detail"]


def test_a_preview_of_a_missing_file_says_that_it_is_missing(house: House) -> None:
    (item_id,) = house.receive("stripes", 113)
    (place,) = house.installation.paths.review.glob(f"{item_id}_*")
    place.rename(place.parent.parent / "taken.jpg")

    missing = house.client.get(f"/v1/items/{item_id}/preview")
    unknown = house.client.get(f"/v1/items/{'0' * 26}/preview")
    (place.parent.parent / "taken.jpg").rename(place)

    assert (missing.status_code, unknown.status_code) == (404, 404)
    assert missing.json()["detail"] == f"the file of item {item_id} is missing"
    assert unknown.json()["detail"] == f"there is no item {'0' * 26}"


def test_what_is_no_items_id_is_404_in_words(house: House) -> None:
    unknown = house.client.get("/v1/items/" + "0" * 26)
    nonsense = house.client.get("/v1/items/nonsense")
    page = house.client.get("/items/NONE", headers={"Accept": "text/html"})

    assert (unknown.status_code, nonsense.status_code, page.status_code) == (404, 404, 404)
    assert nonsense.json()["detail"] == "there is no item 'nonsense'"
    assert "there is no item &#39;NONE&#39;" in page.text
    assert unknown.headers["content-type"] == nonsense.headers["content-type"] == "application/problem+json"


# --- what is not as it should be


@pytest.mark.parametrize("body", [b"{", b"", b"no json", b'{"item_ids": ['])
@pytest.mark.parametrize("path", ["/v1/decisions", "/v1/decisions/withdrawals", "/v1/review/looks"])
def test_a_body_that_is_no_json_is_400(path: str, body: bytes, house: House) -> None:
    answer = house.client.post(path, content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code in ((400, 422) if not body else (400,))
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_a_body_that_is_not_said_to_be_json_is_415(kind: str | None, house: House) -> None:
    headers = {} if kind is None else {"Content-Type": kind}

    answer = house.client.post("/v1/decisions", content=b'{"item_ids": []}', headers=headers)

    assert answer.status_code == 415
    assert "application/json" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/v1/items", "/v1/predict", "/v1/decisions"])
def test_an_unknown_parameter_of_what_is_sent_is_refused_too(path: str, house: House) -> None:
    answer = house.client.post(path, params={"nme": "RMA-7.jpg"}, json={})

    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("no such parameter: nme; known are: ")


@pytest.mark.parametrize(
    "path", ["/v1/items", "/v1/review", "/v1/audit", "/v1/statistics", f"/v1/results/{datetime.now().date()}"]
)
def test_an_unknown_parameter_is_named_and_refused(path: str, house: House) -> None:
    answer = house.client.get(path, params={"categroy": "dots"})

    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("no such parameter: categroy; known are: ")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"item_ids": ["x"], "category": "dots"}, "item_ids.0: must be an item's id, such as 01"),
        ({"item_ids": ["0" * 26], "reject": "No!"}, "reject: must be a word of small letters"),
        ({"item_ids": ["0" * 26], "category": "dots", "by": "a\nb"}, "by: must be one line of plain text"),
        ({"item_ids": ["0" * 26], "category": "dots", "colour": "red"}, "colour: is not known here"),
        ({"category": "dots"}, "item_ids: is missing"),
        ([], "the body: "),
    ],
)
def test_what_is_wrong_is_told_in_words_and_not_as_a_pattern(asked: object, said: str, house: House) -> None:
    answer = house.client.post("/v1/decisions", json=asked)

    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(said)
    assert "^" not in answer.text


# --- review and decisions


def waiting_ids(house: House) -> list[str]:
    queue = house.client.get("/v1/review", params={"limit": 1000}).json()
    return [item["item_id"] for section in queue["sections"] for item in section["items"]]


def test_what_waits_is_listed_with_its_shortlist(house: House) -> None:
    item_id = house.receive("stripes", 120)[0]

    queue = house.client.get("/v1/review", params={"order": "oldest", "limit": 1000}).json()

    (item,) = [i for section in queue["sections"] for i in section["items"] if i["item_id"] == item_id]
    assert item["shortlist"][0] == item["category"] == "stripes"
    assert queue["count"] == len(waiting_ids(house))


def test_items_to_leave_out_are_left_out(house: House) -> None:
    skipped, kept = house.receive("stripes", 121, 122)

    queue = house.client.get("/v1/review", params={"skip": skipped, "limit": 1000}).json()

    ids = [item["item_id"] for section in queue["sections"] for item in section["items"]]
    assert kept in ids
    assert skipped not in ids


def test_a_decision_moves_the_file_and_is_written_to_the_day(house: House) -> None:
    ids = house.receive("noise", 130, 131)

    answer = house.client.post("/v1/decisions", json={"item_ids": ids, "category": "noise", "by": "Anna"})

    archived = {path.name[:26] for path in (house.installation.paths.archive / today() / "noise").iterdir()}
    rows = list(csv.DictReader(io.StringIO(_csv(house, "decisions"))))
    assert answer.status_code == 200
    assert [one["decided_by"] for one in answer.json()["decided"]] == ["Anna", "Anna"]
    assert set(ids) <= archived
    assert {row["item_id"] for row in rows if row["decided_by"] == "Anna"} >= set(ids)
    assert not set(ids) & set(waiting_ids(house))


def _csv(house: House, kind: str) -> str:
    return house.client.get(f"/v1/results/{today()}", params={"kind": kind, "format": "csv"}).text


def test_a_rejection_moves_the_file_to_the_rejected_with_its_reason(house: House) -> None:
    (item_id,) = house.receive("noise", 132)

    answer = house.client.post("/v1/decisions", json={"item_ids": [item_id], "reject": "retake"})

    assert answer.json()["decided"][0]["reason"] == "retake"
    assert [path for path in house.installation.paths.rejected.iterdir() if path.name.startswith(item_id)]


def test_a_decided_item_is_not_decided_again_and_tells_who_and_when(house: House) -> None:
    (item_id,) = house.receive("noise", 133)
    house.client.post("/v1/decisions", json={"item_ids": [item_id], "category": "noise", "by": "Anna"})

    answer = house.client.post("/v1/decisions", json={"item_ids": [item_id], "category": "dots", "by": "Ben"})

    (refused,) = answer.json()["refused"]
    assert answer.status_code == 409
    assert (refused["decided_by"], refused["category"]) == ("Anna", "noise")
    assert datetime.fromisoformat(refused["decided_at"])


def test_of_many_each_is_decided_or_refused_by_itself(house: House) -> None:
    first, second = house.receive("noise", 134, 135)
    house.client.post("/v1/decisions", json={"item_ids": [first], "category": "noise"})
    asked = {"item_ids": [first, second, "0" * 26], "category": "dots"}

    answer = house.client.post("/v1/decisions", json=asked).json()

    assert [one["item_id"] for one in answer["decided"]] == [second]
    assert [(one["item_id"], one["status"]) for one in answer["refused"]] == [(first, 409), ("0" * 26, 404)]


def test_a_decision_taken_back_puts_the_item_back_into_review(house: House) -> None:
    (item_id,) = house.receive("noise", 136)
    decided = house.client.post("/v1/decisions", json={"item_ids": [item_id], "category": "dots"}).json()["decided"]

    answer = house.client.post(
        "/v1/decisions/withdrawals", json={"item_ids": [item_id], "decided_at": decided[0]["decided_at"]}
    )

    assert answer.status_code == 200
    assert item_id in waiting_ids(house)
    assert [path for path in house.installation.paths.review.iterdir() if path.name.startswith(item_id)]


def test_a_decision_whose_file_cannot_be_moved_is_a_success_and_is_carried_out_later(house: House) -> None:
    house.settle_all()
    (item_id,) = house.receive("noise", 180)
    shelf = house.installation.paths.archive
    shelf.rename(shelf.with_name("away"))
    shelf.write_text("a file where a folder must be")

    answer = house.client.post("/v1/decisions", json={"item_ids": [item_id], "category": "noise", "by": "Anna"})
    told = answer.json()
    text = house.client.get("/dashboard", headers={"Accept": "text/html"}).text
    shelf.unlink()
    shelf.with_name("away").rename(shelf)
    house.tend()

    assert answer.status_code == 200
    assert [one["item_id"] for one in told["decided"]] == [item_id]
    assert told["pending"] == [
        {"item_id": item_id, "detail": "in paths.archive a file lies where a folder must be: move that file away"}
    ]
    assert "1 decision is recorded, but its file is not moved yet" in text
    assert "in paths.archive a file lies where a folder must be" in text
    assert item_id not in waiting_ids(house)
    assert [path.name[:26] for path in (shelf / today() / "noise").iterdir() if path.name.startswith(item_id)]
    assert "not moved yet" not in house.client.get("/dashboard", headers={"Accept": "text/html"}).text


def test_what_the_disk_refuses_is_told_in_words(house: House) -> None:
    queue = house.installation.paths.queue
    queue.rename(queue.with_name("away"))
    try:
        answer = house.client.post("/v1/items", content=tiny_jpeg("dots", 1), headers={"Content-Type": "image/png"})
    finally:
        queue.with_name("away").rename(queue)

    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) > 0
    assert answer.json()["detail"].startswith("paths.queue is not there: mount it")


def test_a_decision_that_was_replaced_meanwhile_is_not_taken_back_unseen(house: House) -> None:
    (item_id,) = house.receive("noise", 137)
    mine = house.client.post("/v1/decisions", json={"item_ids": [item_id], "category": "dots"}).json()["decided"]
    house.client.post("/v1/decisions/withdrawals", json={"item_ids": [item_id]})
    house.client.post("/v1/decisions", json={"item_ids": [item_id], "category": "noise", "by": "Ben"})

    answer = house.client.post(
        "/v1/decisions/withdrawals", json={"item_ids": [item_id], "decided_at": mine[0]["decided_at"]}
    )

    assert answer.status_code == 409
    assert answer.json()["refused"][0]["decided_by"] == "Ben"


@pytest.mark.parametrize(
    "asked",
    [
        {"item_ids": ["0" * 26], "category": "dot"},
        {"item_ids": ["0" * 26]},
        {"item_ids": ["0" * 26], "category": "dots", "reject": "retake"},
        {"item_ids": ["0" * 26], "reject": "withdrawn, really"},
        {"item_ids": ["../../etc/passwd"], "category": "dots"},
        {"item_ids": [], "category": "dots"},
        {"item_ids": ["0" * 26], "category": "dots", "by": "a\r\nb"},
        {"item_ids": ["0" * 26], "category": "dots", "colour": "red"},
    ],
)
def test_a_decision_that_cannot_be_is_422(asked: dict[str, object], house: House) -> None:
    answer = house.client.post("/v1/decisions", json=asked)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_unknown_category_names_the_ones_alike(house: House) -> None:
    answer = house.client.post("/v1/decisions", json={"item_ids": ["0" * 26], "category": "dot"})

    assert "did you mean dots" in answer.json()["detail"]


def test_the_reason_withdrawn_cannot_be_given(house: House) -> None:
    (item_id,) = house.receive("noise", 138)

    answer = house.client.post("/v1/decisions", json={"item_ids": [item_id], "reject": "withdrawn"})

    assert answer.status_code == 409
    assert item_id in waiting_ids(house)


def test_two_people_see_what_the_other_looks_at_and_what_has_gone(house: House) -> None:
    first, second = house.receive("noise", 140, 141)
    seen = house.client.get("/v1/review").json()["version"]
    looks = {"client": "a", "by": "Anna", "items": [first, second], "version": seen}
    house.client.post("/v1/review/looks", json=looks)
    house.client.post("/v1/decisions", json={"item_ids": [first], "category": "noise"})

    glance = house.client.post("/v1/review/looks", json={"client": "b", "by": "Ben", "version": seen}).json()

    assert glance["gone"] == [first]
    assert glance["others"][second] == "Anna"
    assert glance["version"] > seen


# --- results, statistics, model


def test_the_results_of_a_day_as_csv_are_the_file_byte_for_byte(house: House) -> None:
    house.receive("stripes", 150)

    answer = house.client.get(f"/v1/results/{today()}", params={"format": "csv"})

    path = house.installation.paths.results / f"returns-{today()}.csv"
    assert answer.content == path.read_bytes()
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == f'attachment; filename="returns-{today()}.csv"'


def test_the_results_of_a_day_as_json_have_types_and_go_on_page_by_page(house: House) -> None:
    house.receive("stripes", 151, 152, 153)
    rows: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = house.client.get(f"/v1/results/{today()}", params={"after": after, "limit": 7}).json()
        rows += page["rows"]
        after = page["next_after"]

    in_file = list(csv.DictReader(io.StringIO(_csv(house, "returns"))))
    assert [row["item_id"] for row in rows] == [row["item_id"] for row in in_file]
    assert list(rows[0]) == list(in_file[0])
    seen = next(row for row in rows if row["category"] is not None)
    assert isinstance(seen["confidence"], float)
    assert isinstance(seen["shortlist"], list)
    assert seen["return_id"] is None


def test_the_decisions_of_a_day_as_json_have_types(house: House) -> None:
    (item_id,) = house.receive("stripes", 155)
    house.client.post("/v1/decisions", json={"item_ids": [item_id], "category": "dots", "by": "Anna"})

    rows = house.client.get(f"/v1/results/{today()}", params={"kind": "decisions", "limit": 5000}).json()["rows"]

    (row,) = (row for row in rows if row["item_id"] == item_id)
    assert (row["decided_by"], row["category"], row["reason"]) == ("Anna", "dots", None)
    assert isinstance(row["confidence"], float)


@pytest.mark.parametrize("format", ["csv", "json"])
@pytest.mark.parametrize("kind", ["returns", "decisions"])
def test_a_day_without_results_is_404_in_either_form(kind: str, format: str, house: House) -> None:
    answer = house.client.get("/v1/results/2020-01-01", params={"kind": kind, "format": format})

    assert answer.status_code == 404
    assert answer.json()["detail"] == f"there are no {kind} of 2020-01-01"


@pytest.mark.parametrize("day", ["..%2F..%2Fetc", "2020-13-01", "today"])
def test_what_is_no_day_is_told(day: str, house: House) -> None:
    answer = house.client.get(f"/v1/results/{day}", params={"format": "csv"})

    assert answer.status_code in (404, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_statistics_add_up(house: House) -> None:
    house.receive("stripes", 160, 161)

    told = house.client.get("/v1/statistics").json()

    assert told["total"]["received"] == len(house.installation.rows())
    assert told["waiting"] == len(waiting_ids(house))
    assert sum(told["categories"].values()) <= told["total"]["received"]
    assert told["running"] is False


def test_the_model_in_force_is_told(house: House) -> None:
    told = house.client.get("/v1/model").json()

    assert told["categories"] == list(CATEGORIES)
    assert told["threshold"] == 1.0
    assert told["card"]["name"] == "tiny"


# --- probes


def test_the_probes_answer(house: House) -> None:
    assert house.client.get("/livez").text == "ok\n"
    ready = house.client.get("/readyz")
    assert (ready.status_code, ready.json()["ready"], ready.json()["worker"]) == (200, True, "stopped")


def test_metrics_count_in_prometheus_form_without_names_of_files(house: House) -> None:
    house.receive("stripes", 170, prefix="secret-name")
    house.client.get("/v1/items/" + "0" * 26)
    house.client.get("/nowhere")

    lines = house.client.get("/metrics").text.splitlines()

    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert float(values['returnsd_items_judged_total{shelf="review"}']) > 0
    assert float(values["returnsd_review_waiting_items"]) == len(waiting_ids(house))
    assert any('route="/v1/items/{item_id}"' in line and 'status="404"' in line for line in lines)
    assert "secret-name" not in "\n".join(lines)
    assert "0" * 26 not in "\n".join(lines)
    assert "/nowhere" not in "\n".join(lines)


def test_what_is_not_there_is_a_problem(house: House) -> None:
    missing, wrong = house.client.get("/v1/nothing"), house.client.delete("/v1/model")

    assert (missing.status_code, wrong.status_code) == (404, 405)
    assert missing.headers["content-type"] == wrong.headers["content-type"] == "application/problem+json"


def test_after_all_of_this_nothing_is_lost(house: House) -> None:
    from returnsd.audit import audit

    house.installation.work()

    report = audit(house.installation.spool, house.installation.ledger)

    assert report.faults == []

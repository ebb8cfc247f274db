"""The former system's API: a client written for it gets what it expects."""

import base64
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import CATEGORIES, tiny_jpeg
from tests.web import House, open_house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("former"), tiny) as opened:
        yield opened


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_health_tells_status_time_and_model(house: House) -> None:
    answer = house.client.get("/health")

    told = answer.json()
    assert answer.status_code == 200
    assert told["status"] == "healthy"
    assert datetime.fromisoformat(told["timestamp"])
    assert told["model_info"]["classes"] == list(CATEGORIES)


def test_a_picture_is_answered_with_predictions_from_the_threshold_up_and_with_all(house: House) -> None:
    answer = house.client.post(
        "/predict", json={"image": in_base64(tiny_jpeg("stripes", 1)), "confidence_threshold": 0.3}
    )

    told = answer.json()
    assert answer.status_code == 200
    assert sorted(told) == ["all_predictions", "confidence_threshold", "predictions", "timestamp"]
    assert told["confidence_threshold"] == 0.3
    assert told["predictions"][0]["category"] == "stripes"
    assert all(entry["confidence"] >= 0.3 for entry in told["predictions"])
    confidences = [entry["confidence"] for entry in told["all_predictions"]]
    assert confidences == sorted(confidences, reverse=True)
    assert sum(confidences) == pytest.approx(1.0, abs=1e-4)
    assert {entry["category"] for entry in told["all_predictions"]} == set(CATEGORIES)


def test_without_a_threshold_it_is_0_3(house: House) -> None:
    told = house.client.post("/predict", json={"image": in_base64(tiny_jpeg("dots", 1))}).json()

    assert told["confidence_threshold"] == 0.3


def test_a_threshold_above_all_leaves_no_prediction(house: House) -> None:
    asked = {"image": in_base64(tiny_jpeg("dots", 1)), "confidence_threshold": 1}

    told = house.client.post("/predict", json=asked).json()

    assert told["predictions"] == []
    assert len(told["all_predictions"]) == len(CATEGORIES)


def test_a_data_url_and_broken_lines_are_understood(house: House) -> None:
    text = in_base64(tiny_jpeg("stripes", 2))
    lines = "\n".join(text[start : start + 76] for start in range(0, len(text), 76))

    told = house.client.post("/predict", json={"image": "data:image/jpeg;base64," + lines}).json()

    assert told["all_predictions"][0]["category"] == "stripes"


def test_a_batch_is_answered_in_its_order(house: House) -> None:
    images = [in_base64(tiny_jpeg("stripes", seed)) for seed in range(20)]

    answer = house.client.post("/predict/batch", json={"images": images, "confidence_threshold": 0.5})

    told = answer.json()
    assert answer.status_code == 200
    assert sorted(told) == ["batch_size", "confidence_threshold", "predictions", "timestamp"]
    assert (told["batch_size"], len(told["predictions"]), told["confidence_threshold"]) == (20, 20, 0.5)
    assert all(entry["all_predictions"][0]["category"] == "stripes" for entry in told["predictions"])
    assert all(e["confidence"] >= 0.5 for entry in told["predictions"] for e in entry["filtered_predictions"])


def test_one_bad_picture_spoils_only_its_own_entry(house: House) -> None:
    good = in_base64(tiny_jpeg("stripes", 1))

    told = house.client.post("/predict/batch", json={"images": [good, "???", in_base64(b"no"), 7, good]}).json()

    entries = told["predictions"]
    assert ["error" in entry for entry in entries] == [False, True, True, True, False]
    assert entries[1]["filtered_predictions"] == entries[1]["all_predictions"] == []
    assert entries[4]["all_predictions"][0]["category"] == "stripes"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"[]",
        b"{}",
        b'{"image": 7}',
        b'{"image": ""}',
        b'{"image": "????"}',
        b'{"image": "bm8gcGljdHVyZQ=="}',
        b'{"image": "\\ud800"}',
        b'{"image": "bm8=", "confidence_threshold": "high"}',
        b'{"image": "bm8=", "confidence_threshold": 2}',
        b'{"image": "bm8=", "confidence_threshold": NaN}',
        b'{"image": "bm8=", "confidence_threshold": true}',
        b"[" * 100_000,
    ],
)
def test_what_cannot_be_answered_is_an_error_with_400(body: bytes, house: House) -> None:
    answer = house.client.post("/predict", content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    assert answer.json()["error"]


@pytest.mark.parametrize(
    "asked", [{"images": []}, {"images": "one"}, {"image": "bm8="}, {"images": ["bm8="] * 1001}]
)
def test_a_batch_of_nothing_or_too_much_is_an_error(asked: dict[str, Any], house: House) -> None:
    answer = house.client.post("/predict/batch", json=asked)

    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]


def test_a_wrong_method_is_an_error_too(house: House) -> None:
    answer = house.client.get("/predict")

    assert answer.status_code == 405
    assert list(answer.json()) == ["error"]

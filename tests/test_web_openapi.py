"""The API does what its OpenAPI says: whatever is asked, the answer is one that is described."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.tiny import tiny_jpeg
from tests.web import TOKEN, House, open_house

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")
checks = pytest.importorskip("schemathesis.checks")

KNOWN = {"Authorization": f"Bearer {TOKEN}"}
OPERATIONS = [
    ("GET", "/livez"), ("GET", "/readyz"), ("GET", "/metrics"), ("GET", "/health"), ("POST", "/predict"),
    ("POST", "/predict/batch"), ("POST", "/v1/predict"), ("POST", "/v1/items"), ("GET", "/v1/items"),
    ("GET", "/v1/items/{item_id}"), ("GET", "/v1/items/{item_id}/preview"), ("GET", "/v1/review"),
    ("GET", "/v1/audit"), ("POST", "/v1/review/looks"), ("POST", "/v1/decisions"),
    ("POST", "/v1/decisions/withdrawals"), ("GET", "/v1/results/{day}"), ("GET", "/v1/statistics"),
    ("GET", "/v1/model"),
]  # fmt: skip
WITHOUT_ARGUMENTS = ("/livez", "/readyz", "/metrics", "/health", "/v1/model")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("openapi"), tiny, threshold=1.0, token=TOKEN) as opened:
        for number in range(6):
            opened.installation.drop(f"{number}.jpg", tiny_jpeg(("dots", "stripes")[number % 2], number))
        opened.installation.work()
        yield opened


@pytest.fixture(scope="module")
def described(house: House) -> Any:
    return schemathesis.openapi.from_url(str(house.client.base_url) + "/openapi.json", headers=KNOWN)


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=["well-formed", "malformed"])
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_every_answer_is_one_that_is_described(method: str, path: str, mode: Any, described: Any) -> None:
    if mode is schemathesis.GenerationMode.NEGATIVE and path in WITHOUT_ARGUMENTS:
        return  # there is nothing to get wrong

    @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(case=described[path][method].as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        # what is well-formed may still be refused: a category that there is not, a picture that is none;
        # and what is not described is passed over, as everywhere on the web
        excluded = [checks.positive_data_acceptance, checks.negative_data_rejection]
        case.call_and_validate(headers=KNOWN, excluded_checks=excluded)

    ask()


def test_everything_is_described(house: House) -> None:
    document = house.client.get("/openapi.json").json()

    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation["description"], f"{method} {path}"
            assert operation["tags"], f"{method} {path}"
            for parameter in operation.get("parameters", []):
                assert parameter.get("description"), f"{method} {path}: {parameter['name']}"
            for status, response in operation["responses"].items():
                assert status < "400" or len(response.get("content", {})) <= 1, f"{method} {path}: {status}"
    for name, schema in document["components"]["schemas"].items():
        for member, told in schema.get("properties", {}).items():
            assert told.get("description"), f"{name}.{member}"
    found = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert found == set(OPERATIONS)

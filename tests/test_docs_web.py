"""The pages about the review page and the API say what is there."""

import re

from tests.conftest import ROOT

OPERATORS = (ROOT / "docs/operators.md").read_text(encoding="utf-8")
API = (ROOT / "docs/api.md").read_text(encoding="utf-8")
SOURCES = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "returnsd").rglob("*.py")))
PAGE = (ROOT / "returnsd/web/templates/review.html").read_text(encoding="utf-8")


def test_every_metric_that_is_described_exists_and_the_other_way_round() -> None:
    described = set(re.findall(r"`((?:returnsd|process)_\w+)", API))

    for name in described:
        assert f'"{name}"' in SOURCES, name
    for name in re.findall(
        r'"(returnsd_[a-z_]+_(?:total|items|files|bytes|up|paused|info|ratio|seconds))"', SOURCES
    ):
        assert name in described, name


def test_every_path_that_is_described_exists() -> None:
    for path in re.findall(r"(?:GET|POST) (/[\w/{}]+)", API):
        last = path.removeprefix("/v1").replace("{id}", "{item_id}")
        assert f'"{last}"' in SOURCES or re.match(r"/results/", last), path


def test_every_event_of_the_page_is_described() -> None:
    described = (ROOT / "docs/administrators.md").read_text(encoding="utf-8")
    web = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "returnsd/web").glob("*.py")))

    for event in re.findall(r'(?:log|_log)\.\w+\(\s*"(\w+)"|_tell\w*\((?:[^"\n]*, )?"(\w+_\w+)"', web):
        name = event[0] or event[1]
        assert f"`{name}`" in described, name


def test_the_keys_of_the_page_are_described() -> None:
    for key in (".", "-", "0", "Space", "Enter", "Esc"):
        assert f"<kbd>{key}</kbd>" in PAGE
        assert f"`{key}`" in OPERATORS


def test_the_picture_of_the_page_is_there_and_small() -> None:
    assert "(review.png)" in OPERATORS
    assert 20_000 < (ROOT / "docs/review.png").stat().st_size < 200_000

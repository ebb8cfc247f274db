"""Exploring finds what is wrong with labelled pictures, and changes nothing."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.shop import CATEGORIES, draw_shop, shop_jpeg, shop_picture
from training import explore, labels
from training.explore import Findings
from training.labels import Labelled
from training.pages import exploration


def explored(source: Path, *more: Labelled) -> Findings:
    return explore.explore([*labels.read(source, None, "", "")[0], *more], ["line 9: x.jpg is not there"])


def names(findings: Findings, numbers: tuple[int, ...]) -> set[str]:
    return {
        f"{Path(findings.looks[number].path).parent.name}/{Path(findings.looks[number].path).name}"
        for number in numbers
    }


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return draw_shop(tmp_path / "shop", 12, CATEGORIES[:4])


def test_clean_pictures_are_counted_and_nothing_is_found(shop: Path) -> None:
    findings = explored(shop)

    assert findings.labels == dict.fromkeys(CATEGORIES[:4], 12)
    assert {(look.format, look.width, look.height) for look in findings.looks} == {("jpeg", 100, 100)}
    assert not findings.unreadable
    assert not findings.identical + findings.alike + findings.conflicting + findings.placeholders + findings.leaking


def test_identical_and_nearly_identical_pictures_are_told_apart(shop: Path) -> None:
    (shop / "Mugs/same.jpg").write_bytes(shop_jpeg("Mugs", 0))
    smaller = cv2.resize(shop_picture("Books", 1), (80, 80), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(shop / "Books/smaller.jpg"), smaller, [cv2.IMWRITE_JPEG_QUALITY, 60])

    findings = explored(shop)

    assert [names(findings, one) for one in findings.identical] == [{"Mugs/000.jpg", "Mugs/same.jpg"}]
    assert [names(findings, one) for one in findings.alike] == [{"Books/001.jpg", "Books/smaller.jpg"}]


def test_one_picture_under_two_labels_is_a_contradiction_and_under_three_a_placeholder(shop: Path) -> None:
    (shop / "Mugs/ball.jpg").write_bytes(shop_jpeg("Balls", 3))
    for category in CATEGORIES[:4]:
        cv2.imwrite(str(shop / category / "none.png"), np.full((90, 90, 3), 255, np.uint8))

    findings = explored(shop)

    assert [names(findings, one) for one in findings.conflicting] == [{"Balls/003.jpg", "Mugs/ball.jpg"}]
    assert [names(findings, one) for one in findings.placeholders] == [
        {f"{category}/none.png" for category in CATEGORIES[:4]}
    ]


def test_blank_pictures_of_several_sizes_are_one_placeholder(shop: Path) -> None:
    for side, category in zip((1, 50, 300), CATEGORIES[:3], strict=True):
        cv2.imwrite(str(shop / category / "blank.png"), np.full((side, side, 3), 255, np.uint8))

    assert len(explored(shop).placeholders[0]) == 3


def test_two_plain_pictures_of_different_colours_are_different(shop: Path) -> None:
    for name, colour in (("red", (0, 0, 255)), ("blue", (255, 0, 0))):
        cv2.imwrite(str(shop / f"Mugs/{name}.png"), np.full((50, 50, 3), colour, np.uint8))

    assert not explored(shop).alike


def test_the_same_picture_on_two_sides_of_given_splits_is_a_leak(shop: Path) -> None:
    pictures = [
        Labelled(shop / "Mugs/000.jpg", "Mugs", "train"),
        Labelled(shop / "Mugs/000.jpg", "Mugs", "test"),
        Labelled(shop / "Mugs/001.jpg", "Mugs", "train"),
        Labelled(shop / "Mugs/001.jpg", "Mugs", "train"),
    ]

    findings = explore.explore(pictures, [])

    assert findings.leaking == ((0, 1),)
    assert "2 in sets on several sides of the given splits" in explore.summary(findings)


def test_unreadable_and_missing_pictures_are_listed_with_their_reasons(shop: Path) -> None:
    (shop / "Mugs/half.jpg").write_bytes(shop_jpeg("Mugs", 0)[:-300])
    (shop / "Mugs/text.jpg").write_text("no picture")

    findings = explored(shop, Labelled(shop / "Mugs/gone.jpg", "Mugs"))

    reasons = {Path(look.path).name: look.reason.split(":")[0] for look in findings.unreadable}
    assert reasons == {"half.jpg": "incomplete", "text.jpg": "not_a_picture", "gone.jpg": "missing"}


def test_labels_that_differ_only_in_spelling_are_named(tmp_path: Path) -> None:
    source = draw_shop(tmp_path / "shop", 1, ("Mugs",))
    pictures = [Labelled(source / "Mugs/000.jpg", label) for label in ("Mugs", "mugs ", "Books", "+", "-")]

    assert explore.explore(pictures, []).spelt_alike == (("Mugs", "mugs "),)


def test_several_processes_find_the_same(shop: Path) -> None:
    pictures = labels.read(shop, None, "", "")[0]

    assert explore.explore(pictures, [], jobs=2) == explore.explore(pictures, [], jobs=1)


def test_the_report_shows_every_category_and_what_is_wrong(shop: Path) -> None:
    (shop / "Mugs/ball.jpg").write_bytes(shop_jpeg("Balls", 3))
    (shop / "Mugs/half.jpg").write_bytes(shop_jpeg("Mugs", 0)[:-300])
    (shop / "Few").mkdir()
    for seed in range(3):
        (shop / f"Few/{seed}.jpg").write_bytes(shop_jpeg("Rings & Chains", seed))

    text = exploration.page(explored(shop), str(shop), 1).html()

    for words in (
        *CATEGORIES[:4],
        "Contradicting labels",
        "Identical pictures",
        "incomplete",
        "x.jpg is not there",
    ):
        assert words in text
    assert "Too few pictures to be learnt at all (fewer than 8): Few (3)." in text
    assert text.count('class="sheet"') == 5


def test_one_category_only_is_said(tmp_path: Path) -> None:
    findings = explored(draw_shop(tmp_path / "shop", 2, ("Mugs",)))

    assert "There is one category only" in exploration.page(findings, "shop", 1).html()


def test_the_report_of_nothing_readable_can_be_made(tmp_path: Path) -> None:
    findings = explore.explore([Labelled(tmp_path / "gone.jpg", "Mugs")], [])

    assert "Unreadable" in exploration.page(findings, "shop", 1).html()

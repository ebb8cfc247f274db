"""The manifest: cleaned by rules that are counted, split by content, the originals untouched."""

from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.shop import CATEGORIES, draw_shop, shop_jpeg, shop_picture
from training import labels, prepare
from training.labels import DataError, Labelled
from training.pages import steps
from training.prepare import SPLITS, Entry


def labelled(source: Path) -> list[Labelled]:
    return labels.read(source, None, "", "")[0]


def put(source: Path, name: str, data: bytes) -> Path:
    (source / name).parent.mkdir(parents=True, exist_ok=True)
    (source / name).write_bytes(data)
    return source / name


def entry_of(entries: list[Entry], path: Path) -> Entry:
    return next(entry for entry in entries if entry.path == str(path))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of all categories, 40 each; tests that add some take their own."""
    return draw_shop(tmp_path_factory.mktemp("prepare") / "shop", 40)


@pytest.fixture(scope="module")
def entries(shop: Path) -> list[Entry]:
    return prepare.prepare(labelled(shop), seed=1)


def test_every_picture_has_one_line_and_every_category_all_splits(entries: list[Entry]) -> None:
    splits = Counter((entry.label, entry.split) for entry in entries)

    assert len({entry.path for entry in entries}) == len(entries) == 40 * len(CATEGORIES)
    for category in CATEGORIES:
        assert [splits[category, split] for split in SPLITS] == [29, 2, 4, 5]


def test_the_same_seed_gives_the_same_splits_and_another_seed_others(shop: Path, entries: list[Entry]) -> None:
    assert prepare.prepare(labelled(shop), seed=1, jobs=2) == entries
    assert prepare.prepare(labelled(shop), seed=2) != entries


def test_where_the_pictures_lie_does_not_change_the_splits(tmp_path: Path) -> None:
    here, there = draw_shop(tmp_path / "a", 10), draw_shop(tmp_path / "deep/b", 10)

    first, second = (
        {(entry.sha256, entry.split) for entry in prepare.prepare(labelled(source), seed=1)}
        for source in (here, there)
    )

    assert first == second


def test_no_content_is_on_two_sides(tmp_path: Path) -> None:
    source = draw_shop(tmp_path / "shop", 20, CATEGORIES[:2])
    for seed in range(20):  # the same picture again as another file
        again = cv2.imdecode(np.frombuffer(shop_jpeg("Balls", seed), np.uint8), cv2.IMREAD_COLOR)
        put(source, f"Balls/again-{seed}.png", cv2.imencode(".png", again)[1].tobytes())

    entries = prepare.prepare(labelled(source), seed=1)

    sides: dict[str, set[str]] = defaultdict(set)
    for entry in entries:
        if entry.split:
            sides[entry.group].add(entry.split)
    assert all(len(side) == 1 for side in sides.values())
    assert sum(entry.left_out == "a copy of another picture" for entry in entries) == 20


def test_a_copy_is_left_out_and_one_of_them_is_kept(tmp_path: Path) -> None:
    source = draw_shop(tmp_path / "shop", 10, CATEGORIES[:2])
    copy = put(source, "Balls/copy.jpg", shop_jpeg("Balls", 0))

    entries = prepare.prepare(labelled(source), seed=1)

    pair = [entry_of(entries, copy), entry_of(entries, source / "Balls/000.jpg")]
    assert sorted(entry.left_out for entry in pair) == ["", "a copy of another picture"]


def test_one_picture_under_two_labels_is_left_out_under_both(tmp_path: Path) -> None:
    source = draw_shop(tmp_path / "shop", 10, CATEGORIES[:2])
    wrong = put(source, "Books/ball.jpg", shop_jpeg("Balls", 0))

    entries = prepare.prepare(labelled(source), seed=1)

    for path in (wrong, source / "Balls/000.jpg"):
        assert entry_of(entries, path).left_out == "same picture under 2 labels"
        assert entry_of(entries, path).split == ""


def test_an_unreadable_picture_is_left_out_with_its_reason(tmp_path: Path) -> None:
    source = draw_shop(tmp_path / "shop", 10, CATEGORIES[:2])
    half = put(source, "Balls/half.jpg", shop_jpeg("Balls", 99)[:-200])
    gone = source / "Balls/gone.jpg"

    entries = prepare.prepare([*labelled(source), Labelled(gone, "Balls")], seed=1)

    assert entry_of(entries, half).left_out.startswith("unreadable: ")
    assert entry_of(entries, gone).left_out.startswith("unreadable: ")


def test_a_category_with_three_pictures_is_left_out_and_the_rest_goes_on(tmp_path: Path) -> None:
    source = draw_shop(tmp_path / "shop", 10, CATEGORIES[:2])
    for seed in range(3):
        put(source, f"Mugs/{seed}.jpg", shop_jpeg("Mugs", seed))

    entries = prepare.prepare(labelled(source), seed=1)

    assert {entry.left_out for entry in entries if entry.label == "Mugs"} == {"fewer than 8 pictures of Mugs"}
    assert {entry.label for entry in entries if entry.split} == set(CATEGORIES[:2])


def test_the_smallest_category_still_has_a_picture_in_every_split(tmp_path: Path) -> None:
    source = draw_shop(tmp_path / "shop", prepare.FEWEST, CATEGORIES[:2])

    entries = prepare.prepare(labelled(source), seed=1)

    splits = Counter((entry.label, entry.split) for entry in entries)
    assert all(splits[category, split] >= 1 for category in CATEGORIES[:2] for split in SPLITS)
    assert all(splits[category, "train"] == 5 for category in CATEGORIES[:2])


@pytest.mark.parametrize("categories", [CATEGORIES[:1], ()])
def test_one_category_or_none_is_a_clear_error(categories: tuple[str, ...], tmp_path: Path) -> None:
    source = draw_shop(tmp_path / "shop", 10, categories) if categories else tmp_path
    pictures = labelled(source) if categories else []

    with pytest.raises(DataError, match="at least two categories with 8 usable pictures each are needed"):
        prepare.prepare(pictures, seed=1)


def test_the_originals_are_not_touched(tmp_path: Path) -> None:
    source = draw_shop(tmp_path / "shop", 10, CATEGORIES[:2])
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in source.rglob("*.jpg")}

    prepare.prepare(labelled(source), seed=1)

    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in source.rglob("*.jpg")} == before


def test_a_manifest_is_read_back_as_it_was_written(entries: list[Entry], tmp_path: Path) -> None:
    strange = [*entries, Entry('/a\udcff, "b"\n.jpg', "Mugs", "", "", "", "unreadable: empty")]

    prepare.write(strange, tmp_path / "manifest.csv")

    assert prepare.read(tmp_path / "manifest.csv") == strange


@pytest.mark.parametrize("text", [None, "a,b\n1,2\n"])
def test_without_a_manifest_the_error_says_what_to_run(text: str | None, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "manifest.csv").write_text(text)

    with pytest.raises(DataError, match="run `python -m training prepare` first"):
        prepare.read(tmp_path / "manifest.csv")


GOOD = "a.jpg,Mugs,1,1,train,"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("b.jpg,Mugs,2,2,trian,", "line 3: 'trian' is no split"),
        ("b.jpg,,2,2,test,", "line 3: no label"),
        ("b.jpg,Mugs,1,1,test,", "the content of b.jpg is in train and in test"),
        ("b.jpg,Mugs,2", "line 3: it has not as many values"),
        ("b.jpg,Mugs,2,2,test,,more", "line 3: it has not as many values"),
    ],
)
def test_a_manifest_that_was_edited_wrongly_is_refused(line: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(f"path,label,sha256,group,split,left_out\n{GOOD}\n{line}\n")

    with pytest.raises(DataError, match=said):
        prepare.read(tmp_path / "manifest.csv")


def test_a_reason_to_leave_a_picture_out_leaves_it_out(tmp_path: Path) -> None:
    lines = f"path,label,sha256,group,split,left_out\n{GOOD}\nb.jpg,Mugs,2,2,train,blurred\n"
    (tmp_path / "manifest.csv").write_text(lines)

    assert [entry.split for entry in prepare.read(tmp_path / "manifest.csv")] == ["train", ""]


def test_pictures_that_differ_have_different_appearances() -> None:
    groups = {
        prepare.group_of(*prepare.appearance(shop_picture(category, seed)))
        for category in CATEGORIES
        for seed in range(30)
    }

    assert len(groups) == 30 * len(CATEGORIES)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 500, 3), (100, 100, 3)])
def test_a_blank_picture_has_an_appearance(shape: tuple[int, ...]) -> None:
    blank: NDArray[np.uint8] = np.full(shape, 255, np.uint8)

    assert prepare.appearance(blank) == (bytes(64), bytes([15, 15, 15]))


def test_the_report_counts_every_rule(tmp_path: Path) -> None:
    source = draw_shop(tmp_path / "shop", 10, CATEGORIES[:2])
    put(source, "Balls/half.jpg", shop_jpeg("Balls", 99)[:-200])
    put(source, "Balls/copy.jpg", shop_jpeg("Balls", 0))
    put(source, "Mugs/0.jpg", shop_jpeg("Mugs", 0))
    entries = prepare.prepare(labelled(source), seed=1)

    text = steps.prepared(entries, ["line 2: x.jpg is not there"], 1).html()

    for rule in steps.RULES:
        assert rule in text
    assert {entry.left_out for entry in entries} >= {
        "",
        "a copy of another picture",
        "fewer than 8 pictures of Mugs",
    }
    assert all(any(entry.left_out.startswith(rule) for rule in steps.RULES) for entry in entries if entry.left_out)
    assert "line 2: x.jpg is not there" in text
    assert prepare.summary(entries)[0].startswith("23 pictures, 20 kept: train")

"""Labels: a CSV of any columns beside a folder, or one folder a category; faults come with their remedy."""

import csv
import os
from pathlib import Path

import pytest

from training import labels
from training.labels import DataError, Labelled


def pictures(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def table(path: Path, *rows: tuple[str, ...], header: tuple[str, ...] = ("ImgId", "categories")) -> Path:
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def found(source: Path | None, csv_file: Path) -> list[Labelled]:
    return labels.read(source, csv_file, "ImgId", "categories")[0]


# --- one folder a category


def test_each_folder_is_a_category(tmp_path: Path) -> None:
    source = pictures(
        tmp_path, "Toys/b.jpg", "Toys/a.PNG", "Books/deep/c.webp", "Books/notes.txt", ".git/d.jpg", "e.jpg"
    )

    read, faults = labels.read(source, None, "", "")

    assert read == [
        Labelled(source / "Books/deep/c.webp", "Books"),
        Labelled(source / "Toys/a.PNG", "Toys"),
        Labelled(source / "Toys/b.jpg", "Toys"),
    ]
    assert faults == []


def test_a_folder_without_folders_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no folders with pictures: give --csv, or one folder a category"):
        labels.read(pictures(tmp_path, "a.jpg"), None, "", "")


def test_a_folder_that_is_none_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere is no folder"):
        labels.read(tmp_path / "nowhere", None, "", "")


def test_without_folder_and_table_the_error_says_what_to_give() -> None:
    with pytest.raises(DataError, match="name a folder of one folder a category, or give --csv"):
        labels.read(None, None, "", "")


def test_a_folder_that_no_bundle_could_name_a_category_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"Spielzeug\xff")
    pictures(folder, "a.jpg")

    with pytest.raises(DataError, match="is no name for a category: rename the folder"):
        labels.read(tmp_path, None, "", "")


# --- a table


def test_a_table_names_pictures_by_name_stem_or_path(tmp_path: Path) -> None:
    source = pictures(tmp_path / "p", "1.jpg", "deep/2.png", "deep/3.jpg")

    read = found(
        source, table(tmp_path / "t.csv", ("1.jpg", "A"), ("2", "B"), ("deep/3.jpg", "A"), ("other/2.png", "C"))
    )

    assert read == [
        Labelled(source / "1.jpg", "A"),
        Labelled(source / "deep/2.png", "B"),
        Labelled(source / "deep/3.jpg", "A"),
        Labelled(source / "deep/2.png", "C"),
    ]


def test_a_path_below_the_folder_wins_over_a_file_of_that_name_elsewhere(tmp_path: Path) -> None:
    source = pictures(tmp_path / "p", "1/a.jpg", "2/a.jpg")

    read = found(source, table(tmp_path / "t.csv", ("1/a.jpg", "A"), ("2/a.jpg", "B")))

    assert [one.path for one in read] == [source / "1/a.jpg", source / "2/a.jpg"]


def test_absolute_paths_need_no_folder(tmp_path: Path) -> None:
    elsewhere = pictures(tmp_path / "shelf", "a.jpg") / "a.jpg"
    (tmp_path / "tables").mkdir()

    read = found(None, table(tmp_path / "tables/t.csv", (str(elsewhere), "A")))

    assert read == [Labelled(elsewhere, "A")]


def test_an_absolute_path_that_is_gone_is_not_looked_for_by_its_name(tmp_path: Path) -> None:
    source = pictures(tmp_path / "p", "a.jpg", "b.jpg")

    read, faults = labels.read(
        source, table(tmp_path / "t.csv", ("/gone/a.jpg", "A"), ("b.jpg", "B")), "ImgId", "categories"
    )

    assert [one.path.name for one in read] == ["b.jpg"]
    assert faults == [f"line 2: /gone/a.jpg is not in {source}"]


def test_a_path_that_is_no_text_is_found(tmp_path: Path) -> None:
    source = pictures(tmp_path / "p", os.fsdecode(b"\xff.jpg"))

    read = found(source, table(tmp_path / "t.csv", (os.fsdecode(b"\xff.jpg"), "A")))

    assert read[0].path.is_file()


def test_any_columns_will_do_and_a_split_may_be_among_them(tmp_path: Path) -> None:
    source = pictures(tmp_path / "p", "a.jpg")
    csv_file = table(tmp_path / "t.csv", ("x", "A", "a.jpg", "test"), header=("id", "kind", "file", "side"))

    read, _ = labels.read(source, csv_file, "file", "kind", "side")

    assert read == [Labelled(source / "a.jpg", "A", "test")]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (("ImgId", "kind", None), "has no column ImgId; it has file, kind: give --image-column"),
        (("file", "x", None), "has no column x; it has file, kind: give --label-column"),
        (
            ("a", "b", "c"),
            "has no column a or b or c; .* give --image-column and --label-column and --split-column",
        ),
    ],
)
def test_missing_columns_are_named_with_what_there_is(
    columns: tuple[str, str, str | None], message: str, tmp_path: Path
) -> None:
    csv_file = table(tmp_path / "t.csv", ("a.jpg", "A"), header=("file", "kind"))

    with pytest.raises(DataError, match=message):
        labels.read(pictures(tmp_path / "p", "a.jpg"), csv_file, *columns)


def test_lines_without_picture_or_label_are_listed_by_number(tmp_path: Path) -> None:
    source = pictures(tmp_path / "p", "a.jpg", "b.jpg")
    csv_file = table(tmp_path / "t.csv", ("a.jpg", "A"), ("gone.jpg", "A"), ("b.jpg", ""), ("", "A"), ("\0", "A"))

    read, faults = labels.read(source, csv_file, "ImgId", "categories")

    assert len(read) == 1
    assert faults == [
        f"line 3: gone.jpg is not in {source}",
        "line 4: b.jpg has no label",
        "line 5: no picture is named",
        f"line 6: \0 is not in {source}",
    ]


def test_a_table_of_unknown_files_only_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="names no picture in"):
        found(pictures(tmp_path / "p", "a.jpg"), table(tmp_path / "t.csv", ("b.jpg", "A")))


def test_a_table_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"t\.csv cannot be read"):
        found(pictures(tmp_path / "p", "a.jpg"), tmp_path / "t.csv")


def test_a_table_in_another_encoding_is_refused_before_its_labels_are_learnt(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("ImgId,categories\na.jpg,Spielzeug für Kinder\n".encode("latin-1"))

    with pytest.raises(DataError, match=r"t\.csv, line 2: .* save it as UTF-8 text"):
        found(pictures(tmp_path / "p", "a.jpg"), tmp_path / "t.csv")


def test_a_spreadsheets_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfImgId,categories\r\na.jpg,A\r\n")

    assert len(found(pictures(tmp_path / "p", "a.jpg"), tmp_path / "t.csv")) == 1

"""Labelled pictures as people keep them: a CSV beside a folder, or one folder a category."""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from returnsd.errors import ReturnsdError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".gif")


class DataError(ReturnsdError):
    """The training data cannot be used as given; the message names what and the remedy."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """One picture and what someone says it shows; `split` where they had split their pictures already."""

    path: Path
    label: str
    split: str = ""


def read(
    source: Path | None,
    csv_file: Path | None,
    image_column: str,
    label_column: str,
    split_column: str | None = None,
) -> tuple[list[Labelled], list[str]]:
    """Return the labelled pictures of a folder, and a line for each that is missing.

    :param source: a folder of pictures that `csv_file` names, or, without one, a folder with a folder a category.
        Not needed for a CSV of absolute paths; relative ones are then taken from beside the CSV.
    """
    if source is None and csv_file is None:
        raise DataError("no pictures are given: name a folder of one folder a category, or give --csv")
    if source is not None and not source.is_dir():
        raise DataError(f"{source} is no folder")
    if csv_file is None:
        assert source is not None  # checked above
        found = list(_folders(source))
        if not found:
            raise DataError(f"{source} holds no folders with pictures: give --csv, or one folder a category")
        return found, []
    return _table(source or csv_file.parent, csv_file, image_column, label_column, split_column)


def _folders(source: Path) -> Iterator[Labelled]:
    for folder in sorted(path for path in source.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if not _names_a_category(folder.name):
            raise DataError(f"{folder.name!r} in {source} is no name for a category: rename the folder")
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                yield Labelled(path, folder.name)


def _names_a_category(label: str) -> bool:
    """Say whether a bundle takes it: text that can name a folder."""
    return label.isprintable() and label not in (".", "..") and len(label.encode()) <= 255


def _table(
    source: Path, csv_file: Path, image_column: str, label_column: str, split_column: str | None
) -> tuple[list[Labelled], list[str]]:
    wanted = [image_column, label_column, *([split_column] if split_column is not None else [])]
    options = dict(zip(wanted, ("--image-column", "--label-column", "--split-column"), strict=False))
    try:
        # surrogates: a path may hold bytes that are no UTF-8
        with csv_file.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as lines:
            reader = csv.DictReader(lines)
            columns = reader.fieldnames or []
            missing = [name for name in wanted if name not in columns]
            if missing:
                other = " (its columns seem to be parted by other signs than commas)" if len(columns) == 1 else ""
                raise DataError(
                    f"{csv_file} has no column {' or '.join(missing)}; it has {', '.join(columns)}{other}:"
                    f" give {' and '.join(options[name] for name in missing)}"
                )
            rows = [tuple(row[name] or "" for name in wanted) for row in reader]
    except (OSError, csv.Error) as error:
        raise DataError(f"{csv_file} cannot be read: {error}") from error
    find = _finder(source)
    found, faults = [], []
    for number, (name, label, *split) in enumerate(rows, 2):
        if not name:
            faults.append(f"line {number}: no picture is named")
        elif not label:
            faults.append(f"line {number}: {name} has no label")
        elif not _names_a_category(label):
            raise DataError(
                f"{csv_file}, line {number}: {label!r} is no name for a category: save it as UTF-8 text"
            )
        elif (path := find(name)) is None:
            faults.append(f"line {number}: {name} is not in {source}")
        else:
            found.append(Labelled(path, label, *split))
    if not found:
        raise DataError(f"{csv_file} names no picture in {source}")
    return found, faults


def _finder(source: Path) -> Callable[[str], Path | None]:
    """Return what finds a file by its path (absolute or below source) or, anywhere below, by its name or stem."""
    by_name: dict[str, Path] = {}

    def find(name: str) -> Path | None:
        exact = source / name
        if "\0" not in name and exact.is_file():
            return exact
        if Path(name).is_absolute():
            return None
        if not by_name:  # a walk over all, which absolute paths can do without
            files = [path for path in sorted(source.rglob("*")) if path.is_file()]
            by_name.update({path.stem: path for path in files} | {path.name: path for path in files})
        return by_name.get(Path(name).name)

    return find

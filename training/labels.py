"""Labelled pictures as people keep them: a CSV beside a folder, or one folder a category."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from returnsd.errors import ReturnsdError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".gif")


class DataError(ReturnsdError):
    """The training data cannot be used as given; the message names what and the remedy."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """One picture and what someone says it shows."""

    path: Path
    label: str


def read(
    source: Path, csv_file: Path | None, image_column: str, label_column: str
) -> tuple[list[Labelled], list[str]]:
    """Return the labelled pictures of a folder, and a line for each that is missing.

    :param source: a folder of pictures that `csv_file` names, or, without one, a folder with a folder a category.
    """
    if not source.is_dir():
        raise DataError(f"{source} is no folder")
    if csv_file is None:
        found = list(_folders(source))
        if not found:
            raise DataError(f"{source} holds no folders with pictures: give --csv, or one folder a category")
        return found, []
    return _table(source, csv_file, image_column, label_column)


def _folders(source: Path) -> Iterator[Labelled]:
    for folder in sorted(path for path in source.iterdir() if path.is_dir()):
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in SUFFIXES and path.is_file():
                yield Labelled(path, folder.name)


def _table(source: Path, csv_file: Path, image_column: str, label_column: str) -> tuple[list[Labelled], list[str]]:
    try:
        with csv_file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines)
            columns = reader.fieldnames or []
            missing = [name for name in (image_column, label_column) if name not in columns]
            if missing:
                raise DataError(
                    f"{csv_file} has no column {' or '.join(missing)}; it has {', '.join(columns)}:"
                    " give --image-column and --label-column"
                )
            rows = [(row[image_column] or "", row[label_column] or "") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{csv_file} cannot be read: {error}") from error
    by_name = {path.name: path for path in source.rglob("*") if path.is_file()}
    by_stem = {path.stem: path for path in by_name.values()}
    found, faults = [], []
    for number, (name, label) in enumerate(rows, 2):
        path = by_name.get(Path(name).name) or by_stem.get(Path(name).name)
        if not label:
            faults.append(f"line {number}: {name} has no label")
        elif path is None:
            faults.append(f"line {number}: {name} is not in {source}")
        else:
            found.append(Labelled(path, label))
    if not found:
        raise DataError(f"{csv_file} names no picture in {source}")
    return found, faults

"""Extraction: every content is described once, whatever is interrupted, full or damaged."""

import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from returnsd import disk
from returnsd.errors import Unreadable
from returnsd.vision.extractor import FEATURE_VERSION, Extractor
from tests.shop import CATEGORIES, draw_shop, shop_jpeg
from training import extract, labels, prepare
from training.extract import Failed, Store
from training.labels import DataError
from training.prepare import Entry

ROOT = Path(__file__).parent.parent
SETTINGS: dict[str, Any] = {
    "version": FEATURE_VERSION,
    "colours": 4,
    "blocks": ["basic"],
    "sizes": {},
    "near": [],
}
LEARNT = {"palette": (np.arange(4096).reshape(16, 16, 16) // 1024).astype(np.uint8)}


def extractor() -> Extractor:
    return Extractor(LEARNT, SETTINGS)


def entries_of(source: Path) -> list[Entry]:
    return [entry for entry in prepare.prepare(labels.read(source, None, "", "")[0], seed=1) if entry.split]


def rows_of(*numbers: int, width: int = 3) -> NDArray[np.float32]:
    return np.array([[number] * width for number in numbers], np.float32)


@contextmanager
def files_no_larger_than(size_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    return entries_of(draw_shop(tmp_path_factory.mktemp("extract") / "shop", 10, CATEGORIES[:3]))


# --- the store


def test_rows_are_found_by_the_name_of_their_picture(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", 3)
    store.append(["a", "b"], rows_of(1, 2))
    store.append(["c"], rows_of(3))

    for opened in (store, Store(tmp_path / "s", 3)):
        assert opened.rows(["c", "a"])[:, 0].tolist() == [3, 1]
        assert opened.rows(["b"], np.array([2])).tolist() == [[2]]
        assert opened.rows([]).shape == (0, 3)


def test_a_row_that_is_missing_says_what_to_run(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", 3)
    store.append(["a"], rows_of(1))

    with pytest.raises(DataError, match="1 pictures have no features yet: run `python -m training extract`"):
        store.rows(["a", "b"])


@pytest.mark.parametrize(
    ("file", "more"),
    [("rows.f32", b"\0" * 12), ("rows.f32", b"\0" * 7), ("index.txt", b"b\n"), ("index.txt", b"half a na")],
)
def test_what_a_crash_left_unfinished_does_not_count_and_is_written_over(
    file: str, more: bytes, tmp_path: Path
) -> None:
    Store(tmp_path, 3).append(["a"], rows_of(1))
    with (tmp_path / file).open("ab") as left:
        left.write(more)

    store = Store(tmp_path, 3)
    assert list(store.place) == ["a"]
    store.append(["c"], rows_of(3))

    again = Store(tmp_path, 3)
    assert again.rows(["a", "c"])[:, 0].tolist() == [1, 3]
    assert (tmp_path / "index.txt").read_text() == "a\nc\n"
    assert (tmp_path / "rows.f32").stat().st_size == 24


def test_opening_a_store_changes_nothing_in_it(tmp_path: Path) -> None:
    Store(tmp_path, 3).append(["a"], rows_of(1))
    with (tmp_path / "rows.f32").open("ab") as other:  # another process is about to name this row
        other.write(b"\0" * 12)

    Store(tmp_path, 3)

    assert (tmp_path / "rows.f32").stat().st_size == 24


@pytest.mark.parametrize("room_bytes", [15, 24, 1000])
def test_a_full_disk_is_a_clear_error_and_the_store_is_intact(room_bytes: int, tmp_path: Path) -> None:
    store = Store(tmp_path, 3)
    store.append(["a"], rows_of(1))

    with (
        files_no_larger_than(room_bytes),
        pytest.raises(DataError, match="1 pictures are done and kept; make room"),
    ):
        store.append([str(number) for number in range(1000)], rows_of(*range(1000)))
    for opened in (store, Store(tmp_path, 3)):
        assert opened.rows(["a"])[:, 0].tolist() == [1]
        assert list(opened.place) == ["a"]
    store.append(["b"], rows_of(2))

    assert Store(tmp_path, 3).rows(["a", "b"])[:, 0].tolist() == [1, 2]


def test_an_index_that_finds_no_room_takes_its_rows_back(tmp_path: Path) -> None:
    store = Store(tmp_path, 1)

    with files_no_larger_than(50), pytest.raises(DataError, match="0 pictures are done"):
        store.append(["a" * 64], rows_of(1, width=1))

    assert Store(tmp_path, 1).place == {}


# --- what a store is for


def test_the_name_of_a_store_depends_on_all_that_makes_rows_and_on_nothing_else() -> None:
    name = extract.fingerprint(LEARNT, SETTINGS)

    other_palette = {"palette": LEARNT["palette"][::-1]}
    compared = LEARNT | {"near_basic_mean": np.zeros(3)}
    assert extract.fingerprint(compared, SETTINGS | {"near": ["basic"]}) == name
    assert extract.fingerprint(other_palette, SETTINGS) != name
    assert extract.fingerprint(LEARNT, SETTINGS | {"blocks": ["basic", "grids"]}) != name


# --- extracting


def test_every_picture_is_described_as_the_service_would(entries: list[Entry], tmp_path: Path) -> None:
    store, sees = Store(tmp_path, extractor().width), extractor()

    found = list(extract.extract(store, entries, sees, jobs=1))

    assert found == [None] * len(entries)
    for entry in entries[::7]:
        assert (store.rows([entry.sha256])[0] == sees.row(extract.picture_of(entry))).all()


def test_several_processes_describe_alike(entries: list[Entry], tmp_path: Path) -> None:
    alone, together = Store(tmp_path / "1", extractor().width), Store(tmp_path / "2", extractor().width)
    list(extract.extract(alone, entries, extractor(), jobs=1))
    list(extract.extract(together, entries, extractor(), jobs=2))

    names = [entry.sha256 for entry in entries]
    assert (alone.rows(names) == together.rows(names)).all()


def test_what_is_done_is_not_done_again(entries: list[Entry], tmp_path: Path) -> None:
    store = Store(tmp_path, extractor().width)
    list(extract.extract(store, entries[:10], extractor(), jobs=1))

    found = list(extract.extract(store, entries, extractor(), jobs=1))

    assert len(found) == len(entries) - 10
    assert list(extract.extract(store, entries, extractor(), jobs=1)) == []


def test_two_lines_of_one_content_are_described_once(entries: list[Entry], tmp_path: Path) -> None:
    store = Store(tmp_path, extractor().width)

    assert list(extract.extract(store, [entries[0], entries[0]], extractor(), jobs=1)) == [None]


def test_failures_are_listed_with_their_reason_and_the_rest_goes_on(tmp_path: Path) -> None:
    source = draw_shop(tmp_path / "shop", 10, CATEGORIES[:2])
    listed = entries_of(source)
    gone, changed = listed[0], listed[1]
    Path(gone.path).unlink()
    Path(changed.path).write_bytes(shop_jpeg("Mugs", 99))
    store = Store(tmp_path / "s", extractor().width)

    found = list(extract.extract(store, listed, extractor(), jobs=1))

    failed = {one.path: one.reason.split(":")[0] for one in found if one is not None}
    assert failed == {gone.path: "missing", changed.path: "changed"}
    assert len(store.place) == len(listed) - 2


def test_failures_are_written_as_a_table(tmp_path: Path) -> None:
    extract.write_failures([Failed("/a\udcff,.jpg", "damaged: x")], tmp_path / "failed.csv")

    assert (tmp_path / "failed.csv").read_bytes() == b'path,reason\r\n"/a\xff,.jpg",damaged: x\r\n'


def test_a_picture_that_is_damaged_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"text")
    sha256 = disk.sha256_of(tmp_path / "a.jpg")

    with pytest.raises(Unreadable):
        extract.picture_of(Entry(str(tmp_path / "a.jpg"), "Mugs", sha256, "", "train", ""))


def test_a_second_process_is_told_to_wait(entries: list[Entry], tmp_path: Path) -> None:
    store = Store(tmp_path, extractor().width)

    with disk.lock(tmp_path / "lock"), pytest.raises(DataError, match=r"another process extracts into .*: wait"):
        list(extract.extract(store, entries, extractor(), jobs=1))


WAITING = """
import sys
from pathlib import Path
from tests.test_training_extract import entries_of, extractor
from training.extract import Store, extract

entries = entries_of(Path(sys.argv[1]))
for number, _ in enumerate(extract(Store(Path(sys.argv[2]), extractor().width), entries, extractor(), 1)):
    if number == 200:
        print("halfway", flush=True)
        sys.stdin.read()
"""


def test_an_extraction_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    source, folder = draw_shop(tmp_path / "shop", 200, CATEGORIES[:2]), tmp_path / "store"
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, str(source), str(folder)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "halfway\n"
        process.send_signal(signal.SIGKILL)
    before, width = (folder / "rows.f32").read_bytes(), extractor().width
    listed, store = entries_of(source), Store(folder, width)
    done = len(store.place)

    found = list(extract.extract(store, listed, extractor(), jobs=1))

    assert 200 < done < len(listed)
    assert len(found) == len(listed) - done
    assert (folder / "rows.f32").read_bytes()[: len(before)] == before
    fresh = Store(tmp_path / "fresh", width)
    list(extract.extract(fresh, listed, extractor(), jobs=1))
    names = [entry.sha256 for entry in listed]
    assert (store.rows(names) == fresh.rows(names)).all()

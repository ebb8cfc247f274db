"""Reports: one file each with all that it shows, whole or not at all, and harmless whatever a name holds."""

import re
import resource
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from training import report
from training.labels import DataError
from training.report import Report

PICTURE = np.full((40, 60, 3), (0, 0, 255), np.uint8)


def plot() -> Figure:
    figure = Figure(figsize=(3, 2))
    figure.subplots().plot([0, 1], [0, 1])
    return figure


def full() -> Report:
    page = Report("Title", "About it.")
    page.heading("Section")
    page.say("Words.")
    page.say("Careful.", loud=True)
    page.figures([("Accuracy", "90.0 %", "of all")])
    page.table(("name", "count"), [("dots", 3), ("stripes", "4.5 %")], "Counted.")
    page.plot(plot(), "It rises.")
    page.pictures([(PICTURE, "a red one")], "Pictures.")
    page.sheet("dots", [PICTURE] * 7, 5, "Some of them.")
    return page


class Outline(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_report_needs_no_other_file() -> None:
    outline = Outline(full().html())

    assert not outline.open
    assert len(outline.sources) == 3
    assert all(source.startswith("data:image/") for source in outline.sources)
    assert not outline.tags & {"script", "link", "iframe", "object"}


def test_all_that_was_said_is_in_it() -> None:
    text = full().html()

    for words in ("Title", "About it.", "Section", "Careful.", "90.0 %", "Counted.", "It rises.", "a red one"):
        assert words in text


def test_what_a_label_or_a_file_name_holds_stays_text() -> None:
    hostile = "<script>alert(1)</script>\"'&\udcff"
    page = Report(hostile, hostile)
    page.table((hostile,), [(hostile,)], hostile)
    page.pictures([(PICTURE, hostile)], hostile)
    page.plot(plot(), hostile)

    assert "script" not in Outline(page.html()).tags


def test_a_name_that_is_no_text_can_be_written(tmp_path: Path) -> None:
    page = Report("x\udcff", "about")

    page.write(tmp_path / "a.html")

    assert "x\\udcff" in (tmp_path / "a.html").read_text()


def test_the_same_content_gives_the_same_bytes() -> None:
    assert full().html() == full().html()


def test_the_folder_of_reports_is_made(tmp_path: Path) -> None:
    line = full().write(tmp_path / "work/reports/a.html")

    assert line == f"report: {tmp_path}/work/reports/a.html"
    assert (tmp_path / "work/reports/a.html").read_text() == full().html()


def test_an_older_report_is_replaced_and_the_line_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("old")

    line = full().write(tmp_path / "a.html")

    assert line.endswith("(replaces an older one)")
    assert (tmp_path / "a.html").read_text() == full().html()


def test_a_full_disk_leaves_the_older_report_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(DataError, match=re.escape(f"{tmp_path}/a.html cannot be written")):
            full().write(tmp_path / "a.html")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert (tmp_path / "a.html").read_text() == "old"


def test_a_file_where_the_folder_should_be_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "reports").write_text("")

    with pytest.raises(DataError, match=r"cannot be written .*give another --work"):
        full().write(tmp_path / "reports/a.html")


@pytest.mark.parametrize(
    ("shape", "expected"), [((200, 100), (96, 48)), ((10, 20), (10, 20)), ((1, 4000), (1, 96))]
)
def test_a_thumbnail_keeps_its_shape_and_is_never_enlarged(
    shape: tuple[int, int], expected: tuple[int, int]
) -> None:
    small = report.thumbnail(np.zeros((*shape, 3), np.uint8))

    assert small.shape == (*expected, 3)


def test_a_contact_sheet_shows_every_picture() -> None:
    sheet = report.contact_sheet([PICTURE] * 7, 5)

    red = (sheet[:, :, 2] == 255) & (sheet[:, :, 0] == 0)
    assert sheet.shape == (2 * 76, 5 * 76, 3)
    assert int(red.sum()) == 7 * 40 * 60


def test_of_no_pictures_a_contact_sheet_is_empty() -> None:
    assert (report.contact_sheet([], 5) == 255).all()

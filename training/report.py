"""A report: one HTML file with all it needs inside it, written whole or not at all.

Made for people who are not data scientists: every plot, table and row of pictures comes with a sentence that says
what it means. What is in a report, the modules of `training.pages` decide.
"""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from returnsd import disk
from training.labels import DataError

THUMBNAIL_SIDE = 96

_QUALITY = [cv2.IMWRITE_JPEG_QUALITY, 85]


class Report:
    """One page, built from the top down."""

    def __init__(self, title: str, about: str) -> None:
        """Begin a page; `about` says in a sentence or two what it is for."""
        self.title = title
        self._parts = [f"<h1>{_escaped(title)}</h1>", f'<p class="about">{_escaped(about)}</p>']

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._parts.append(f"<h2>{_escaped(text)}</h2>")

    def say(self, text: str, *, loud: bool = False) -> None:
        """Add a paragraph; a loud one stands out."""
        self._parts.append(f"<p{' class=loud' if loud else ''}>{_escaped(text)}</p>")

    def figures(self, figures: Iterable[tuple[str, str, str]]) -> None:
        """Add main figures side by side, each (name, value, what it means)."""
        boxes = "".join(
            f"<div><dt>{_escaped(name)}</dt><dd>{_escaped(value)}</dd><dd>{_escaped(meaning)}</dd></div>"
            for name, value, meaning in figures
        )
        self._parts.append(f"<dl>{boxes}</dl>")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]], meaning: str) -> None:
        """Add a table; numbers are set to the right."""
        head = "".join(f"<th>{_escaped(column)}</th>" for column in columns)
        body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
        self._parts.append(
            f'<p>{_escaped(meaning)}</p><div class="wide"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table></div>"
        )

    def plot(self, figure: Figure, meaning: str) -> None:
        """Add a plot."""
        buffer = io.BytesIO()
        # without a fixed salt and with a date, no two drawings of one thing are the same
        with matplotlib.rc_context({"svg.hashsalt": "returnsd"}):
            figure.savefig(buffer, format="svg", metadata={"Date": None})
        self._parts.append(
            f'<figure><img class="plot" alt="{_escaped(meaning)}" src="{_uri("svg+xml", buffer.getvalue())}">'
            f"<figcaption>{_escaped(meaning)}</figcaption></figure>"
        )

    def pictures(self, captioned: Iterable[tuple[NDArray[np.uint8], str]], meaning: str) -> None:
        """Add small pictures, each (height, width, 3) BGR pixels with a line below it."""
        shown = "".join(
            f'<figure><img alt="" src="{_uri("jpeg", _jpeg(thumbnail(pixels)))}">'
            f"<figcaption>{_escaped(caption)}</figcaption></figure>"
            for pixels, caption in captioned
        )
        self._parts.append(f'<p>{_escaped(meaning)}</p><div class="row">{shown}</div>')

    def sheet(self, name: str, pictures: Sequence[NDArray[np.uint8]], columns: int, meaning: str) -> None:
        """Add a contact sheet: many small pictures in one."""
        uri = _uri("jpeg", _jpeg(contact_sheet(pictures, columns)))
        self._parts.append(
            f'<h3>{_escaped(name)}</h3><p>{_escaped(meaning)}</p><img class="sheet" alt="" src="{uri}">'
        )

    def html(self) -> str:
        """Return the page."""
        # nothing is fetched and nothing runs, whatever a file's name or a label holds
        policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{_escaped(self.title)}</title><style>{_STYLE}</style></head><body><main>\n"
            + "\n".join(self._parts)
            + "\n</main></body></html>\n"
        )

    def write(self, path: Path) -> str:
        """Write the page, whole or not at all; return a line that says where, and whether one was replaced.

        DataError if the folder cannot be had.
        """
        return write(path, self.html().encode("utf-8", "backslashreplace"))


def write(path: Path, data: bytes) -> str:
    """Put a whole file into a folder of reports; return a line that says where, and whether one was replaced."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replaced = path.exists()
        disk.replace(path, data)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error.strerror}): make room or give another --work") from error
    return f"report: {path}" + (" (replaces an older one)" if replaced else "")


def thumbnail(pixels: NDArray[np.uint8], side: int = THUMBNAIL_SIDE) -> NDArray[np.uint8]:
    """Return a picture small enough to fit into side x side, never enlarged."""
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def contact_sheet(pictures: Sequence[NDArray[np.uint8]], columns: int, side: int = 72) -> NDArray[np.uint8]:
    """Return the pictures on one white one, row by row, each centred in a square."""
    rows = max(1, -(-len(pictures) // columns))
    sheet = np.full((rows * (side + 4), min(columns, max(1, len(pictures))) * (side + 4), 3), 255, np.uint8)
    for number, picture in enumerate(pictures):
        small = thumbnail(picture, side)
        top = number // columns * (side + 4) + (side + 4 - len(small)) // 2
        left = number % columns * (side + 4) + (side + 4 - small.shape[1]) // 2
        sheet[top : top + len(small), left : left + small.shape[1]] = small
    return sheet


def percent(share: float | None) -> str:
    """Return a share as people read it; nothing is a dash."""
    return "-" if share is None else f"{100 * share:.1f} %"


def between(interval: tuple[float, float]) -> str:
    """Return an interval of shares as people read it."""
    return f"{100 * interval[0]:.1f} to {100 * interval[1]:.1f} %"


def _cell(value: object) -> str:
    number = isinstance(value, int | float) or (isinstance(value, str) and value[:1].isdigit())
    return f"<td{' class=number' if number else ''}>{_escaped(str(value))}</td>"


def _escaped(text: str) -> str:
    return html.escape(text, quote=True)


def _uri(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _jpeg(pixels: NDArray[Any]) -> bytes:
    return bytes(cv2.imencode(".jpg", pixels, _QUALITY)[1])


_STYLE = """
:root { color-scheme: light dark; --ground: #f5f6f8; --paper: #fff; --line: #dfe2e8; --ink: #1b2030;
  --soft: #5a6274; --warn: #9a5b00; --warn-soft: #fdf0da; font: 15px/1.5 system-ui, "Segoe UI", sans-serif; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171e; --paper: #1c2029; --line: #2e3440; --ink: #e8eaf0;
  --soft: #a5adbd; --warn: #eab765; --warn-soft: #3a2e18; } }
body { margin: 0; background: var(--ground); color: var(--ink); }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 1.5rem 0 0; } p { max-width: 46rem; } .about { color: var(--soft); }
.loud { background: var(--warn-soft); color: var(--warn); padding: .7rem 1rem; border-radius: 8px; }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(13rem, 1fr)); gap: .75rem; }
dl div { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: .8rem 1rem; }
dt { color: var(--soft); } dd { margin: 0; font-size: .85rem; color: var(--soft); }
dt + dd { font-size: 1.5rem; font-weight: 650; color: var(--ink); font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; } table { border-collapse: collapse; background: var(--paper); }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { color: var(--soft); font-weight: 600; } .number { text-align: right; font-variant-numeric: tabular-nums; }
figure { margin: 1rem 0; } figcaption { color: var(--soft); max-width: 46rem; }
.plot { max-width: 100%; background: #fff; border: 1px solid var(--line); border-radius: 10px; }
.row { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.5rem, 1fr)); gap: .75rem; }
.row figure { margin: 0; font-size: .8rem; overflow-wrap: anywhere; }
.row img, .sheet { background: #fff; border: 1px solid var(--line); max-width: 100%; }
@media print { body { background: #fff; } }
"""

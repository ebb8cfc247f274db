"""The nightly report: what a run found, in numbers for programs and as one page for people.

The page needs nothing but itself: no script, no picture, no font from elsewhere; it can be mailed, copied, kept.
Pure: nothing here reads or writes.
"""

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

from returnsd.words import moment, percent, times, zone

MOST_NAMED = 200
"""How many rejected files a report names; their counts are complete."""


@dataclass(slots=True)
class Report:
    """What one nightly run found. `problem` is None if all that waited was judged.

    `shelves`, `categories` and `rejected` are what the model said of the rows from `first_row` (left out) to
    `last_row`; `stands` is what became of the same rows by now, in the words of figures.Day.
    """

    started_at: str
    ended_at: str = ""
    duration_s: float = 0.0
    judged_by: str = "batch"
    model: str = ""
    first_row: int = 0
    last_row: int = 0
    judged: int = 0
    shelves: dict[str, int] = field(default_factory=dict)
    categories: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    rejected_files: list[dict[str, str]] = field(default_factory=list)
    stands: dict[str, int] = field(default_factory=dict)
    archived_share: float | None = None
    waiting_in_review: int = 0
    left: dict[str, int] = field(default_factory=dict)
    problem: str | None = None

    def as_json(self) -> dict[str, object]:
        """Return the report for machines."""
        return asdict(self)


def headline(report: Report) -> str:
    """Return the report in one line: the subject of a mail, the end of a log."""
    if report.problem is not None:
        return f"returnsd: not finished: {' '.join(report.problem.split())}"
    judged = f"{report.judged} judged" if report.judged else "nothing new"
    return f"returnsd: {judged}, {report.waiting_in_review} wait for a person"


def sentences(report: Report) -> list[str]:
    """Return the report in plain words."""
    shelves = (
        f"{report.shelves.get('archive', 0)} archived, {report.shelves.get('review', 0)} to review,"
        f" {report.shelves.get('rejected', 0)} rejected"
    )
    model = f" Model: {report.model}." if report.model else ""
    said = [f"{times(report.judged, 'picture')} judged {_how(report)}: {shelves}.{model}"]
    if report.archived_share is not None:
        said.append(f"{percent(report.archived_share, 1)} of the usable ones were archived without a person.")
    if settled := _settled(report):
        said.append(f"Of those to review, {settled}.")
    said.append(f"{times(report.waiting_in_review, 'picture')} in all {_wait(report)} for a person.")
    for what, counts in (("Rejected", report.rejected), ("Left in the inbox", report.left)):
        if counts:
            said.append(f"{what}: " + ", ".join(f"{count} {_words(why)}" for why, count in counts.items()) + ".")
    if report.problem is not None:
        said.append(f"Not finished: {report.problem}")
    return said


def page(report: Report) -> str:
    """Return the report as one self-contained HTML page."""
    share = percent(report.archived_share, 1) or "–"
    tiles = [
        (report.judged, "judged"),
        (report.shelves.get("archive", 0), "archived"),
        (report.shelves.get("review", 0), "to review"),
        (report.shelves.get("rejected", 0), "rejected"),
        (share, "archived without a person"),
        (report.stands.get("archived_by_people", 0), "archived by people since"),
        (report.stands.get("rejected_by_people", 0), "rejected by people since"),
        (report.waiting_in_review, "wait for a person now"),
    ]
    problem = f'<p class="problem">Not finished: {_escaped(report.problem)}</p>' if report.problem else ""
    named = [(one["file_name"], _words(one["reason"]), one["item_id"]) for one in report.rejected_files]
    sections = [
        _bars("Categories, as the model judged", report.categories, _OF_THE_MODEL),
        _bars("Rejected, by reason", report.rejected),
        _table("Rejected files", ("file", "reason", "item"), named),
        _bars("Left in the inbox", report.left),
    ]
    facts = (
        f"{_moment(report.started_at)} to {_moment(report.ended_at)} ({_zone(report.started_at)}),"
        f" judged {_how(report)}, model {report.model or 'unknown'},"
        f" rows {report.first_row + 1} to {report.last_row}"
    )
    numbers = "".join(f"<div><b>{_escaped(value)}</b><span>{what}</span></div>" for value, what in tiles)
    title = f"returnsd report {report.started_at[:10]}"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{_escaped(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>\n'
        f"<body><h1>{_escaped(title)}</h1>{problem}<section class=tiles>{numbers}</section>\n"
        + "\n".join(section for section in sections if section)
        + f"\n<footer>{_escaped(facts)}</footer></body></html>\n"
    )


def _how(report: Report) -> str:
    """Return who judged and how long that took: beside a running service, our own seconds say nothing of it."""
    if report.judged_by == "service":
        return "by the running service since the report before"
    return f"in {report.duration_s:.1f} s"


def _moment(text: str) -> str:
    return moment(datetime.fromisoformat(text)) if text else "?"


def _zone(text: str) -> str:
    return zone(datetime.fromisoformat(text))


def _settled(report: Report) -> str:
    archived, rejected = (report.stands.get(f"{what}_by_people", 0) for what in ("archived", "rejected"))
    if not archived + rejected:
        return ""
    return f"people have settled {archived + rejected} by now ({archived} archived, {rejected} rejected)"


def _wait(report: Report) -> str:
    return "waits" if report.waiting_in_review == 1 else "wait"


def _bars(title: str, counts: Mapping[str, int], note: str = "") -> str:
    if not counts:
        return ""
    most = max(counts.values())
    svg = '<svg viewBox="0 0 100 8" preserveAspectRatio="none"><rect width="{:.1f}" height="8"/></svg>'
    rows = "".join(
        f"<tr><th scope=row>{_escaped(_words(name))}</th>"
        f"<td class=bar>{svg.format(100 * count / most)}</td><td>{count}</td></tr>"
        for name, count in counts.items()
    )
    told = f"<p>{note}</p>" if note else ""
    return f"<section><h2>{title}</h2>{told}<table>{rows}</table></section>"


def _table(title: str, columns: Iterable[str], rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th scope=col>{column}</th>" for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{_escaped(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<section><h2>{title}</h2><table class=list><thead><tr>{head}</tr></thead>{body}</table></section>"


def _words(reason: str) -> str:
    return reason.replace("_", " ")


def _escaped(value: object) -> str:
    return html.escape(str(value))


_OF_THE_MODEL = (
    "What the model took the usable pictures for, those in doubt too, whatever people have decided on them since."
)

_STYLE = """
:root{color-scheme:light dark;--ink:#1b2030;--soft:#5a6274;--line:#dfe2e8;--paper:#fff;--ground:#f5f6f8;
--bar:#2f5fd0}
@media(prefers-color-scheme:dark){:root{--ink:#e8eaf0;--soft:#a5adbd;--line:#2e3440;--paper:#1c2029;--ground:#14171e;
--bar:#7ea2f5}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--ground);max-width:860px;margin:2rem auto;
padding:0 1rem}
h1{font-size:1.35rem}h2{font-size:1rem;margin:0 0 .6rem}section p{margin:0 0 .6rem}
section{background:var(--paper);border:1px solid var(--line);border-radius:10px;padding:1rem;margin:1rem 0}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(120px,1fr));gap:1rem}
.tiles b{display:block;font-size:1.6rem;font-variant-numeric:tabular-nums}
.tiles span,footer,section p{color:var(--soft)}
.problem{background:#b3261e;color:#fff;border-radius:10px;padding:.7rem 1rem;font-weight:600}
table{width:100%;border-collapse:collapse}th{text-align:left;font-weight:400;width:14rem}td{padding:.15rem 0}
td:last-child{text-align:right;font-variant-numeric:tabular-nums}.bar svg{width:100%;height:8px;fill:var(--bar)}
.list th,.list td{width:auto;text-align:left;border-top:1px solid var(--line);padding:.25rem .8rem .25rem 0;
overflow-wrap:anywhere}.list thead th{border:0;color:var(--soft)}
"""

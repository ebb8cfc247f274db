"""How numbers and times read, on every page, in every report and on the command line. Pure."""

from datetime import datetime

from returnsd.records import BY_FOLDER, NAMELESS


def percent(share: float | None, decimals: int = 0) -> str:
    """Return a share from 0 to 1 as `94 %` or `94.2 %`; an empty text for None.

    Only what is whole is shown as 100 %, and only what is nothing as 0 %.
    """
    if share is None:
        return ""
    step = 10.0**-decimals
    shown = round(100 * share, decimals)
    if 0 < share < 1:
        shown = min(max(shown, step), 100 - step)
    return f"{shown:.{decimals}f} %"


def moment(time: datetime) -> str:
    """Return a time as people read it, in this machine's zone: `2026-11-24 08:05:30`. See `zone`."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def zone(now: datetime) -> str:
    """Return the zone in which `moment` tells times, to be said once on a page: `CET, UTC+01:00`."""
    here = now.astimezone()
    offset = here.strftime("%z")
    name = here.tzname() or ""
    utc = f"UTC{offset[:3]}:{offset[3:]}"
    return "UTC" if offset == "+0000" else utc if name.lstrip("+-").isdigit() or not name else f"{name}, {utc}"


def author(decided_by: str) -> str:
    """Return who decided; those who gave no name are called by where they were."""
    return {NAMELESS: "someone at the page", BY_FOLDER: "someone with a file manager"}.get(decided_by, decided_by)


def times(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun: `1 picture`, `3 pictures`."""
    return f"{count} {one if count == 1 else many or one + 's'}"

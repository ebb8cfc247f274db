"""The pages for people: their templates, what they are made of, signing in, and errors in words.

Everything a page needs lies in this package and is read once; pages work without any other network.
"""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from returnsd.records import printable
from returnsd.web.desk import Desk
from returnsd.web.security import session_of
from returnsd.words import author, moment, percent, zone

_HERE = Path(__file__).parent
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class Static:
    """One file that pages are made of."""

    data: bytes
    media_type: str
    mark: str


def _read_static() -> Mapping[str, Static]:
    files = {}
    for path in sorted((_HERE / "static").iterdir()):
        if path.suffix in _TYPES:
            data = path.read_bytes()
            files[path.name] = Static(data, _TYPES[path.suffix], hashlib.sha256(data).hexdigest()[:12])
    return files


STATIC = _read_static()


def static_address(name: str) -> str:
    """Return the address of a file in static/, which changes with its content."""
    return f"/static/{name}?{STATIC[name].mark}"


def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["static"] = static_address
    made.filters["printable"] = printable
    made.filters["percent"] = percent
    made.filters["moment"] = moment
    made.filters["author"] = author
    made.globals["zone"] = lambda: zone(datetime.now().astimezone())
    return made


_TEMPLATES = _environment()


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page made from a template; `here` (its address) and `signed_in` are always known to it."""
    desk: Desk = request.app.state.desk
    signed_in = desk.token is not None and desk.token.gave(session_of(request.headers), int(time.time()))
    text = _TEMPLATES.get_template(template).render(here=request.url.path, signed_in=signed_in, **values)
    return HTMLResponse(text, status)


def wants_page(request: Request) -> bool:
    """Say whether a request comes from someone who reads pages."""
    path = request.url.path
    return "text/html" in request.headers.get("accept", "") and not path.startswith(("/v1/", "/static/"))

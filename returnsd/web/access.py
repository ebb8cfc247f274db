"""What every part of the API needs of a request: the desk it is answered from, and who asks."""

from inspect import signature
from typing import Annotated

from fastapi import Path, Request
from pydantic import AfterValidator

from returnsd import item_id
from returnsd.web.desk import Desk
from returnsd.web.problems import NotFound, Unacceptable, Unsupported


def the_desk(request: Request) -> Desk:
    """Return the desk that requests are answered from."""
    desk: Desk = request.app.state.desk
    return desk


def client_of(request: Request) -> str:
    """Return the address of whoever asks."""
    return request.client.host if request.client else ""


def _known_form(text: str) -> str:
    if not item_id.is_valid(text):
        raise NotFound(f"there is no item {text[:60]!r}")
    return text


ItemId = Annotated[
    str,
    Path(
        description="an item's id",
        examples=["01M84XJ0W3T1Q6Y2C5D8E7F9GA"],
        json_schema_extra={"pattern": f"^{item_id.PATTERN.pattern}$"},
    ),
    AfterValidator(_known_form),
]
"""An item's id in a path; what cannot be one is simply not there."""


def only_known(request: Request) -> None:
    """Unacceptable if a request has parameters in its query that its route does not know: a slip is told."""
    known = set(signature(request.scope["endpoint"]).parameters) - {*request.path_params, "desk", "request"}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        raise Unacceptable(f"no such parameter: {', '.join(unknown)}; known are: {', '.join(sorted(known))}")


def json_body(request: Request) -> None:
    """Unsupported if a request's body is not said to be JSON."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise Unsupported("application/json")

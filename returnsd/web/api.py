"""What the parts of /v1 share: the desk as an argument, and how the OpenAPI describes problems."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends

from returnsd.web.access import json_body, only_known, the_desk
from returnsd.web.desk import Desk
from returnsd.web.problems import MEDIA_TYPE
from returnsd.web.schemas import ProblemDocument

TheDesk = Annotated[Desk, Depends(the_desk)]

STRICT = [Depends(only_known)]
"""Unknown parameters are refused."""

JSON = [Depends(json_body), *STRICT]
"""For what takes JSON: other bodies are refused, and unknown parameters."""

AUDITED_DAYS = 30
"""How far back the audit looks."""

BODY = (400, 408, 413)
"""What may go wrong with any body."""

_WHEN = {
    400: "the body cannot be parsed",
    401: "the token is missing or wrong",
    403: "a page of another site asked",
    404: "there is no such thing",
    408: "the body did not arrive in time",
    409: "someone decided before",
    413: "larger than limits.file_mib",
    415: "the Content-Type is not one that is taken here",
    421: "another host name than this machine's, without a token",
    422: "well-formed, but it cannot be",
    429: "too much at once from one client: Retry-After",
    503: "too much at once, or a disk that cannot be written to: Retry-After",
}

_PROBLEM: dict[str, Any] = {
    "model": ProblemDocument,
    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return how the OpenAPI describes these answers, and those that any request may get."""
    always = (401, 403, 421, 422, 503)
    return {status: {**_PROBLEM, "description": _WHEN[status]} for status in sorted({*always, *statuses})}


def first_day(days: int) -> str:
    """Return the first of so many local days up to today, as YYYY-MM-DD."""
    return (datetime.now().astimezone().date() - timedelta(days=days - 1)).isoformat()

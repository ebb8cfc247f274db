"""What goes wrong for a client, as problem+json (RFC 9457): status, title, and what to do."""

from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse

PATTERNS: dict[str, str] = {}
"""What texts of a pattern are, in words: no regular expression is told to people."""

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):  # noqa: N818 (the RFC's word)
    """An answer that is no success; further members tell more (who decided, for instance)."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(f"{title}: {detail}" if detail else title)
        self.status = status
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})
        self.members = members

    def response(self) -> JSONResponse:
        """Return the answer for programs."""
        body = {"type": "about:blank", "title": self.title, "status": self.status}
        if self.detail:
            body["detail"] = self.detail
        return JSONResponse({**body, **self.members}, self.status, self.headers, media_type=MEDIA_TYPE)


class Busy(Problem):
    """Too much is asked at once: come again in a moment."""

    def __init__(self, retry_after_s: int = 1, detail: str = "") -> None:
        super().__init__(
            503,
            "busy",
            detail or "more is asked than can be answered now; ask again after the seconds in Retry-After",
            {"Retry-After": str(retry_after_s)},
        )


class TooMany(Problem):
    """This one client asks too much at once; others are still answered."""

    def __init__(self, most: int, retry_after_s: int = 1) -> None:
        super().__init__(
            429,
            "too many at once",
            f"one client may have {most} pictures under way; ask again after the seconds in Retry-After",
            {"Retry-After": str(retry_after_s)},
        )


class TooLarge(Problem):
    """The body is larger than is taken."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__(
            413, "too large", f"at most {most_bytes} bytes are taken in one request", {"Connection": "close"}
        )


class TooSlow(Problem):
    """The body did not come in time."""

    def __init__(self) -> None:
        super().__init__(408, "too slow", "the request's body did not arrive in time", {"Connection": "close"})


class Unsupported(Problem):
    """The body is of a kind that is not taken here."""

    def __init__(self, wanted: str) -> None:
        super().__init__(415, "unsupported media type", f"the Content-Type must be {wanted}")


class NotFound(Problem):
    """There is no such thing."""

    def __init__(self, what: str) -> None:
        super().__init__(404, "not found", what)


class Unacceptable(Problem):
    """The request is well-formed and asks for what cannot be."""

    def __init__(self, detail: str) -> None:
        super().__init__(422, "cannot be done", detail)


def fault_of(fault: Mapping[str, Any]) -> str:
    """Return what is wrong with a value that a client sent, in words."""
    if fault["type"] == "string_pattern_mismatch":
        return f"must be {PATTERNS.get(fault['ctx']['pattern'], 'of another form: see /docs')}"
    if fault["type"] == "extra_forbidden":
        return "is not known here"
    if fault["type"] == "missing":
        return "is missing"
    if fault["type"].startswith("model_attributes"):
        return "must be a JSON object"
    text = str(fault["msg"])
    return text[:1].lower() + text[1:]

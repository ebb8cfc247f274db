"""What goes wrong for a client, as problem+json (RFC 9457): status, title, and what to do."""

from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse


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
        return JSONResponse(
            {**body, **self.members}, self.status, self.headers, media_type="application/problem+json"
        )


class Busy(Problem):
    """Too much is asked at once: come again in a moment."""

    def __init__(self, retry_after_s: int = 1) -> None:
        super().__init__(
            503,
            "busy",
            "more is asked than can be answered now; ask again after the seconds in Retry-After",
            {"Retry-After": str(retry_after_s)},
        )


class TooLarge(Problem):
    """The body is larger than is taken."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__(413, "too large", f"at most {most_bytes} bytes are taken in one request")


class NotFound(Problem):
    """There is no such thing."""

    def __init__(self, what: str) -> None:
        super().__init__(404, "not found", what)

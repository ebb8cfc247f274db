"""What the page's process counts about its own requests, for Prometheus. Labels hold no names, only routes."""

import time
from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(slots=True)
class Times:
    """How long requests of one route took: counts by upper bound, and the sum in seconds."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(_BOUNDS_S) + 1))
    sum_s: float = 0.0


@dataclass(slots=True)
class Traffic:
    """Counts since the process started (`started`: seconds since 1970)."""

    started: float
    answered: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    times: dict[str, Times] = field(default_factory=dict)

    def note(self, method: str, route: str, status: int, took_s: float) -> None:
        """Count one answered request."""
        self.answered[method, route, status] += 1
        times = self.times.setdefault(route, Times())
        times.counts[bisect_left(_BOUNDS_S, took_s)] += 1
        times.sum_s += took_s

    def lines(self) -> list[str]:
        """Return the counts in Prometheus' text format."""
        return [*self._answered(), *self._times()]

    def _answered(self) -> list[str]:
        name = "returnsd_web_requests_total"
        lines = [f"# HELP {name} Requests answered.", f"# TYPE {name} counter"]
        for (method, route, status), count in sorted(self.answered.items()):
            lines.append(f'{name}{{method="{method}",route="{route}",status="{status}"}} {count}')
        return lines

    def _times(self) -> list[str]:
        name = "returnsd_web_request_duration_seconds"
        lines = [f"# HELP {name} Time from a request's head to the end of its answer.", f"# TYPE {name} histogram"]
        for route, times in sorted(self.times.items()):
            total = 0
            for bound, count in zip((*map(str, _BOUNDS_S), "+Inf"), times.counts, strict=True):
                total += count
                lines.append(f'{name}_bucket{{route="{route}",le="{bound}"}} {total}')
            lines.append(f'{name}_sum{{route="{route}"}} {times.sum_s:.6f}')
            lines.append(f'{name}_count{{route="{route}"}} {total}')
        return lines


_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")


class Counting:
    """Middleware that counts every request by its route's template, never by its path."""

    def __init__(self, app: ASGIApp, *, traffic: Traffic) -> None:
        """Count into `traffic`."""
        self._app = app
        self._traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and count."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = _template(scope)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._traffic.note(method, route, status, time.perf_counter() - began)


def _template(scope: Scope) -> str:
    """Return the route that answered, with the names of its parameters in place of their values."""
    if scope.get("endpoint") is None and scope.get("route") is None:
        return "none"
    if scope["path"].startswith("/static/"):
        return "/static/{path}"
    names = {str(value): f"{{{name}}}" for name, value in scope.get("path_params", {}).items()}
    return "/".join(names.get(part, part) for part in scope["path"].split("/"))

"""The gate: who may ask what, before anything is read of a request but its head.

Without a token only requests that name this machine as their host are answered, so that a page of another site
cannot reach us by a name that it makes point here (DNS rebinding). With a token, all but the probes and the
sign-in need it: as a bearer token, or as the session it gave a browser. What changes anything must come from our
own pages or from a program: a browser says where a request comes from (Sec-Fetch-Site, Origin), and other sites
are refused (the rule is that of Go's net/http.CrossOriginProtection).
"""

import time
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from returnsd.logs import Logger
from returnsd.web import former
from returnsd.web.problems import Busy, Problem
from returnsd.web.token import COOKIE, Token

_OPEN = ("/livez", "/readyz", "/health", "/login")
_SAFE = ("GET", "HEAD", "OPTIONS")
_MOST_AT_ONCE = 400

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer, a form of ours would come from the origin "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Gate:
    """Middleware that refuses what may not be asked, and tells browsers to be strict with our answers."""

    def __init__(self, app: ASGIApp, *, token: Token | None, host: str, log: Logger) -> None:
        """Guard an application; `host` is the address that is listened on."""
        self._app = app
        self._token = token
        self._hosts = {host.lower(), "localhost", "127.0.0.1", "::1"}
        self._log = log
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer why not."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_strictly(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, send_strictly)
            return
        self._under_way += 1
        try:
            await self._app(scope, receive, send_strictly)
        except Exception as error:  # a fault of ours: told in the log, not to the client
            self._log.error("request_failed", method=scope["method"], error=repr(error), exc_info=error)
            if begun:
                raise
            problem = Problem(500, "internal error", "see the log of returnsd web")
            await answer(scope["path"], problem)(scope, receive, send_strictly)
        finally:
            self._under_way -= 1

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that is not let in."""
        headers, path = Headers(scope=scope), scope["path"]
        if self._token is None and host_name(headers.get("host", "")) not in self._hosts:
            self._log.warning("request_refused", reason="host", host=headers.get("host", ""))
            return answer(path, Problem(421, "unknown host", "set web.token_file to be reached by other names"))
        if scope["method"] not in _SAFE and not same_origin(headers):
            self._log.warning("request_refused", reason="origin", origin=headers.get("origin", ""))
            return answer(path, Problem(403, "forbidden", "a page of another site may not ask for this"))
        if self._token is not None and not is_open(path) and not self._is_known(headers):
            return self._stranger(scope, headers)
        if self._under_way >= _MOST_AT_ONCE:
            return answer(path, Busy())
        return None

    def _is_known(self, headers: Headers) -> bool:
        assert self._token is not None
        scheme, _, sent = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return self._token.is_sent_as(sent.strip())
        return self._token.gave(session_of(headers), int(time.time()))

    def _stranger(self, scope: Scope, headers: Headers) -> Response:
        path = scope["path"]
        if scope["method"] in _SAFE and "text/html" in headers.get("accept", "") and not path.startswith("/v1/"):
            query = scope["query_string"].decode("ascii", "replace")
            asked = path + ("?" + query if query else "")
            return RedirectResponse(f"/login?next={quote(asked, safe='')}", 303)
        detail = "send the token of web.token_file: Authorization: Bearer ..."
        return answer(path, Problem(401, "unauthorized", detail, {"WWW-Authenticate": 'Bearer realm="returnsd"'}))


def answer(path: str, problem: Problem) -> Response:
    """Return a problem in the form that clients of a path expect."""
    return former.answer(problem) if former.is_former(path) else problem.response()


def is_open(path: str) -> bool:
    """Say whether a path needs no token: the probes, the sign-in, and what the sign-in page is made of."""
    return path in _OPEN or path.startswith("/static/")


def host_name(host: str) -> str:
    """Return the name in a Host header, without the port: of `[::1]:5001` it is `::1`."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def same_origin(headers: Headers) -> bool:
    """Say whether a request comes from our own page, or from no page at all."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site in ("same-origin", "none")
    origin = headers.get("origin")
    if origin is None:
        return True
    return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def session_of(headers: Headers) -> str:
    """Return the session that a browser sends, or an empty text."""
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    return cookies[COOKIE].value if COOKIE in cookies else ""


def local_path(text: str, otherwise: str = "/") -> str:
    """Return a path on this site to go on to after signing in; anything else becomes `otherwise`."""
    plain = text.isprintable() and text.isascii() and "\\" not in text
    return text if plain and text.startswith("/") and not text.startswith("//") else otherwise

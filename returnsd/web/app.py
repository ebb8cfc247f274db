"""The application: every route in its place behind the gate, and one form for whatever goes wrong."""

import sqlite3
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

import returnsd
from returnsd import disk
from returnsd.errors import ReturnsdError
from returnsd.obstacles import obstacle
from returnsd.web import former, looking, people, probes, v1
from returnsd.web.bodies import Bodies
from returnsd.web.desk import Desk
from returnsd.web.pages import page, wants_page
from returnsd.web.problems import MEDIA_TYPE, Busy, Problem, fault_of
from returnsd.web.security import Gate, answer
from returnsd.web.traffic import Counting

_FORM_BYTES = 1 << 20

DESCRIPTION = """\
Tells what each returned product is. `/v1` is for programs; `/health`, `/predict` and `/predict/batch` answer as the
former system did. With `web.token_file` set, send its token: `Authorization: Bearer ...`.
"""


def create_app(desk: Desk) -> FastAPI:
    """Return the application that answers from a desk."""
    app = FastAPI(
        title="returnsd",
        version=returnsd.__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.desk = desk
    generate = app.openapi
    app.openapi = lambda: described(generate())  # type: ignore[method-assign]
    for router in (probes.router, former.router, v1.router, people.router, looking.router):
        app.include_router(router)
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    for kind in (OSError, sqlite3.OperationalError, ReturnsdError):
        app.add_exception_handler(kind, _trouble)
    # the last one added is the first to see a request
    app.add_middleware(Bodies, large=_large(desk))
    app.add_middleware(Gate, token=desk.token, host=desk.config.web.host, log=desk.log)
    app.add_middleware(Counting, traffic=desk.traffic)
    return app


def described(document: dict[str, Any]) -> dict[str, Any]:
    """Return an OpenAPI document in which every problem has one form alone: problem+json."""
    for methods in document["paths"].values():
        for operation in methods.values():
            for response in operation["responses"].values():
                if MEDIA_TYPE in response.get("content", {}):
                    response["content"].pop("application/json", None)
    return document


def _large(desk: Desk) -> dict[str, int]:
    """Return how many bytes are taken where pictures are sent: one, or as base64 one and a third."""
    one = desk.limit_bytes + _FORM_BYTES
    in_base64 = one * 4 // 3 + _FORM_BYTES
    return {"/predict": in_base64, "/predict/batch": in_base64, "/v1/predict": one, "/v1/items": one}


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return _answer(request, error)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    titles = {404: "not found", 405: "method not allowed", 400: "bad request"}
    title = titles.get(error.status_code, "refused")
    detail = "" if error.status_code == 404 else str(error.detail)
    return _answer(request, Problem(error.status_code, title, detail, error.headers))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(fault["type"] == "json_invalid" for fault in found):
        return _answer(request, Problem(400, "bad request", "the body is not JSON"))
    faults = [{"where": [str(part) for part in fault["loc"][1:]], "fault": fault_of(fault)} for fault in found]
    first = f"{'.'.join(faults[0]['where']) or 'the body'}: {faults[0]['fault']}" if faults else ""
    return _answer(request, Problem(422, "cannot be done", first, faults=faults))


def _answer(request: Request, problem: Problem) -> Response:
    """Return a problem as a page to people, as a document to programs."""
    if wants_page(request):
        title = problem.title[:1].upper() + problem.title[1:]
        return page(request, "message.html", problem.status, title=title, detail=problem.detail)
    return answer(request.url.path, problem)


async def _trouble(request: Request, error: Exception) -> Response:
    """Answer what passes: a full disk, a locked ledger, decoders that do not start. Nothing was recorded."""
    desk: Desk = request.app.state.desk
    desk.log.error("request_failed", method=request.method, error=repr(error))
    full = isinstance(error, OSError) and error.errno in disk.FULL
    return _answer(request, Busy(30 if full else 5, str(obstacle(error, desk.config.paths))))

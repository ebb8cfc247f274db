"""The routes of the pages that people work with: review, audit, signing in; and the files they are made of."""

import asyncio
import time
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from returnsd.web.access import the_desk
from returnsd.web.desk import Desk
from returnsd.web.pages import STATIC, page
from returnsd.web.problems import NotFound
from returnsd.web.security import local_path
from returnsd.web.token import COOKIE, SESSION_S

router = APIRouter(include_in_schema=False)

TheDesk = Annotated[Desk, Depends(the_desk)]

_WRONG_S = 1.0


@router.get("/")
async def review(request: Request, desk: TheDesk) -> Response:
    """Show what waits for people."""
    return _bench(request, desk, "review")


@router.get("/audit")
async def audit(request: Request, desk: TheDesk) -> Response:
    """Show archived items that are to be checked."""
    return _bench(request, desk, "audit")


def _bench(request: Request, desk: Desk, mode: str) -> Response:
    """Return the page on which people decide; `inbox` is where pictures are dropped, as it is called here."""
    setup = {"mode": mode, "queue": f"/v1/{mode}", "categories": list(desk.judge.model.bundle.categories)}
    return page(request, "review.html", mode=mode, setup=setup, inbox=str(desk.config.paths.inbox))


@router.get("/login")
async def login(request: Request, desk: TheDesk, next: str = "/") -> Response:
    """Ask for the token; where none is asked for, there is nothing to sign in to."""
    if desk.token is None:
        return RedirectResponse("/", 303)
    return page(request, "login.html", next=local_path(next), wrong=False)


@router.post("/login")
async def sign_in(request: Request, desk: TheDesk) -> Response:
    """Give a browser a session for the right token; a wrong one costs a moment."""
    form = await request.form(max_files=0, max_fields=4)
    sent, asked = str(form.get("token", "")), local_path(str(form.get("next", "/")))
    if desk.token is None:
        return RedirectResponse(asked, 303)
    if not desk.token.is_sent_as(sent.strip()):
        desk.log.warning("login_refused", client=request.client.host if request.client else "")
        await asyncio.sleep(_WRONG_S)
        return page(request, "login.html", 401, next=asked, wrong=True)
    answer = RedirectResponse(asked, 303)
    session = desk.token.session(int(time.time()))
    over_tls = request.headers.get("x-forwarded-proto", request.url.scheme) == "https"
    answer.set_cookie(COOKIE, session, max_age=SESSION_S, httponly=True, samesite="lax", secure=over_tls)
    return answer


@router.post("/logout")
async def sign_out() -> Response:
    """Take the session from a browser."""
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="lax")
    return answer


@router.get("/static/{name}")
async def static(name: str, request: Request) -> Response:
    """Return a file that pages are made of; its address changes with it, so it may be kept for ever."""
    found = STATIC.get(name)
    if found is None:
        raise NotFound(f"there is no {name}")
    known = request.url.query == found.mark
    kept = "public, max-age=31536000, immutable" if known else "no-cache"
    return Response(found.data, media_type=found.media_type, headers={"Cache-Control": kept})

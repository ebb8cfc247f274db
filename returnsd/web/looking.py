"""The routes of the pages on which people look things up: the dashboard, the history, one item's story, the API."""

import asyncio
from datetime import date, datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from returnsd.history import Question, Story
from returnsd.records import Shelf
from returnsd.web import charts, overview
from returnsd.web.access import ItemId, the_desk
from returnsd.web.api_examples import EXAMPLES
from returnsd.web.desk import Desk
from returnsd.web.pages import page
from returnsd.web.problems import NotFound

router = APIRouter(include_in_schema=False)

TheDesk = Annotated[Desk, Depends(the_desk)]
Words = Annotated[str, Query(max_length=200)]

_ON_A_PAGE = 60


@router.get("/dashboard")
async def dashboard(request: Request, desk: TheDesk) -> Response:
    """Show how much of what, how sure, and what a person should know."""
    found = await overview.gather(desk, datetime.now().astimezone())
    return page(
        request,
        "dashboard.html",
        found=found,
        days=charts.days(found.days),
        confidences=charts.histogram(found.histogram, found.threshold),
        categories=charts.shares(found.categories),
        reasons=charts.shares(found.reasons),
        audit_share=desk.config.web.audit_share,
    )


@router.get("/history")
async def history(
    request: Request,
    desk: TheDesk,
    text: Words = "",
    category: Words = "",
    shelf: Words = "",
    day: Words = "",
    before: Annotated[int | None, Query(ge=1, le=2**53)] = None,
) -> Response:
    """Search for items by id, name, return id, category, shelf and day."""
    asked = {"text": text.strip(), "category": category, "shelf": shelf, "day": day}
    question = Question(
        text=asked["text"] or None,
        category=category or None,
        shelf=Shelf(shelf) if shelf in list(Shelf) else None,
        day=day if _is_day(day) else None,
        before=before,
        limit=_ON_A_PAGE,
    )
    found = await desk.searching.ask(lambda history: history.search(question))
    older = None
    if len(found) == _ON_A_PAGE:
        older = "/history?" + urlencode({**{k: v for k, v in asked.items() if v}, "before": found[-1].seq})
    categories = desk.judge.model.bundle.categories
    return page(request, "history.html", asked=asked, found=found, older=older, categories=categories)


@router.get("/items/{item_id}")
async def item(item_id: ItemId, request: Request, desk: TheDesk) -> Response:
    """Tell one item's whole story."""
    story = await desk.searching.ask(lambda history: history.story(item_id))
    if story is None:
        queued = await asyncio.to_thread(desk.spool.find_queued, item_id)
        if queued is None:
            raise NotFound(f"no item {item_id}")
        story = Story(item_id, queued.item.file_name, queued.item.received_at, None, [], [], None)
    file = await asyncio.to_thread(desk.previews.find, item_id, story.verdict, story.decision)
    return page(
        request,
        "item.html",
        story=story,
        file_missing=file is None and story.expired_at is None,
        lies_at=_place(desk, story),
        can_decide=story.verdict is not None and story.verdict.shelf is not Shelf.REJECTED and not story.expired_at,
        categories=desk.judge.model.bundle.categories,
    )


def _place(desk: Desk, story: Story) -> str | None:
    """Return where an item's file should lie, as the administrator calls it."""
    if story.verdict is None or story.expired_at is not None:
        return None
    (place,) = desk.spool.expected_places(story.verdict, story.decision)
    return str(place)


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == len("2026-11-24")


@router.get("/docs")
async def api(request: Request) -> Response:
    """Show the OpenAPI of this service, without anything from elsewhere."""
    document: dict[str, Any] = request.app.openapi()
    return page(request, "api.html", document=document, groups=_by_tag(document))


def _by_tag(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            example = EXAMPLES.get((method.upper(), path))
            entry = {"path": path, "method": method.upper(), "example": example, **operation}
            groups.setdefault(operation["tags"][0], []).append(entry)
    return groups

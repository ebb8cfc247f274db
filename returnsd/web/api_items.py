"""GET /v1/items: searches, what is known of one item, and what it looks like."""

import asyncio
from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from fastapi.responses import Response

from returnsd.history import Question, Standing, Story
from returnsd.records import Shelf, printable
from returnsd.web.access import ItemId
from returnsd.web.api import STRICT, TheDesk, problems
from returnsd.web.desk import Desk
from returnsd.web.documents import standing_document, story_document
from returnsd.web.problems import NotFound
from returnsd.web.schemas import FoundItems, Shelves, StoryDocument

router = APIRouter(tags=["items"])


@router.get("/items", responses=problems(), dependencies=STRICT)
async def search(
    desk: TheDesk,
    text: Annotated[
        str | None, Query(max_length=200, description="an id, or part of a file name or return id")
    ] = None,
    category: Annotated[str | None, Query(max_length=200, description="what it is held to be")] = None,
    shelf: Annotated[Shelves | None, Query(description="where its file lies")] = None,
    day: Annotated[date | None, Query(description="the local day of judging")] = None,
    before: Annotated[int | None, Query(ge=1, le=2**53, description="go on from here: next_before")] = None,
    limit: Annotated[int, Query(ge=1, le=500, description="how many at most")] = 60,
) -> FoundItems:
    """Search for items, newest first."""
    question = Question(
        text=text or None,
        category=category or None,
        shelf=None if shelf is None else Shelf(shelf),
        day=None if day is None else day.isoformat(),
        before=before,
        limit=limit,
    )
    found = await desk.searching.ask(lambda history: history.search(question))
    more = found[-1].seq if len(found) == limit else None
    return FoundItems(items=[standing_document(standing) for standing in found], next_before=more)


@router.get("/items/{item_id}", responses=problems(404))
async def item(item_id: ItemId, desk: TheDesk) -> StoryDocument:
    """Return all that is known of an item."""
    story = await desk.searching.ask(lambda history: history.story(item_id))
    if story is not None:
        return story_document(story)
    queued = await asyncio.to_thread(desk.spool.find_queued, item_id)
    if queued is None:
        raise NotFound(f"no item {item_id}")
    return StoryDocument(
        item_id=item_id,
        file_name=printable(queued.item.file_name),
        received_at=queued.item.received_at,
        state="queued",
        item=None,
        decisions=[],
        same_bytes=[],
        expired_at=None,
    )


@router.get(
    "/items/{item_id}/preview",
    response_class=Response,
    responses={
        200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
        **problems(404),
    },
)
async def preview(
    item_id: ItemId,
    desk: TheDesk,
    px: Annotated[Literal["320", "800", "1600"], Query(description="the longer side, in pixels")] = "320",
) -> Response:
    """Return a JPEG of the item's picture."""
    longest_px = int(px)
    made = desk.previews.kept(item_id, longest_px)
    if made is None:
        made = await _preview(desk, item_id, longest_px, await desk.reading.ask(lambda one: one.standing(item_id)))
    if made is None:  # it may just have been decided, and its file moved
        made = await _preview(
            desk, item_id, longest_px, await desk.searching.ask(lambda one: one.standing(item_id))
        )
    if made is None:
        story = await desk.searching.ask(lambda one: one.story(item_id))
        raise NotFound(await asyncio.to_thread(_why_unseen, desk, item_id, story))
    return Response(made, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400, immutable"})


def _why_unseen(desk: Desk, item_id: str, story: Story | None) -> str:
    """Return why there is no picture of an item: what a person can do about it differs."""
    verdict, decision = (None, None) if story is None else (story.verdict, story.decision)
    if story is not None and story.expired_at is not None:
        return f"the file of item {item_id} was deleted for its age"
    if desk.previews.find(item_id, verdict, decision) is None:
        return f"there is no item {item_id}" if story is None else f"the file of item {item_id} is missing"
    return f"nothing can be seen in the file of item {item_id}"


async def _preview(desk: Desk, item_id: str, longest_px: int, standing: Standing | None) -> bytes | None:
    verdict, decision = (None, None) if standing is None else (standing.verdict, standing.decision)
    return await desk.previews.make(item_id, longest_px, verdict, decision)

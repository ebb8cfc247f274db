"""/v1/review and /v1/decisions: what waits for people, and what they say of it."""

import time
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query

from returnsd.errors import AlreadyDecided, DecisionError
from returnsd.records import NAMELESS
from returnsd.review import Pending
from returnsd.web.api import AUDITED_DAYS, BODY, JSON, STRICT, TheDesk, first_day, problems
from returnsd.web.deciding import Outcome, Refused
from returnsd.web.documents import decision_document, waiting_sections
from returnsd.web.problems import Problem, Unacceptable
from returnsd.web.schemas import (
    Decide,
    Decided,
    GlanceDocument,
    Id,
    Look,
    Orders,
    PendingItem,
    RefusedItem,
    ReviewQueue,
    Withdraw,
)
from returnsd.web.waiting import by_category

router = APIRouter(tags=["review"])


@router.get("/review", responses=problems(), dependencies=STRICT)
async def review_queue(
    desk: TheDesk,
    order: Annotated[
        Orders, Query(description="alike pictures together, oldest first, or least sure first")
    ] = "alike",
    limit: Annotated[int, Query(ge=1, le=1000, description="how many at most")] = 200,
    skip: Annotated[list[Id] | None, Query(max_length=500, description="ids to leave out")] = None,
) -> ReviewQueue:
    """Return what waits for people, most useful first."""
    waiting = await desk.reading.ask(lambda reading: reading.waiting(order, limit, skip or ()))
    return ReviewQueue(version=waiting.version, count=waiting.count, sections=waiting_sections(waiting.sections))


@router.get("/audit", responses=problems(), dependencies=STRICT)
async def audit_queue(
    desk: TheDesk,
    order: Annotated[Orders, Query(description="has no meaning here; oldest first")] = "oldest",
    limit: Annotated[int, Query(ge=1, le=1000, description="how many at most")] = 200,
    skip: Annotated[list[Id] | None, Query(max_length=500, description="ids to leave out")] = None,
) -> ReviewQueue:
    """Return archived items of the stable random sample (web.audit_share) that no one has looked at yet.

    A decision on one of them says whether it was archived rightly.
    """
    first = first_day(AUDITED_DAYS)
    share = desk.config.web.audit_share
    left_out = set(skip or ())
    found = await desk.counting.ask(lambda figures: figures.to_audit(first, share, limit + len(left_out)))
    count = await desk.counting.ask(lambda figures: figures.sampled(first, share))
    items = [verdict for _, verdict in found if verdict.item_id not in left_out][:limit]
    return ReviewQueue(version=0, count=count[0] - count[1], sections=waiting_sections(by_category(items)))


@router.post("/review/looks", responses=problems(415, *BODY), dependencies=JSON)
async def look(asked: Look, desk: TheDesk) -> GlanceDocument:
    """Say what a person looks at, and learn what has changed meanwhile and who else looks at what."""
    now = time.monotonic()
    glance = await desk.reading.ask(
        lambda reading: reading.glance(asked.version, asked.client, asked.by, asked.items, now)
    )
    return GlanceDocument(version=glance.version, count=glance.count, gone=glance.gone, others=glance.others)


@router.post("/decisions", responses=problems(404, 409, 415, *BODY), dependencies=JSON)
async def decide(asked: Decide, desk: TheDesk) -> Decided:
    """Settle items. Those that someone settled before are refused, with who and when; 409 if all are."""
    if (asked.category is None) == (asked.reject is None):
        raise Unacceptable("give either a category or a reason to reject")
    now = datetime.now().astimezone()
    categories = desk.judge.model.bundle.categories
    try:
        outcome = await desk.deciding.ask(
            lambda deciding: deciding.decide(
                asked.item_ids,
                asked.category,
                reason=asked.reject,
                by=asked.by.strip() or NAMELESS,
                decided_at=now,
                categories=categories,
            )
        )
    except DecisionError as error:
        raise Unacceptable(str(error)) from error
    if outcome.refused:  # whatever the reason, it does not wait
        refused = [one.item_id for one in outcome.refused]
        await desk.reading.ask(lambda reading: reading.let_go(refused))
    return _decided(outcome)


@router.post("/decisions/withdrawals", responses=problems(404, 409, 415, *BODY), dependencies=JSON)
async def withdraw(asked: Withdraw, desk: TheDesk) -> Decided:
    """Take back decisions: the items wait again. 409 if none could be taken back."""
    now = datetime.now().astimezone()
    outcome = await desk.deciding.ask(
        lambda deciding: deciding.withdraw(
            asked.item_ids, by=asked.by.strip() or NAMELESS, withdrawn_at=now, made_at=asked.decided_at
        )
    )
    return _decided(outcome)


def _decided(outcome: Outcome) -> Decided:
    refused = [_refused(one) for one in outcome.refused]
    if not outcome.decided:
        statuses = {one.status for one in refused}
        raise Problem(
            409 if 409 in statuses else 404,
            "not decided",
            refused[0].detail,
            refused=[one.model_dump(mode="json") for one in refused],
        )
    return Decided(
        decided=[decision_document(decision) for decision in outcome.decided],
        refused=refused,
        pending=[_pending(one) for one in outcome.pending],
    )


def _pending(one: Pending) -> PendingItem:
    detail = "its file is not in review" if one.obstacle is None else str(one.obstacle)
    return PendingItem(item_id=one.decision.item_id, detail=detail)


def _refused(one: Refused) -> RefusedItem:
    error = one.error
    if isinstance(error, AlreadyDecided):
        return RefusedItem(
            item_id=one.item_id,
            status=409,
            detail=str(error),
            decided_by=error.decided_by,
            decided_at=error.decided_at,
            category=one.category,
        )
    return RefusedItem(item_id=one.item_id, status=404 if one.unknown else 409, detail=str(error))

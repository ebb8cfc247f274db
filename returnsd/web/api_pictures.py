"""/v1/predict and POST /v1/items: what pictures show, and pictures to be judged."""

import asyncio
import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request

from returnsd.web.access import client_of
from returnsd.web.api import BODY, STRICT, TheDesk, problems
from returnsd.web.desk import Desk
from returnsd.web.documents import picture_opinion
from returnsd.web.pictures import Sent, pictures_of
from returnsd.web.problems import Problem, Unacceptable
from returnsd.web.schemas import Opinions, SubmittedItem, SubmittedItems

router = APIRouter(tags=["pictures"])

_AT_ONCE = 16
_KEY = re.compile(r"[\x21-\x7e]{1,200}")

_FILE = {"type": "string", "format": "binary"}
_PICTURES: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "image/*": {"schema": _FILE},
            "application/octet-stream": {"schema": _FILE},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": {"type": "array", "items": _FILE}}}
            },
        },
    }
}


@router.post("/predict", dependencies=STRICT, responses=problems(415, 429, *BODY), openapi_extra=_PICTURES)
async def predict(request: Request, desk: TheDesk) -> Opinions:
    """Say what pictures show and what would be done with them; nothing is stored."""
    sent = await pictures_of(request)
    opinions = []
    with desk.places.taken(client_of(request), len(sent)):
        for start in range(0, len(sent), _AT_ONCE):
            part = sent[start : start + _AT_ONCE]
            opinions += await asyncio.gather(*(desk.judge.opinion(one.data) for one in part))
    model = desk.judge.model
    return Opinions(
        model=model.bundle.id,
        threshold=model.rule.threshold,
        predictions=[picture_opinion(one.name, opinion) for one, opinion in zip(sent, opinions, strict=True)],
    )


@router.post(
    "/items",
    status_code=201,
    dependencies=STRICT,
    responses=problems(415, 429, *BODY),
    openapi_extra=_PICTURES,
)
async def submit(
    request: Request,
    desk: TheDesk,
    name: Annotated[str, Query(max_length=255, description="the file's name, of a raw body")] = "",
    idempotency_key: Annotated[
        str | None, Header(description="any text of your own: the same request sent again submits nothing again")
    ] = None,
) -> SubmittedItems:
    """Submit pictures as if they had been dropped into the inbox; each answered id is durable."""
    if idempotency_key is not None and not _KEY.fullmatch(idempotency_key):
        raise Unacceptable("Idempotency-Key must be 1 to 200 letters, digits and signs")
    sent = await pictures_of(request)
    for one in sent:
        _check(desk, one)  # all before any is taken: what is refused is refused as a whole
    items = []
    for number, one in enumerate(sent):
        key = None if idempotency_key is None else f"{idempotency_key} {number}"
        items.append(await _submit(desk, Sent(one.name or name, one.data), key))
    return SubmittedItems(items=items)


def _check(desk: Desk, one: Sent) -> None:
    if len(one.data) > desk.limit_bytes:
        raise Problem(413, "too large", f"{one.name}: at most {desk.limit_bytes} bytes a picture (limits.file_mib)")
    if not one.data:
        raise Unacceptable(f"{one.name or 'a picture'} is empty")


async def _submit(desk: Desk, one: Sent, key: str | None) -> SubmittedItem:
    done = await desk.submitting.ask(lambda submitting: submitting.submit(one.data, one.name, key))
    return SubmittedItem(
        item_id=done.item_id,
        file_name=done.file_name,
        received_at=done.received_at,
        sha256=done.sha256,
        again=done.again,
    )

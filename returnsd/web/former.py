"""The API that the former system had, so that its clients work unchanged: /health, /predict, /predict/batch.

Pictures come as base64 in JSON, predictions go as lists of {"category", "confidence"}, best first, and whatever
goes wrong is {"error": ...}. New clients use /v1.
"""

import asyncio
import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

import pydantic_core
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from returnsd.web.access import client_of, the_desk
from returnsd.web.desk import Desk
from returnsd.web.judge import Opinion
from returnsd.web.problems import Problem
from returnsd.web.schemas import FormerBatch, FormerError, FormerHealth, FormerPrediction

THRESHOLD = 0.3
MOST_IN_A_BATCH = 1000

_AT_ONCE = 16
_SPACE = re.compile(r"\s+")
_DATA_URL = re.compile(r"data:[\w.+/;=-]*;base64,", re.IGNORECASE)

router = APIRouter(tags=["former"])


class Malformed(Problem):
    """The request is not as the former system's were."""

    def __init__(self, detail: str) -> None:
        super().__init__(400, detail)


@dataclass(frozen=True, slots=True)
class Asked:
    """A parsed request: pictures (or why one of them is none) and the threshold."""

    pictures: list[bytes | str]
    threshold: float


_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": FormerError} for status in (400, 401, 403, 408, 413, 421, 429, 503)
}


def _body(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return how a request's body is described in the OpenAPI."""
    threshold = {"type": "number", "minimum": 0, "maximum": 1, "default": THRESHOLD}
    body = {
        "type": "object",
        "required": [name],
        "properties": {name: schema, "confidence_threshold": threshold},
    }
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": body}}}}


_IMAGE = {"type": "string", "contentEncoding": "base64", "description": "a picture's bytes in base64"}


@router.get("/health", response_model=FormerHealth)
async def health(desk: Annotated[Desk, Depends(the_desk)]) -> dict[str, object]:
    """Say that the service is up, and with which model."""
    model = desk.judge.model
    return {
        "status": "healthy",
        "timestamp": _now(),
        "model_info": {
            "loaded": True,
            "name": model.bundle.id,
            "type": "RandomForestClassifier",
            "classes": list(model.bundle.categories),
            "n_features": model.bundle.forest.features,
            "threshold": model.rule.threshold,
        },
    }


@router.post(
    "/predict",
    response_model=FormerPrediction,
    responses=_ERRORS,
    openapi_extra=_body("image", _IMAGE),
)
async def predict(request: Request, desk: Annotated[Desk, Depends(the_desk)]) -> Response:
    """Say what one picture shows."""
    asked = await asyncio.to_thread(_parsed, await request.body(), "image")
    (picture,) = asked.pictures
    if isinstance(picture, str):
        raise Malformed(picture)
    with desk.places.taken(client_of(request)):
        opinion = await desk.judge.opinion(picture)
    if not opinion.ranked:
        raise Malformed(_why(opinion))
    return JSONResponse(
        {
            "predictions": _entries(opinion, asked.threshold),
            "confidence_threshold": asked.threshold,
            "timestamp": _now(),
            "all_predictions": _entries(opinion, 0.0),
        }
    )


@router.post(
    "/predict/batch",
    response_model=FormerBatch,
    responses=_ERRORS,
    openapi_extra=_body("images", {"type": "array", "items": _IMAGE, "minItems": 1, "maxItems": MOST_IN_A_BATCH}),
)
async def predict_batch(request: Request, desk: Annotated[Desk, Depends(the_desk)]) -> Response:
    """Say what many pictures show; one that is no picture says so in its own entry."""
    asked = await asyncio.to_thread(_parsed, await request.body(), "images")
    entries: list[dict[str, object]] = []
    with desk.places.taken(client_of(request), len(asked.pictures)):
        for start in range(0, len(asked.pictures), _AT_ONCE):
            part = asked.pictures[start : start + _AT_ONCE]
            entries += await asyncio.gather(*(_entry(desk, picture, asked.threshold) for picture in part))
    return JSONResponse(
        {
            "predictions": entries,
            "batch_size": len(asked.pictures),
            "confidence_threshold": asked.threshold,
            "timestamp": _now(),
        }
    )


async def _entry(desk: Desk, picture: bytes | str, threshold: float) -> dict[str, object]:
    if isinstance(picture, bytes):
        opinion = await desk.judge.opinion(picture)
        if opinion.ranked:
            return {
                "filtered_predictions": _entries(opinion, threshold),
                "all_predictions": _entries(opinion, 0.0),
            }
        picture = _why(opinion)
    return {"filtered_predictions": [], "all_predictions": [], "error": picture}


def _entries(opinion: Opinion, threshold: float) -> list[dict[str, object]]:
    return [
        {"category": category, "confidence": round(confidence, 6)}
        for category, confidence in opinion.ranked
        if confidence >= threshold
    ]


def _parsed(body: bytes, name: str) -> Asked:
    """Return what is asked; Malformed says what is wrong."""
    try:
        document = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Malformed("the body must be JSON") from error
    if not isinstance(document, dict) or name not in document:
        raise Malformed(f"the body must be a JSON object with {name!r}")
    threshold = document.get("confidence_threshold", THRESHOLD)
    if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
        raise Malformed("confidence_threshold must be a number from 0 to 1")
    images = document[name]
    if name == "image":
        images = [images]
    elif not isinstance(images, list) or not 1 <= len(images) <= MOST_IN_A_BATCH:
        raise Malformed(f"images must be a list of 1 to {MOST_IN_A_BATCH} pictures in base64")
    return Asked([_picture(image) for image in images], float(threshold))


def _picture(image: object) -> bytes | str:
    """Return a picture's bytes, or what is wrong with it. A data URL, as browsers make them, will do as well."""
    if not isinstance(image, str):
        return "image must be text in base64"
    try:
        data = base64.b64decode(_SPACE.sub("", _DATA_URL.sub("", image, count=1)), validate=True)
    except (binascii.Error, ValueError):
        return "image is not base64"
    return data or "image is empty"


def _why(opinion: Opinion) -> str:
    return f"image cannot be read: {opinion.reason}" + (f" ({opinion.detail})" if opinion.detail else "")


def _now() -> str:
    return datetime.now().astimezone().isoformat()


def is_former(path: str) -> bool:
    """Say whether a path belongs to the former API."""
    return path in ("/health", "/predict", "/predict/batch")


def answer(problem: Problem) -> Response:
    """Return what went wrong as the former system said it; what cannot be done is 400 there."""
    text = f"{problem.title}: {problem.detail}" if problem.detail else problem.title
    status = 400 if problem.status in (415, 422) else problem.status
    return JSONResponse({"error": text}, status, problem.headers)

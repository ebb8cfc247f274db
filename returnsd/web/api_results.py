"""/v1/results, /v1/statistics and /v1/model: what came of it all, and by which model."""

from dataclasses import asdict
from datetime import date
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import FileResponse, Response

from returnsd.figures import total
from returnsd.web.api import STRICT, TheDesk, first_day, problems
from returnsd.web.documents import row_document
from returnsd.web.problems import NotFound
from returnsd.web.schemas import ModelDocument, ResultRows, Statistics

router = APIRouter(tags=["results"])

_MOST_ROWS = 5000


@router.get(
    "/results/{day}",
    response_model=ResultRows,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}, **problems(404)},
    dependencies=STRICT,
)
async def results(
    day: Annotated[date, Path(description="a local day, YYYY-MM-DD")],
    desk: TheDesk,
    kind: Annotated[
        Literal["returns", "decisions"], Query(description="verdicts, or what people decided")
    ] = "returns",
    format: Annotated[Literal["csv", "json"], Query(description="the day's file, or rows in JSON")] = "json",
    after: Annotated[int, Query(ge=0, le=2**53, description="go on from here: next_after")] = 0,
    limit: Annotated[int, Query(ge=1, le=_MOST_ROWS, description="how many rows of JSON at most")] = 1000,
) -> ResultRows | Response:
    """Return the results of a local day."""
    if format == "csv":
        path = desk.config.paths.results / f"{kind}-{day.isoformat()}.csv"
        if not path.is_file():
            raise NotFound(f"there are no {kind} of {day}")
        return FileResponse(path, media_type="text/csv; charset=utf-8; header=present", filename=path.name)
    rows = await desk.searching.ask(lambda history: history.rows(kind, day.isoformat(), after, limit))
    if not rows and not after:
        raise NotFound(f"there are no {kind} of {day}")
    more = rows[-1][0] if len(rows) == limit else None
    return ResultRows(day=day.isoformat(), rows=[row_document(row) for _, row in rows], next_after=more)


@router.get("/statistics", responses=problems(), dependencies=STRICT)
async def statistics(
    desk: TheDesk, days: Annotated[int, Query(ge=1, le=366, description="how many local days up to today")] = 30
) -> Statistics:
    """Return how much of what there was over some days up to today, and how things stand now."""
    first = first_day(days)
    found, categories, reasons = await desk.counting.ask(
        lambda figures: (figures.days(first), figures.categories(first), figures.reasons(first))
    )
    waiting, oldest = await desk.reading.ask(lambda reading: (reading.count(), reading.history.oldest_waiting()))
    beat = await desk.pulse.feel(desk.config)
    service = beat.service
    document = {
        "since": first,
        "days": [asdict(day) for day in found],
        "total": asdict(total(found)),
        "categories": categories,
        "rejected": reasons,
        "waiting": waiting,
        "oldest_waiting": oldest,
        "queued": beat.found["queued"],
        "running": service is not None,
        "per_second": None if service is None else service["per_second"],
        "problem": beat.problem,
    }
    return Statistics.model_validate(document)


@router.get("/model", responses=problems())
async def model(desk: TheDesk) -> ModelDocument:
    """Return the model in force."""
    bundle, rule = desk.judge.model.bundle, desk.judge.model.rule
    return ModelDocument(
        model=bundle.id,
        categories=list(bundle.categories),
        features=bundle.forest.features,
        trees=bundle.forest.trees,
        threshold=rule.threshold,
        target_accuracy=desk.config.model.target_accuracy,
        shortlist_coverage=desk.config.model.shortlist_coverage,
        card=dict(bundle.card),
    )

"""What machines ask to know how we are: /livez, /readyz and /metrics (Prometheus).

Alive is: this process answers. Ready is: it can judge pictures and read the ledger. Whether the worker runs is
told, but the page can settle what waits without it. Metrics hold counts and no names of files.
"""

import os
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, PlainTextResponse, Response

import returnsd
from returnsd.obstacles import obstacle
from returnsd.records import Shelf
from returnsd.web.access import the_desk
from returnsd.web.desk import Desk
from returnsd.web.pulse import Beat

router = APIRouter(tags=["probes"])

TheDesk = Annotated[Desk, Depends(the_desk)]
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@router.get("/livez", response_class=PlainTextResponse)
async def livez() -> str:
    """Answer that this process lives."""
    return "ok\n"


@router.get("/readyz", responses={503: {"description": "not ready; the members that are not `ok` say why"}})
async def readyz(desk: TheDesk) -> JSONResponse:
    """Say whether pictures can be judged and decided here, and whether the worker runs."""
    checks = {"decoders": "ok" if desk.judge.answering else "not answering", "ledger": "ok"}
    try:
        await desk.reading.ask(lambda reading: reading.history.newest_decision())
    except Exception as error:  # whatever it is, we are not ready
        checks["ledger"] = str(obstacle(error, desk.config.paths))
    beat = await desk.pulse.feel(desk.config)
    ready = set(checks.values()) == {"ok"}
    worker = "stopped" if beat.service is None else beat.problem or "running"
    told = {"ready": ready, **checks, "worker": worker}
    return JSONResponse(told) if ready else JSONResponse(told, 503, {"Retry-After": "5"})


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(desk: TheDesk) -> Response:
    """Tell Prometheus how the installation is doing."""
    beat = await desk.pulse.feel(desk.config)
    waiting = await desk.reading.ask(lambda reading: reading.count())
    lines = [*_installation(beat), *_model(desk), *_process(desk)]
    lines += _metric("returnsd_review_waiting_items", "gauge", "Items that wait for a person now.", {"": waiting})
    lines += _metric("returnsd_web_pictures_asked", "gauge", "Pictures under way here.", {"": desk.judge.asked})
    lines += desk.traffic.lines()
    return Response("\n".join(lines) + "\n", media_type=_TEXT)


def _installation(beat: Beat) -> list[str]:
    found, service = beat.found, beat.service
    total, acts = found.get("total", {}), found.get("acts", {})
    judged = {f'shelf="{shelf.value}"': acts.get("judged", {}).get(shelf.value, 0) for shelf in Shelf}
    stands = {f'state="{name}"': count for name, count in total.items() if name not in ("day", "received")}
    lines = _metric("returnsd_items_seen_total", "counter", "Items taken in.", {"": total.get("received", 0)})
    text = "How the items taken in stand now; the states add up to returnsd_items_seen_total."
    lines += _metric("returnsd_standing_items", "gauge", text, stands)
    text = "Acts of judging, by the shelf of the verdict, whatever people decided after it."
    lines += _metric("returnsd_items_judged_total", "counter", text, judged)
    text = "Acts of people: decisions, answers of the audit, taking back; for states see returnsd_standing_items."
    lines += _metric("returnsd_decisions_total", "counter", text, {"": acts.get("decisions", 0)})
    lines += _metric("returnsd_inbox_files", "gauge", "Files in the inbox.", {"": found["inbox_files"]})
    lines += _metric("returnsd_queue_items", "gauge", "Items taken in and not judged.", {"": found["queued"]})
    lines += _metric("returnsd_worker_up", "gauge", "Whether the worker runs.", {"": int(service is not None)})
    paused = int(beat.problem is not None)
    lines += _metric("returnsd_worker_paused", "gauge", "Whether the worker takes nothing in.", {"": paused})
    free = {'volume="state"': beat.free_bytes}
    return lines + _metric("returnsd_disk_free_bytes", "gauge", "Free bytes where the state is.", free)


def _model(desk: Desk) -> list[str]:
    model = desk.judge.model
    labels = f'model="{_label(model.bundle.id)}",version="{_label(returnsd.__version__)}"'
    lines = _metric("returnsd_model_info", "gauge", "The model in force; always 1.", {labels: 1})
    threshold = model.rule.threshold
    if threshold is not None:
        text = "Confidence from which items are archived; missing if none are."
        lines += _metric("returnsd_model_threshold_ratio", "gauge", text, {"": threshold})
    return lines


def _process(desk: Desk) -> list[str]:
    with open("/proc/self/statm", encoding="ascii") as file:
        resident = int(file.read().split()[1]) * _PAGE_BYTES
    times = os.times()
    used = {"": times.user + times.system}
    lines = _metric("process_cpu_seconds_total", "counter", "Processor time of the web process.", used)
    lines += _metric("process_resident_memory_bytes", "gauge", "Memory of the web process.", {"": resident})
    lines += _metric(
        "process_start_time_seconds", "gauge", "When the web process started.", {"": desk.traffic.started}
    )
    return lines


def _metric(name: str, kind: str, help: str, values: dict[str, Any]) -> list[str]:
    lines = [f"# HELP {name} {help}", f"# TYPE {name} {kind}"]
    for labels, value in values.items():
        lines.append(f"{name}{{{labels}}} {value}" if labels else f"{name} {value}")
    return lines


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

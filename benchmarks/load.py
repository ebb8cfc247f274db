"""The API under load: 50 clients at once on loopback, asking for predictions, submitting, reading what waits.

What must hold: no answer but 2xx, 429 and 503; memory flat between the first quarter and the end.
`python -m benchmarks.load [SECONDS]`; RETURNSD_BENCH_BUNDLE names another bundle than the shipped one.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import pictures
from benchmarks.running import RunningService

CLIENTS = 50
SECONDS = 60.0
PICTURES = 200

CONFIG = """
model: {{bundle: {bundle}}}
web: {{port: 0}}
log: {{level: info, format: json}}
"""


@dataclass
class Found:
    """What the clients met, and how much memory all processes of the service used (MiB, PSS)."""

    statuses: Counter[int] = field(default_factory=Counter)
    took_s: dict[str, list[float]] = field(default_factory=dict)
    memory_mib: list[float] = field(default_factory=list)


def measure(seconds: float = SECONDS) -> Found:
    """Run the clients; return what they met."""
    bundle = os.environ.get("RETURNSD_BENCH_BUNDLE", "retail21")
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("RETURNSD_BENCH_DIR")) as folder,
        RunningService(Path(folder), CONFIG.format(bundle=bundle)) as service,
    ):
        service.start(arguments=["--web"])
        found = asyncio.run(_ask_all(service, service.web_address(), seconds))
        service.stop()
    return found


async def _ask_all(service: RunningService, address: str, seconds: float) -> Found:
    found = Found()
    many = pictures.some(PICTURES)
    url = urlsplit(address)
    until = time.monotonic() + seconds
    clients = [_client(number, url.hostname or "", url.port or 80, many, until, found) for number in range(CLIENTS)]
    watching = asyncio.create_task(_watch_memory(service, seconds, found))
    await asyncio.gather(*clients)
    watching.cancel()
    return found


async def _watch_memory(service: RunningService, seconds: float, found: Found) -> None:
    while True:
        await asyncio.sleep(seconds / 16)
        found.memory_mib.append(await asyncio.to_thread(service.memory_mib))


async def _client(number: int, host: str, port: int, many: list[bytes], until: float, found: Found) -> None:
    """Ask one thing after the other over one connection: mostly predictions, now and then the rest."""
    reader, writer = await asyncio.open_connection(host, port)
    asked = number
    while time.monotonic() < until:
        asked += 1
        if asked % 20 == 0:
            name, request = "submit", _request("POST /v1/items", host, many[asked % len(many)])
        elif asked % 10 == 5:
            name, request = "review", _request("GET /v1/review?limit=50", host)
        else:
            name, request = "predict", _request("POST /v1/predict", host, many[asked % len(many)])
        began = time.monotonic()
        writer.write(request)
        status, wait_s = await _answer(reader)
        found.statuses[status] += 1
        found.took_s.setdefault(name, []).append(time.monotonic() - began)
        if wait_s:
            await asyncio.sleep(wait_s)
    writer.close()


def _request(what: str, host: str, body: bytes = b"") -> bytes:
    head = f"{what} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\nContent-Type: image/jpeg\r\n\r\n"
    return head.encode() + body


async def _answer(reader: asyncio.StreamReader) -> tuple[int, float]:
    """Return an answer's status and how long it asks to wait."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    await reader.readexactly(int(fields["content-length"]))
    return int(head.split(" ")[1]), float(fields.get("retry-after", 0))


def main() -> int:
    """Print the figures; 1 if they are not as promised."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    found = measure(seconds)
    total = sum(found.statuses.values())
    print(f"{CLIENTS} clients for {seconds:.0f} s, {pictures.source()}: {total / seconds:.0f} answers a second")
    print("  statuses: " + ", ".join(f"{status}: {count}" for status, count in sorted(found.statuses.items())))
    for name, times in sorted(found.took_s.items()):
        ranked = sorted(times)
        p50, p99 = ranked[len(ranked) // 2], ranked[int(0.99 * len(ranked))]
        print(f"  {name}: median {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms")
    quarter, end = found.memory_mib[len(found.memory_mib) // 4], found.memory_mib[-1]
    print(f"  memory of all processes: {quarter:.0f} MiB after a quarter, {end:.0f} MiB at the end")
    bad = set(found.statuses) - {200, 201, 429, 503}
    return 1 if bad or end > 1.25 * quarter else 0


if __name__ == "__main__":
    sys.exit(main())

"""Drop to row at 20 pictures a second: how long after its rename into the inbox a picture's row is in the CSV."""

import os
import tempfile
import threading
import time
from pathlib import Path

from benchmarks import pictures
from benchmarks.running import RunningService

RATE = 20
SECONDS = 30
SETTLE_S = 1.0
MAX_WAIT_S = 0.25

CONFIG = f"""
watch: {{settle_s: {SETTLE_S}}}
batch: {{max_wait_s: {MAX_WAIT_S}}}
model: {{bundle: retail21}}
log: {{level: warning, format: json}}
"""


def measure() -> dict[str, float]:
    """Return the median and the 99th percentile of drop to row, in seconds."""
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("RETURNSD_BENCH_DIR")) as folder,
        RunningService(Path(folder), CONFIG) as service,
    ):
        many = pictures.some(RATE * SECONDS)
        service.start()
        dropped: list[float] = []
        dropping = threading.Thread(target=_drop, args=(service.inbox, many, dropped))
        dropping.start()
        written = _watch_rows(service, len(many))
        dropping.join()
    waits = sorted(row_at - drop_at for drop_at, row_at in zip(dropped, written, strict=True))
    return {"p50_s": waits[len(waits) // 2], "p99_s": waits[int(len(waits) * 0.99)], "worst_s": waits[-1]}


def _drop(inbox: Path, many: list[bytes], dropped: list[float]) -> None:
    began = time.monotonic()
    for number, data in enumerate(many):
        time.sleep(max(0.0, began + number / RATE - time.monotonic()))
        draft = inbox / f".{number:06}.jpg"
        draft.write_bytes(data)
        dropped.append(time.monotonic())
        draft.rename(inbox / f"{number:06}.jpg")


def _watch_rows(service: RunningService, count: int) -> list[float]:
    """Return when each picture's row was there, by number."""
    seen: dict[int, float] = {}
    deadline = time.monotonic() + SECONDS + 60
    position = 0
    while len(seen) < count and time.monotonic() < deadline:
        for path in (service.folder / "var/results").glob("returns-*.csv"):
            with path.open("rb") as file:
                file.seek(position)
                new = file.read()
            now = time.monotonic()
            whole = new[: new.rfind(b"\n") + 1]
            position += len(whole)
            for line in whole.splitlines():
                name = line.split(b",")[3]
                if name.endswith(b".jpg"):
                    seen[int(name[:-4])] = now
        time.sleep(0.002)
    return [seen[number] for number in range(count)]


def main() -> None:
    """Print the figures."""
    found = measure()
    print(f"drop to row, {RATE} pictures/s for {SECONDS} s, settle_s {SETTLE_S}, max_wait_s {MAX_WAIT_S}:")
    print(f"  median {found['p50_s']:.3f} s, p99 {found['p99_s']:.3f} s, worst {found['worst_s']:.3f} s")
    print(f"  (p99 must stay under {SETTLE_S + MAX_WAIT_S + 0.15:.2f} s)")


if __name__ == "__main__":
    main()

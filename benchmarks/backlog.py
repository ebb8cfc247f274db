"""20,000 pictures dropped at once: time to ready, memory meanwhile, and how long a newcomer waits."""

import os
import tempfile
import time
from pathlib import Path

from benchmarks import pictures
from benchmarks.running import RunningService

COUNT = 20_000
DIFFERENT = 500

CONFIG = """
watch: {settle_s: 0.2}
model: {bundle: retail21}
log: {level: warning, format: json}
"""


def measure() -> dict[str, float]:
    """Return seconds to ready, the highest memory in MiB, and the newcomer's wait in seconds and in shares."""
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("RETURNSD_BENCH_DIR")) as folder,
        RunningService(Path(folder), CONFIG) as service,
    ):
        some = pictures.some(DIFFERENT)
        for number in range(COUNT):
            (service.inbox / f"{number:06}.jpg").write_bytes(some[number % DIFFERENT])
        service.start()
        began = time.monotonic()
        memory = [service.memory_mib()]
        while service.rows() < COUNT // 10:
            memory.append(service.memory_mib())
            time.sleep(0.2)
        before = service.rows()
        newcomer = service.inbox / "newcomer.jpg"
        dropped = time.monotonic()
        newcomer.write_bytes(some[0])
        while b"newcomer.jpg" not in _csv(service):
            time.sleep(0.01)
        waited = time.monotonic() - dropped
        overtaken = service.rows() - before
        while service.rows() <= COUNT:
            memory.append(service.memory_mib())
            time.sleep(0.5)
        whole_s = time.monotonic() - began
        service.stop()
    return {
        "ready_s": service.ready_s,
        "memory_first_mib": memory[0],
        "memory_most_mib": max(memory),
        "newcomer_s": waited,
        "newcomer_behind": float(overtaken),
        "whole_s": whole_s,
        "per_s": COUNT / whole_s,
    }


def _csv(service: RunningService) -> bytes:
    return b"".join(path.read_bytes() for path in (service.folder / "var/results").glob("returns-*.csv"))


def main() -> None:
    """Print the figures."""
    found = measure()
    print(f"{COUNT} pictures dropped at once:")
    print(f"  ready after {found['ready_s']:.2f} s")
    print(
        f"  memory of all processes {found['memory_first_mib']:.0f} MiB, at most {found['memory_most_mib']:.0f} MiB"
    )
    print(
        f"  a picture dropped meanwhile has its row after {found['newcomer_s']:.2f} s, behind"
        f" {found['newcomer_behind']:.0f} of the {COUNT}"
    )
    print(f"  all judged after {found['whole_s']:.1f} s ({found['per_s']:.0f} pictures/s)")


if __name__ == "__main__":
    main()

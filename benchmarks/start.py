"""From the command to READY, and what an idle service costs."""

import tempfile
import time
from pathlib import Path

from benchmarks.running import RunningService

STARTS = 5
IDLE_S = 30

CONFIG = "model: {bundle: retail21}\nlog: {level: warning, format: json}\n"


def measure() -> dict[str, float]:
    """Return the median seconds to READY and the idle share of one core."""
    ready = []
    with tempfile.TemporaryDirectory() as folder, RunningService(Path(folder), CONFIG) as service:
        for _ in range(STARTS):
            service.start()
            ready.append(service.ready_s)
            service.stop()
        service.start()
        time.sleep(2)
        before = service.cpu_s()
        time.sleep(IDLE_S)
        idle = (service.cpu_s() - before) / IDLE_S
        memory = service.memory_mib()
        service.stop()
    return {"ready_s": sorted(ready)[STARTS // 2], "idle_share": idle, "memory_mib": memory}


def main() -> None:
    """Print the figures."""
    found = measure()
    print(f"start to READY {found['ready_s']:.2f} s (median of {STARTS}), idle CPU {found['idle_share']:.2%},")
    print(f"memory idle {found['memory_mib']:.0f} MiB with two decoders")


if __name__ == "__main__":
    main()

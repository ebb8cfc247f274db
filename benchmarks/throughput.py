"""Inbox to shelf, durable: pictures per second of the service against the former way, on one core, in one run."""

import os
import tempfile
import time
from pathlib import Path

from benchmarks import former, pictures
from benchmarks.running import RunningService

COUNT = 3000
FORMER = 20

CONFIG = """
watch: {{settle_s: 0.0}}
model: {{bundle: {bundle}}}
workers: 1
log: {{format: json}}
keep: {{rejected_days: null}}
"""


def measure(bundle: str = "retail21-fast") -> dict[str, float]:
    """Return the pictures per second of both, and their ratio."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the same one core for both
    with tempfile.TemporaryDirectory(dir=os.environ.get("RETURNSD_BENCH_DIR")) as folder:
        theirs = _former(Path(folder) / "former")
        ours = _ours(Path(folder) / "ours", bundle)
    return {"former_per_s": theirs, "service_per_s": ours, "ratio": ours / theirs}


def _former(folder: Path) -> float:
    inbox = folder / "inbox"
    inbox.mkdir(parents=True)
    (folder / "processed").mkdir()
    for number, data in enumerate(pictures.some(FORMER)):
        (inbox / f"{number}.jpg").write_bytes(data)
    model = former.train(sorted(inbox.iterdir()), folder)
    began = time.perf_counter()
    done = former.run(inbox, folder, model)
    return done / (time.perf_counter() - began)


def _ours(folder: Path, bundle: str) -> float:
    with RunningService(folder, CONFIG.format(bundle=bundle)) as service:
        many = pictures.some(COUNT)
        for number, data in enumerate(many):
            (service.inbox / f"{number}.jpg").write_bytes(data)
        os.sync()
        service.start()
        taken_s = service.wait_for_rows(len(many))
        service.stop()
        audited = service.run("audit")
        assert audited.returncode == 0, audited.stdout
        return len(many) / taken_s


def main() -> None:
    """Print the figures."""
    found = measure()
    print(f"throughput, one core, {pictures.source()}:")
    print(f"  former way          {found['former_per_s']:8.1f} pictures/s")
    print(f"  returnsd, durable   {found['service_per_s']:8.1f} pictures/s")
    print(f"  ratio               {found['ratio']:8.1f}")


if __name__ == "__main__":
    main()

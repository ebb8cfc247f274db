"""Inbox to shelf, durable: pictures per second of the service against the former way, on one core, in one run.

Three models: basic features alone, which take about a millisecond, and the two that are embedded, which see more.
"""

import os
import tempfile
import time
from pathlib import Path

from benchmarks import former, models, pictures
from benchmarks.running import RunningService

COUNT = 3000
RECORDED_S = 0.153 + 0.013
"""The least that the former system itself was recorded to take for a picture, on a machine like ours: features and
forest. The rebuild takes about half of that."""
FORMER = 20

CONFIG = """
watch: {{settle_s: 0.0}}
model: {{bundle: {bundle}}}
workers: 1
log: {{format: json}}
keep: {{rejected_days: null}}
"""


def measure() -> dict[str, float]:
    """Return the pictures per second of the former way, and of the service with each model."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # the same one core for all
    with tempfile.TemporaryDirectory(dir=os.environ.get("RETURNSD_BENCH_DIR")) as made:
        folder = Path(made)
        bundles = {
            "basic features, 100 trees": str(models.basic(folder)),
            "retail21-fast": "retail21-fast",
            "retail21": "retail21",
        }
        found = {"former way": _former(folder / "former")}
        for number, (name, bundle) in enumerate(bundles.items()):
            found[name] = _ours(folder / f"ours-{number}", bundle)
    return found


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
    former_per_s = found["former way"]
    print(f"throughput, inbox to shelf, durable, one core, {pictures.source()}:")
    for name, per_s in found.items():
        print(
            f"  {name:<28}{per_s:8.1f} pictures/s{per_s / former_per_s:8.1f} times the former way rebuilt,"
            f"{per_s * RECORDED_S:8.1f} times its recorded {1000 * RECORDED_S:.0f} ms"
        )


if __name__ == "__main__":
    main()

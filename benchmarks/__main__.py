"""`python -m benchmarks [name ...]` prints the figures that the README quotes; without names, all of them."""

import importlib
import subprocess
import sys

NAMES = ("seeing", "throughput", "latency", "backlog", "start", "load", "page")


def main() -> int:
    """Run each benchmark in a process of its own; return how many failed."""
    failed = 0
    for name in sys.argv[1:] or NAMES:
        importlib.import_module(f"benchmarks.{name}")  # a wrong name is told at once
        failed += subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())

"""The house: imports run downwards, the pure stay pure, and the service starts without the training's weight."""

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From the roof to the ground; a module imports only from rows below its own.
LAYERS = [
    ["__main__"],
    ["cli"],
    ["web"],
    ["doctor"],
    ["nightly", "classify", "models"],
    ["service"],
    ["worker"],
    ["review", "retention", "status", "audit", "diagnosis", "backup", "notify"],
    ["survey"],
    ["inbox", "doorbell", "spool", "results", "bundle", "figures", "machine"],
    ["history"],
    ["ledger"],
    ["schema"],
    ["forest", "memory", "vision"],
    ["companion", "obstacles"],
    ["disk", "sdnotify", "logs", "metrics", "progress"],
    ["policy", "journal", "report"],
    ["words"],
    ["records", "config", "item_id"],
    ["rules", "yaml_text"],
    ["errors"],
    [""],  # returnsd/__init__.py
]
# Inside vision the same holds from left to right.
VISION = ["decoder", "pool", "wire", "jail", "decode", "extractor", "grids", "fisher", "directions", "descriptors"]
VISION += ["features", "formats", ""]

PURE = {"policy", "records", "config", "rules", "yaml_text", "item_id", "errors", "forest", "memory", "report"}
PURE |= {"words"}
IMPURE = {"asyncio", "ctypes", "fcntl", "glob", "logging", "mmap", "multiprocessing", "os", "random", "secrets"}
IMPURE |= {"select", "selectors", "shutil", "signal", "socket", "sqlite3", "subprocess", "sys", "syslog"}
IMPURE |= {"tempfile", "threading", "time", "cv2", "structlog", "tqdm", "watchdog"}
IMPURE_CALLS = {"open", "print", "input", "now", "utcnow", "today"}
IMPURE_CALLS |= {"read_text", "read_bytes", "write_text", "write_bytes"}
# Only training may use these: the service must start without them.
HEAVY = {"joblib", "pandas", "scipy", "skimage", "sklearn"}


def modules(root: Path) -> Iterator[tuple[str, ast.Module]]:
    """Yield every module below a directory with its dotted name."""
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield name, ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(name: str, tree: ast.Module, root: Path) -> Iterator[str]:
    """Yield the dotted name of everything a module imports, wherever in it."""
    is_package = (root / name.replace(".", "/") / "__init__.py").exists()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")[: len(name.split(".")) - node.level + is_package]
                base = ".".join([*parts, *filter(None, [node.module])])
            for alias in node.names:
                place = root / base.replace(".", "/")
                is_module = (place / f"{alias.name}.py").exists() or (place / alias.name).is_dir()
                yield f"{base}.{alias.name}" if is_module else base


def violations(root: Path) -> list[str]:
    """Return what breaks the rules of the house in a source tree, a sentence each."""
    found: list[str] = []
    for name, tree in modules(root / "returnsd"):
        layer(name)  # every module has a place
        inside, imported = f"returnsd.{name}".rstrip("."), set()
        for target in imports(inside, tree, root):
            imported.add(target.split(".")[0])
            if target.split(".")[0] == "returnsd" and target != inside:
                found += upward(name, target.removeprefix("returnsd").removeprefix("."))
        found += [f"{inside} imports {heavy}" for heavy in sorted(imported & (HEAVY | {"training", "benchmarks"}))]
        if name in PURE:
            found += [f"{inside} is pure and imports {module}" for module in sorted(imported & IMPURE)]
            found += [f"{inside} is pure and calls {call}" for call in sorted(calls(tree) & IMPURE_CALLS)]
    return found


def upward(name: str, target: str) -> list[str]:
    """Return a complaint when `target` does not lie below `name`; both without the package's name."""
    if name.split(".")[0] == target.split(".")[0] == "vision":
        above, below = (VISION.index(module.removeprefix("vision").removeprefix(".")) for module in (name, target))
    elif name.split(".")[0] == target.split(".")[0] == "web":
        return []
    else:
        above, below = layer(name), layer(target)
    return [] if above < below else [f"returnsd.{name} imports returnsd.{target}, which is not below it"]


def layer(name: str) -> int:
    for row, members in enumerate(LAYERS):
        if name.split(".")[0] in members:
            return row
    raise AssertionError(f"returnsd.{name} has no place in the house: give it one in LAYERS")


def calls(tree: ast.Module) -> set[str]:
    functions = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {
        function.id if isinstance(function, ast.Name) else function.attr
        for function in functions
        if isinstance(function, ast.Name | ast.Attribute)
    }


def test_imports_run_downwards_and_the_pure_stay_pure() -> None:
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("spool", "from returnsd import worker", "returnsd.spool imports returnsd.worker"),
        ("spool", "from returnsd.inbox import Inbox", "returnsd.spool imports returnsd.inbox"),
        ("disk", "def f():\n    import returnsd.cli", "returnsd.disk imports returnsd.cli"),
        ("disk", "from . import worker", "returnsd.disk imports returnsd.worker"),
        ("ledger", "from .vision import pool\nfrom .worker import step", "returnsd.ledger imports returnsd.worker"),
        ("vision/formats", "from . import pool", "returnsd.vision.formats imports returnsd.vision.pool"),
        ("vision/formats", "from ..worker import step", "returnsd.vision.formats imports returnsd.worker"),
        ("vision/__init__", "from .pool import Pool", "returnsd.vision imports returnsd.vision.pool"),
        ("worker", "import sklearn.ensemble", "returnsd.worker imports sklearn"),
        ("worker", "from training import forest", "returnsd.worker imports training"),
        ("policy", "import time", "returnsd.policy is pure and imports time"),
        ("policy", "def f(now):\n    return now.now()", "returnsd.policy is pure and calls now"),
        ("config", "def f(path):\n    return open(path)", "returnsd.config is pure and calls open"),
    ],
)
def test_a_violation_is_reported(module: str, source: str, complaint: str, tmp_path: Path) -> None:
    for name in ("__init__", "worker", "inbox", "cli", "vision/__init__", "vision/pool", module):
        path = tmp_path / f"returnsd/{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source if name == module else "")

    found = violations(tmp_path)

    assert len(found) == 1
    assert found[0].startswith(complaint)


def test_a_module_without_a_place_in_the_house_is_reported(tmp_path: Path) -> None:
    (tmp_path / "returnsd").mkdir()
    (tmp_path / "returnsd/helpers.py").write_text("")

    with pytest.raises(AssertionError, match="no place in the house"):
        violations(tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("returnsd.cli") is None, reason="there is no returnsd.cli yet")
def test_the_service_starts_without_the_weight_of_training() -> None:
    code = "import sys, returnsd.cli; print(*sorted({name.split('.')[0] for name in sys.modules}))"

    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert "yaml" in loaded.stdout.split()
    assert HEAVY.isdisjoint(loaded.stdout.split())

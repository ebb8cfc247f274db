"""The walkthrough: the notebook runs from the first picture drawn to decisions that are learnt from."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "training/walkthrough.ipynb"


@pytest.fixture(scope="module")
def notebook() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def text_of(cell: Any) -> str:
    """Return all that a cell printed or showed."""
    streams = [output.get("text", "") for output in cell.outputs]
    shown = [output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "".join(streams + shown)


def test_it_is_kept_without_outputs(notebook: Any) -> None:
    nbformat.validate(notebook)

    assert all(
        not cell.outputs and cell.execution_count is None for cell in notebook.cells if cell.cell_type == "code"
    )


def test_it_runs_from_exploration_to_decisions(
    notebook: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    client = NotebookClient(
        notebook, timeout=90, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )

    client.execute()

    said = "\n".join(text_of(cell) for cell in notebook.cells if cell.cell_type == "code")
    assert "1003 pictures under 4 labels" in said
    assert "left out: 2 same picture under 2 labels" in said
    assert "48 pictures judged" in said
    assert "3 decisions, 0 archived items" in said
    assert "'evaluate.html'" in said
    (here,) = tmp_path.glob("walkthrough-*")
    assert (here / "next/manifest.csv").exists()

"""Every notebook runs from top to bottom, as a user would run it, and shows what it promises."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "docs" / "notebooks"


def outputs(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    """Return what the cells left behind of one MIME type."""
    return [
        output["data"][kind]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if kind in output.get("data", {})
    ]


@pytest.mark.slow
def test_from_reading_to_overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # what the notebook writes goes with the test
    monkeypatch.delenv("MPLBACKEND", raising=False)  # Streamlit sets it in whatever process imports it
    notebook = nbformat.read(NOTEBOOKS / "slices.ipynb", as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert len(outputs(notebook, "image/png")) == 3  # sequences, curves, overlay
    scores = ast.literal_eval(outputs(notebook, "text/plain")[-2])
    assert list(scores) == ["dice", "precision", "sensitivity", "specificity"]
    assert scores["dice"] > 0.3
    assert (next(tmp_path.glob("metseg-*")) / "run" / "bundle" / "model.safetensors").exists()


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    assert not any(cell.get("execution_count") for cell in notebook.cells)

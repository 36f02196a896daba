"""Every notebook runs from top to bottom, as a user would run it, and shows what it promises."""

from __future__ import annotations

import ast
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import metseg

NOTEBOOKS = Path(__file__).parents[2] / "docs" / "notebooks"


def outputs(notebook: nbformat.NotebookNode, kind: str) -> list[str]:
    """Return what the cells left behind of one MIME type."""
    return [
        output["data"][kind]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if kind in output.get("data", {})
    ]


def run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nbformat.NotebookNode:
    """Return a notebook with its outputs."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # what the notebook writes goes with the test
    monkeypatch.delenv("MPLBACKEND", raising=False)  # Streamlit sets it in whatever process imports it
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    return notebook


@pytest.mark.slow
def test_from_reading_to_overlay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = run("slices", tmp_path, monkeypatch)
    assert len(outputs(notebook, "image/png")) == 3  # sequences, curves, overlay
    scores = ast.literal_eval(outputs(notebook, "text/plain")[-2])
    assert list(scores) == ["dice", "precision", "sensitivity", "specificity"]
    assert scores["dice"] > 0.3
    assert (next(tmp_path.glob("metseg-*")) / "run" / "bundle" / "model.safetensors").exists()


@pytest.mark.slow
def test_from_arrays_to_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = run("arrays", tmp_path, monkeypatch)
    assert len(outputs(notebook, "image/png")) == 2  # case, prediction
    scores = ast.literal_eval(outputs(notebook, "text/plain")[-1])
    assert list(scores) == ["WT", "TC", "ET"]
    assert scores["WT"] > 0.5
    work = next(tmp_path.glob("metseg-*"))
    written = {path.name for path in (work / "out").iterdir()}
    assert written == {"patient-1-seg.nii.gz", "patient-1-overlay.png", "patient-1.json"}
    assert (work / "mask.nii.gz").exists()


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_use_public_names_only(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code").replace("();", "()")
    imported = [
        name
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
    ]
    assert "metseg" in imported
    assert not [name for name in imported if name.startswith("metseg.")]
    used = {
        node.attr
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "metseg"
    }
    assert used <= set(metseg.__all__)


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    assert not any(cell.get("execution_count") for cell in notebook.cells)

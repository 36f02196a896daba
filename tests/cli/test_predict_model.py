"""``metseg predict`` and ``metseg submit`` without ``--model``: which model, why, and what is said if none fits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from metseg import bundle_folder
from metseg.bundle_folder import checksums
from metseg.recipe import Recipe, parse_recipe

Run = Callable[..., tuple[int, str, str]]

VOLUME = """
name = "small"
data = { modalities = ["t1c"], dimensions = 3, licence = "none: simulated patients (metseg simulate)" }
preprocess = [{ name = "zscore" }]
model = { name = "cnn", channels = [1, 1] }
train = { patch_size = [8, 8, 8], precision = "float32" }
"""


def recipe_of(text: str = VOLUME) -> Recipe:
    return parse_recipe(text, where="small")


def write_unrunnable(folder: Path, recipe: Recipe) -> None:
    """Write a bundle that can be listed and not run."""
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(recipe.to_toml())
    (folder / "metrics.json").write_text("{}")
    (folder / "sha256").write_text(checksums(folder))


@pytest.fixture
def bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the only place where bundles are searched for."""
    monkeypatch.setattr(bundle_folder, "bundle_places", lambda: (tmp_path / "bundles",))
    monkeypatch.delenv("METSEG_ACCEPTED_MODELS", raising=False)
    return tmp_path / "bundles"


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "t1c.nii.gz"
    path.parent.mkdir()
    image = np.random.default_rng(0).normal(50, 5, (12, 12, 10)).astype(np.float32)
    nib.save(nib.Nifti1Image(image, np.diag([1.0, 1, 2, 1])), path)
    return path


def test_the_fitting_model_is_used_and_the_reason_printed_and_stored(
    run_metseg: Run, bundles: Path, scan: Path, tmp_path: Path
) -> None:
    from metseg.model import build_from_recipe
    from metseg.model.bundle import save_bundle

    recipe = recipe_of()
    save_bundle(bundles / "small", networks=[build_from_recipe(recipe)], recipe=recipe, card="small", metrics={})
    better = recipe_of(VOLUME.replace("none: simulated patients (metseg simulate)", "Hospital A; CC BY-NC 4.0"))
    write_unrunnable(bundles / "real", better)
    status, _, err = run_metseg("predict", scan, "--out", tmp_path / "out", "--device", "cpu")
    assert status == 0, err
    reason = (
        "Model small was chosen: it is the only usable model that fits, it is for volumes, uses t1c, and was trained on"
        " simulated patients (metseg simulate)."
    )
    hint = (
        "Model real, trained on Hospital A, would fit better; it is for non-commercial use only, and can be used after"
        " metseg models accept real."
    )
    assert err.splitlines()[:2] == [f"note: {reason}", f"note: {hint}"]
    document = json.loads((tmp_path / "out" / "t1c.json").read_text("utf-8"))
    assert document["model"] == "small"
    assert document["model_reason"] == f"{reason} {hint}"
    named = ("predict", scan, "--model", "small", "--out", tmp_path / "named", "--device", "cpu")
    assert run_metseg(*named)[0] == 0
    assert json.loads((tmp_path / "named" / "t1c.json").read_text("utf-8"))["model_reason"] == ""


def test_if_none_fits_there_is_a_line_for_each_model(run_metseg: Run, bundles: Path, tmp_path: Path) -> None:
    write_unrunnable(bundles / "a", recipe_of())
    write_unrunnable(bundles / "b", recipe_of())
    picture = tmp_path / "slice.png"
    Image.fromarray(np.zeros((8, 8), dtype=np.uint8)).save(picture)
    status, out, err = run_metseg("predict", picture, "--out", tmp_path / "out")
    assert (status, out) == (3, "")
    why = "cannot be used: it needs a volume, and pictures were given; give the volume as NIfTI or DICOM"
    assert err.splitlines()[:2] == [f"note: model {name} {why}" for name in "ab"]
    assert "no installed model fits this input" in err.splitlines()[2]
    assert not (tmp_path / "out").exists()


def test_named_sequences_count(run_metseg: Run, bundles: Path, scan: Path, tmp_path: Path) -> None:
    write_unrunnable(bundles / "a", recipe_of())
    words = ("predict", "--modality", f"t2f={scan}", "--out", tmp_path / "out")
    status, _, err = run_metseg(*words)
    assert status == 3
    assert "model a cannot be used: it needs t1c, and only t2f is declared or recognised" in err


def test_a_model_without_consent_is_not_used_even_if_alone(
    run_metseg: Run, bundles: Path, scan: Path, tmp_path: Path
) -> None:
    write_unrunnable(bundles / "nc", recipe_of(VOLUME.replace("none: simulated patients", "CC BY-NC 4.0:")))
    status, _, err = run_metseg("predict", scan, "--out", tmp_path / "out")
    assert status == 2
    assert "accept them once with metseg models accept nc" in err


def test_without_any_model(run_metseg: Run, bundles: Path, scan: Path, tmp_path: Path) -> None:
    status, _, err = run_metseg("predict", scan, "--out", tmp_path / "out")
    assert (status, "no model is installed" in err) == (2, True)

"""The bundles of this checkout: whole, licensed, small, and at work by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metseg.io.splits import Split
from metseg.model.bundle import load_bundle

FOLDER = Path(__file__).parents[2] / "bundles"
NAMES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir())

Run = Callable[..., tuple[int, str, str]]


def test_there_is_one_for_slices() -> None:
    assert "lgg-flair" in NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_bundle_is_whole_small_and_says_whose_data_it_saw(name: str) -> None:
    bundle = load_bundle(FOLDER / name)  # checks every checksum
    assert sum(path.stat().st_size for path in (FOLDER / name).iterdir()) <= 20e6
    card = (FOLDER / name / "card.md").read_text("utf-8")
    assert "Research use only" in card
    assert bundle.recipe.data.licence in card
    assert bundle.recipe.data.licence
    assert name in (FOLDER / "README.md").read_text("utf-8")


def test_a_picture_of_any_size_by_name(run_metseg: Run, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (97, 131, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "scan.png")
    status, _, _ = run_metseg("predict", tmp_path / "scan.png", "--model", "lgg-flair", "--out", tmp_path / "out")
    assert status == 0
    assert np.asarray(Image.open(tmp_path / "out" / "scan_mask.png")).shape == (97, 131)


@pytest.mark.real
def test_a_single_slice_of_a_test_patient(real_data: Path, run_metseg: Run, tmp_path: Path) -> None:
    """One slice alone: no statistics of its patient, and none of the 18 that nothing was chosen on is cherry-picked."""
    split = Split.load(FOLDER / "lgg-flair" / "split.json")
    found = []
    for patient in split.test:
        folder = real_data / "lgg_flair_slices" / patient
        masks = {path: np.asarray(Image.open(path)) > 0 for path in folder.glob("*_mask.png")}
        largest = max(masks, key=lambda path: masks[path].sum())
        image = largest.with_name(largest.name.replace("_mask.png", ".webp"))
        status, out, _ = run_metseg("predict", image, "--model", "lgg-flair", "--out", tmp_path / "out", "--json")
        assert status == 0
        assert json.loads(out)["cases"][0]["lesions"]
        mask = np.asarray(Image.open(tmp_path / "out" / f"{image.stem}_mask.png")) > 0
        truth = masks[largest]
        found.append(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))
    assert np.median(found) > 0.8

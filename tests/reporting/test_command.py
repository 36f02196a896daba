"""``metseg evaluate`` ends in a report, with the worst cases where images are given."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """Return a folder of truth, predictions of two models and images; a case is called like a tag."""
    mask = np.zeros((12, 12, 8), dtype=np.uint8)
    mask[2:6, 2:6, 2:6] = 1
    volumes = {"truth": mask, "unet": np.roll(mask, 1, axis=0), "cnn": np.roll(mask, 3, axis=0)}
    for case in ("c1", "c<b>2"):
        for side, data in volumes.items():
            (tmp_path / side).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / side / f"{case}-seg.nii.gz")
        (tmp_path / "images" / case).mkdir(parents=True)
        image = np.random.default_rng(0).normal(size=mask.shape).astype(np.float32)
        nib.save(nib.Nifti1Image(image, np.eye(4)), tmp_path / "images" / case / f"{case}-t1c.nii.gz")
    return tmp_path


def test_two_models_are_reported_with_their_worst_cases(
    run_metseg: Run, places: Path, outline: Callable[[str], Any]
) -> None:
    sets = ("--predictions", places / "unet", "--predictions", f"simple={places / 'cnn'}")
    words = ("--truth", places / "truth", "--out", places / "out", "--images", places / "images", "--jobs", 1, "--json")
    status, out, err = run_metseg("evaluate", *sets, *words)
    assert status == 0, err
    json.loads(out)  # one document and nothing else
    html = (places / "out" / "report.html").read_text("utf-8")
    read = outline(html)
    assert str(places) not in html
    assert "b" not in read.tags
    assert sum(source.startswith("data:image/png;base64,") for source in read.sources) == 4, "two cases, two models"
    assert "c<b>2 (axial slice 3 of 8): Dice" in read.text
    facts = read.text[read.text.index("Truth") : read.text.index("Machine")]
    assert "Predictions unet, simple (folder cnn)" in facts
    assert "Protocol voxel" in facts
    assert "2 cases of 2 patients" in facts
    for name in ("worst_1_1", "worst_2_2"):
        with Image.open(places / "out" / "figures" / f"{name}.png") as picture:
            assert min(picture.size) > 300


def test_without_a_report_there_is_none(run_metseg: Run, places: Path) -> None:
    words = ("evaluate", "--predictions", places / "unet", "--truth", places / "truth", "--out", places / "out")
    assert run_metseg(*words, "--jobs", 1, "--no-report")[0] == 0
    assert (places / "out" / "summary.json").exists()
    assert not (places / "out" / "report.html").exists()
    status, _, err = run_metseg(*words, "--no-report", "--images", places / "images")
    assert (status, err.count("\n")) == (2, 1)


def test_a_wrong_folder_of_images_is_found_before_anything_is_scored(run_metseg: Run, places: Path) -> None:
    words = ("evaluate", "--predictions", places / "unet", "--truth", places / "truth", "--out", places / "out")
    status, out, err = run_metseg(*words, "--images", places / "nowhere")
    assert (status, out) == (3, "")
    assert "nowhere" in err
    assert not (places / "out").exists()

"""The figures of a data set and of a study, drawn from a small UCSF-BMSR folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from metseg.io.splits import Split
from metseg.picture_style import SKY_BLUE, VERMILION, YELLOW

Run = Callable[..., tuple[int, str, str]]
ENDINGS = ("T1pre", "T1post", "T2Synth", "FLAIR")


@pytest.fixture
def bmsr(tmp_path: Path) -> Path:
    """Return two skull-stripped examinations with a lesion of three classes, and a clinical table."""
    index = np.moveaxis(np.indices((40, 40, 16)), 0, -1) - np.array([19.5, 19.5, 7.5])
    ball = np.linalg.norm(index * [1, 1, 2], axis=-1) < 16
    labels = np.zeros(ball.shape, np.uint8)
    labels[10:20, 12:22, 6:10] = 2
    labels[8:21, 12:22, 7] = 2  # the fullest slice
    labels[12:18, 14:20, 7:9] = 3
    labels[14:16, 16:18, 7:9] = 1
    for case in ("100101A", "100102A"):
        folder = tmp_path / "bmsr" / case
        folder.mkdir(parents=True)
        for place, ending in enumerate(ENDINGS):
            image = (ball * (300 + 100 * place + 5 * index[..., 0])).astype(np.int16)
            nibabel.save(nibabel.Nifti1Image(image, np.diag([4.0, 4.0, 8.0, 1])), folder / f"{case}_{ending}.nii.gz")
        mask = nibabel.Nifti1Image(labels, np.diag([4.0, 4.0, 8.0, 1]))
        nibabel.save(mask, folder / f"{case}_BraTS-seg.nii.gz")
    (tmp_path / "bmsr" / "patients.csv").write_text("patient,Primary_Cancer\n100101,lung\n100102,breast\n", "utf-8")
    return tmp_path / "bmsr"


def has(path: Path, colour: tuple[int, int, int]) -> bool:
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    return bool((np.abs(pixels - np.asarray(colour)).max(axis=2) < 30).sum() > 20)


def test_sequences_with_mask(bmsr: Path, tmp_path: Path, run_metseg: Run) -> None:
    out = tmp_path / "s.png"
    ran = run_metseg("figure", "sequences", bmsr, "--out", out, "--json")
    assert json.loads(ran[1])["cases"] == ["100101A", "100102A"]
    assert all(has(out, colour) for colour in (VERMILION, YELLOW, SKY_BLUE))
    ran = run_metseg("figure", "sequences", bmsr, "--out", out, "--case", "100109A")
    assert ran[0] != 0
    assert "100101A" in ran[2] + ran[1]


def test_primary_tumours_with_counts_and_shares(bmsr: Path, tmp_path: Path, run_metseg: Run) -> None:
    ran = run_metseg("figure", "attributes", bmsr, "--out", tmp_path / "a.svg")
    assert "lung: 1 (50.0 %)" in ran[1]
    drawn = (tmp_path / "a.svg").read_text("utf-8")
    assert "Primary tumour (2 patients)" in drawn
    assert "1 (50.0 %)" in drawn
    ran = run_metseg("figure", "attributes", bmsr, "--out", tmp_path / "b.svg", "--column", "stage")
    assert ran[0] == 3
    assert "no patient has a value in the column 'stage'" in ran[2]


def test_planes_of_a_prepared_study(bmsr: Path, tmp_path: Path, run_metseg: Run) -> None:
    out = tmp_path / "p.svg"
    ran = run_metseg("figure", "planes", bmsr, "--out", out, "--case", "100102A")
    assert ran[0] == 0, ran
    drawn = out.read_text("utf-8")
    assert "100102A, prepared as in kaur2024-unet-dropout" in drawn
    assert all(f">{name}" in drawn for name in ("axial, FLAIR", "coronal", "sagittal"))
    ran = run_metseg("figure", "planes", bmsr, "--out", out, "--sequence", "swi")
    assert "does not read the sequence swi" in ran[2]


def test_a_split(tmp_path: Path, run_metseg: Run) -> None:
    Split(train=("a", "b", "c"), validation=("d",), test=("e",)).save(tmp_path / "split.json")
    ran = run_metseg("figure", "split", tmp_path / "split.json", "--out", tmp_path / "s.svg", "--json")
    assert json.loads(ran[1])["counts"] == {"train": 3, "validation": 1, "test": 1}
    assert "3 (60.0 %)" in (tmp_path / "s.svg").read_text("utf-8")


def test_image_truth_and_prediction_by_class(bmsr: Path, tmp_path: Path, run_metseg: Run) -> None:
    truth = bmsr / "100101A" / "100101A_BraTS-seg.nii.gz"
    out = tmp_path / "c.png"
    ran = run_metseg("figure", "classes", bmsr, "--prediction", truth, "--out", out)
    assert ran[0] == 0, ran
    pixels = np.asarray(Image.open(out).convert("RGB")).astype(int)
    third = pixels.shape[1] // 3
    body = pixels[: int(0.8 * len(pixels))]
    yellow = [
        (np.abs(body[:, start : start + third] - np.asarray(YELLOW)).max(axis=2) < 30).sum()
        for start in (0, third, 2 * third)
    ]
    assert yellow[0] == 0 < yellow[1]
    assert yellow[1] == pytest.approx(yellow[2], rel=0.1)
    other = nibabel.Nifti1Image(np.zeros((40, 40, 8), np.uint8), np.eye(4))
    nibabel.save(other, tmp_path / "other.nii.gz")
    ran = run_metseg("figure", "classes", bmsr, "--prediction", tmp_path / "other.nii.gz", "--out", out)
    assert "different grids" in ran[2]
    coarse = nibabel.Nifti1Image(np.full((20, 20, 16), 300, np.int16), np.diag([8.0, 8.0, 8.0, 1]))
    nibabel.save(coarse, bmsr / "100101A" / "100101A_FLAIR.nii.gz")
    ran = run_metseg("figure", "classes", bmsr, "--prediction", truth, "--out", out)
    assert "sequence t2f and the truth are on different grids" in ran[2]


def test_curves_of_a_training_and_of_an_old_one(tmp_path: Path, run_metseg: Run) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    figures = ("loss", "accuracy", "dice", "iou")
    columns = {f"{part}_{name}": [0.2, 0.5] for part in ("train", "val") for name in figures}
    for run, table in (
        (new, {"epoch": [0, 1], **columns}),
        (old, {"epoch": [0, 1], "train_loss": [1.0, 0.5], "val_loss": [1.0, 0.6], "val_dice": [0.1, 0.2]}),
    ):
        run.mkdir()
        pd.DataFrame(table).to_csv(run / "epochs.csv", index=False)
        ran = run_metseg("figure", "curves", run, "--out", run / "curves.svg")
        assert ran[0] == 0, ran
    drawn = (new / "curves.svg").read_text("utf-8")
    assert all(title in drawn for title in ("Loss", "Accuracy, all voxels", "Dice", "IoU", "training", "validation"))
    assert "not recorded" not in drawn
    assert (old / "curves.svg").read_text("utf-8").count("not recorded") == 2
    ran = run_metseg("figure", "curves", tmp_path, "--out", tmp_path / "c.png")
    assert "no epochs.csv" in ran[2]

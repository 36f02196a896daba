"""The network `brain-extraction` as it comes with the package, on a painted head and on a real one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt

from metseg.geometry import AxisTurn
from metseg.inference.brain.brain_extraction import extract_brain
from metseg.io.volumes.nifti import read_volume
from metseg.volume import Volume

Run = Callable[..., tuple[int, str, str]]

#: Radius in mm and value of skin, bone, fluid, cortex and white matter, from the outside.
SHELLS = ((88, 800.0), (80, 90.0), (73, 40.0), (66, 420.0), (56, 560.0))


def painted_head(spacing_mm: tuple[float, float, float]) -> tuple[Volume, np.ndarray]:
    """Return a head longer from front to back, and where its cortex and all within it is."""
    shape = tuple(int(200 / mm) for mm in spacing_mm)
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * spacing_mm
    points = np.moveaxis(np.indices(shape), 0, -1) * spacing_mm + affine[:3, 3]
    distance = np.linalg.norm(points / np.array([0.92, 1.1, 1.0]), axis=-1)
    data = np.zeros(shape)
    for radius, value in SHELLS:
        data[distance < radius] = value
    data = np.abs(data + np.random.default_rng(0).normal(0, 15, shape))
    return Volume(data.astype(np.float32), affine), distance < 68


def dice(one: np.ndarray, two: np.ndarray) -> float:
    return float(2 * (one & two).sum() / (one.sum() + two.sum()))


@pytest.mark.parametrize("spacing_mm", [(2.0, 2.0, 2.0), (1.5, 1.5, 5.0)])
def test_a_painted_head_of_any_spacing_and_orientation(spacing_mm: tuple[float, float, float]) -> None:
    image, brain = painted_head(spacing_mm)
    found = extract_brain(image, device="cpu")
    assert dice(found.mask, brain) > 0.93
    assert found.warnings == ()
    turn = AxisTurn((2, 0, 1), (True, False, True))
    turned = Volume(np.ascontiguousarray(turn(image.data)), turn.affine(image.affine, image.shape))
    assert dice(turn.inverse()(extract_brain(turned, device="cpu").mask), found.mask) > 0.999


def test_the_command_writes_a_mask_on_the_grid_of_the_image(run_metseg: Run, tmp_path: Path) -> None:
    image, brain = painted_head((2.5, 2.5, 2.5))
    nib.save(nib.Nifti1Image(image.data, image.affine), tmp_path / "head.nii.gz")
    status, out, err = run_metseg("extract-brain", tmp_path / "head.nii.gz", "--out", tmp_path / "m.nii.gz", "--json")
    assert status == 0, err
    mask = nib.load(tmp_path / "m.nii.gz")
    assert np.array_equal(mask.affine, image.affine)
    assert mask.get_data_dtype() == np.uint8
    assert dice(np.asarray(mask.dataobj) > 0, brain) > 0.93
    answer = json.loads(out)
    assert answer["volume_ml"] == pytest.approx(np.asarray(mask.dataobj).sum() * 2.5**3 / 1000, abs=0.1)
    assert answer["warnings"] == []
    status, out, _ = run_metseg("extract-brain", tmp_path / "head.nii.gz", "--out", tmp_path / "m.nii.gz")
    assert (status, "brain volume" in out) == (0, True)


def test_an_image_without_skull_is_not_cut_again(run_metseg: Run, tmp_path: Path) -> None:
    image, brain = painted_head((5.0, 5.0, 5.0))
    nib.save(nib.Nifti1Image(np.where(brain, image.data + 100, 0), image.affine), tmp_path / "brain.nii.gz")
    status, _, err = run_metseg("extract-brain", tmp_path / "brain.nii.gz", "--out", tmp_path / "m.nii.gz")
    assert (status, "the image shows no skull" in err) == (0, True)
    assert np.array_equal(np.asarray(nib.load(tmp_path / "m.nii.gz").dataobj) > 0, brain)


@pytest.mark.parametrize("out", ["mask.png", "head.nii.gz"])
def test_the_command_does_not_write_over_the_image(run_metseg: Run, tmp_path: Path, out: str) -> None:
    image, _ = painted_head((5.0, 5.0, 5.0))
    nib.save(nib.Nifti1Image(image.data, image.affine), tmp_path / "head.nii.gz")
    before = (tmp_path / "head.nii.gz").read_bytes()
    status, _, err = run_metseg("extract-brain", tmp_path / "head.nii.gz", "--out", tmp_path / out)
    assert (status, "cannot be written there" in err) == (2, True)
    assert (tmp_path / "head.nii.gz").read_bytes() == before


def test_an_image_without_a_brain_is_refused(run_metseg: Run, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(100, 20, (40, 40, 40)).astype(np.float32)
    nib.save(nib.Nifti1Image(noise, np.eye(4)), tmp_path / "noise.nii.gz")  # 64 mL in all
    status, _, err = run_metseg("extract-brain", tmp_path / "noise.nii.gz", "--out", tmp_path / "m.nii.gz")
    assert (status, "no brain was found" in err) == (3, True)
    assert not (tmp_path / "m.nii.gz").exists()


@pytest.mark.real
@pytest.mark.slow
def test_a_dicom_study(real_data: Path, run_metseg: Run, tmp_path: Path) -> None:
    """A slab of 43 mm: a part of a brain, which is said."""
    out = tmp_path / "m.nii.gz"
    status, _, err = run_metseg("extract-brain", real_data / "dicom_t1w", "--out", out)
    assert status == 0, err
    assert "the images show only a part of the head" in err
    assert np.asarray(nib.load(out).dataobj).any()


@pytest.mark.real
@pytest.mark.slow
def test_the_t1c_of_a_real_raw_study(real_data: Path) -> None:
    """Slices of 5.5 mm; 0.962 was measured, see `docs/results.md`."""
    folder = real_data / "raw_clinical_glioma"
    if not folder.is_dir():
        pytest.skip("the raw clinical study is absent")
    (path,) = folder.glob("*_t1c.nii.gz")
    found = extract_brain(read_volume(path)[0], device="cpu")
    given, _ = read_volume(folder / "t1c_brain_mask.nii.gz")
    assert dice(found.mask, np.asarray(given.data) > 0.5) > 0.95
    assert found.warnings == ()


@pytest.mark.real
@pytest.mark.slow
def test_a_real_raw_study_is_predicted_without_a_mask(real_data: Path, run_metseg: Run, tmp_path: Path) -> None:
    """The tumour, in the right frontal lobe, is the largest lesion; the skin, 314 mL before, is none."""
    folder = real_data / "raw_clinical_glioma"
    if not folder.is_dir():
        pytest.skip("the raw clinical study is absent")
    out = tmp_path / "out"
    options = ("--model", "mets-sim", "--no-tta", "--modality", "brain_mask=none", "--format", "mask")
    status, _, err = run_metseg("predict", folder, *options, "--format", "brain-mask", "--out", out)
    assert status == 0, err
    assert "outlined the brain in t1c" in err
    (document,) = (json.loads(path.read_text("utf-8")) for path in out.glob("*.json"))
    largest = document["lesions"][0]
    assert 10 < largest["volume_ml"] < 40
    (brain,) = (nib.load(path) for path in out.glob("*-brain_mask.nii.gz"))
    (mask,) = (nib.load(path) for path in out.glob("*-seg.nii.gz"))
    lesions, inside = np.asarray(mask.dataobj) > 0, np.asarray(brain.dataobj) > 0
    # Probabilities are interpolated: a lesion at the cortex may reach a voxel beyond the mask.
    away_mm = distance_transform_edt(~inside, sampling=brain.header.get_zooms())
    assert away_mm[lesions].max() < 6
    assert (lesions & ~inside).sum() < 0.02 * lesions.sum()

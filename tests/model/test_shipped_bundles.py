"""The bundles of this checkout and of the package: whole, licensed, small, and at work by name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from metseg.evaluation import evaluate_case
from metseg.io.splits import Split
from metseg.model.bundle import load_bundle
from metseg.simulation import PhantomOptions, simulate_dataset

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "bundles"
#: Those that the wheel carries: the licence of their data lets anyone give them away.
PACKAGED = ROOT / "src" / "metseg" / "bundles"
BUNDLES = sorted(path for place in (FOLDER, PACKAGED) for path in place.iterdir() if path.is_dir())

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept the terms of `lgg-flair`, which is for non-commercial use only."""
    monkeypatch.setenv("METSEG_ACCEPTED_MODELS", "lgg-flair")


def test_there_are_some_for_slices_and_some_for_volumes() -> None:
    assert {path.name for path in BUNDLES} >= {"lgg-flair", "mets-brain", "mets-sim", "t1c-slices"}


@pytest.mark.parametrize("folder", BUNDLES, ids=lambda folder: folder.name)
def test_a_bundle_is_whole_small_and_says_whose_data_it_saw(folder: Path) -> None:
    bundle = load_bundle(folder)  # checks every checksum
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 20e6
    card = (folder / "card.md").read_text("utf-8")
    assert "Research use only" in card
    assert bundle.card.startswith(f"# {folder.name}\n")  # not the name of its recipe
    assert bundle.recipe.data.licence in card
    assert bundle.recipe.data.licence
    assert folder.name in (FOLDER / "README.md").read_text("utf-8")


@pytest.mark.parametrize("folder", BUNDLES, ids=lambda folder: folder.name)
def test_card_and_results_say_what_was_measured(folder: Path) -> None:
    """A bundle trained again is not published with the figures of the one before it."""
    bundle = load_bundle(folder)
    results = (ROOT / "docs" / "results.md").read_text("utf-8")
    for part in (name for name in ("validation", "test") if name in bundle.metrics):
        for region, summary in bundle.metrics[part]["regions"].items():
            dice = summary["metrics"]["dice"]
            figure = f"{dice['mean']:.3f} ({dice['low']:.3f} to {dice['high']:.3f})"
            assert f"| {part} ({dice['patients']}) | {region} | {figure} |" in bundle.card
            assert figure in results


#: What the weights that the wheel carries have seen, as card and recipe say it.
FREE = {
    "mets-sim": ("simulated patients only", "none: simulated patients"),
    "brain-extraction": ("no image of a person", "Heads painted from the label maps of SynthSeg (Apache-2.0)"),
    "t1c-slices": ("figshare 1512427, CC BY 4.0", "Cheng et al. 2015 (figshare 1512427): CC BY 4.0; open_ms"),
}


def test_what_the_package_carries_may_be_given_away() -> None:
    for folder in PACKAGED.iterdir():
        said, licence = FREE[folder.name]
        assert said in (folder / "card.md").read_text("utf-8")
        assert load_bundle(folder).recipe.data.licence.startswith(licence)


@pytest.mark.slow
def test_a_new_simulated_patient_by_name(run_metseg: Run, tmp_path: Path) -> None:
    """A seed that the network was not trained on; coarse, so that it takes seconds."""
    phantom = PhantomOptions(resolution_mm=2, skull=False, lesions_min=2, diameter_min_mm=9, diameter_median_mm=14)
    simulate_dataset(tmp_path / "data", patients=1, seed=5, phantom=phantom, workers=1, quiet=True)
    (study,) = (path for path in (tmp_path / "data").iterdir() if path.is_dir())
    status, _, _ = run_metseg("predict", study, "--model", "mets-sim", "--no-tta", "--out", tmp_path / "out")
    assert status == 0
    (found,) = (nib.load(path) for path in (tmp_path / "out").glob("*-seg.nii.gz"))
    (truth,) = (nib.load(path) for path in study.glob("*-seg.nii.gz"))
    assert np.array_equal(found.affine, truth.affine)
    scores = evaluate_case(
        np.asarray(truth.dataobj), np.asarray(found.dataobj), affine=truth.affine, scheme="brats-met-2023"
    )
    assert scores["WT"]["dice"] > 0.6


def test_a_head_with_skull_needs_no_mask_and_takes_one(run_metseg: Run, tmp_path: Path) -> None:
    """The shipped network of lesions has seen skull-stripped images only."""
    phantom = PhantomOptions(resolution_mm=4, skull=True, lesions_min=1)
    simulate_dataset(tmp_path / "data", patients=1, seed=5, phantom=phantom, workers=1, quiet=True)
    (study,) = (path for path in (tmp_path / "data").iterdir() if path.is_dir())
    command = ("predict", study, "--model", "mets-sim", "--no-tta", "--format", "mask", "--format", "brain-mask")
    status, _, err = run_metseg(*command, "--out", tmp_path / "found")
    assert status == 0, err
    assert "the images show a head with skull; the network brain-extraction outlined the brain in t1c" in err
    (mask,) = (nib.load(path) for path in (tmp_path / "found").glob("*-brain_mask.nii.gz"))
    found = np.asarray(mask.dataobj) > 0
    (lesions,) = (np.asarray(nib.load(path).dataobj) > 0 for path in (tmp_path / "found").glob("*-seg.nii.gz"))
    assert not (lesions & ~found).any()
    points = np.moveaxis(np.indices(mask.shape), 0, -1) @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    ball = (np.linalg.norm(points - points.mean(axis=(0, 1, 2)), axis=-1) < 55).astype(np.uint8)
    nib.save(nib.Nifti1Image(ball, mask.affine), tmp_path / "brain.nii.gz")
    given = ("--modality", f"brain_mask={tmp_path / 'brain.nii.gz'}")
    status, _, err = run_metseg(*command, *given, "--out", tmp_path / "given")
    assert (status, "head with skull" in err) == (0, False)
    (mask,) = (nib.load(path) for path in (tmp_path / "given").glob("*-brain_mask.nii.gz"))
    assert np.array_equal(np.asarray(mask.dataobj), ball)


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

"""What prediction writes for a data set, for folders of it and for parts of a split pairs with its truth."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from metseg.errors import InputError
from metseg.evaluation import ScoringConfig, evaluate_pairs
from metseg.evaluation.files.file_matching import Missing, match_files
from metseg.inference.batch import predict_paths
from metseg.inference.predictor import Predictor
from metseg.io.splits import Split

Run = Callable[..., tuple[int, str, str]]


def draw(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def slices(tmp_path: Path) -> Path:
    """Return a data set of two patients with two slices each, their truth all that is bright."""
    for patient in ("A", "B"):
        for number in (1, 2):
            pixels = np.indices((20, 30)).sum(axis=0).astype(np.uint8) % 40
            pixels[4 : 8 + number, 4:9] = 200
            draw(tmp_path / "data" / patient / f"{number}.png", pixels)
            draw(tmp_path / "data" / patient / f"{number}_mask.png", np.where(pixels > 100, 255, 0).astype(np.uint8))
    return tmp_path / "data"


@pytest.fixture
def sees_bright(predictor: Callable[..., Predictor], first_channel: Callable[..., object]) -> Predictor:
    """Return a predictor for which lesion is what is brighter than 100."""
    return predictor(first_channel(1.0, -100.0))


@pytest.mark.parametrize("inputs", [(".",), ("A", "B"), ("A/1.png", "A/2.png", "B/1.png", "B/2.png")])
def test_predictions_of_a_folder_and_of_its_parts_pair_with_it(
    slices: Path, sees_bright: Predictor, tmp_path: Path, inputs: tuple[str, ...]
) -> None:
    results = tmp_path / "P"
    if len(inputs) == 4:  # files of one name need folders of their own
        for patient in ("A", "B"):
            for path in (*slices.glob(f"{patient}/*.png"),):
                path.rename(path.with_name(f"{patient}_{path.name}"))
        inputs = tuple(f"{name[0]}/{name[0]}_{name[2:]}" for name in inputs)
    predict_paths([slices / name for name in inputs], sees_bright, results, quiet=True)
    pairs = match_files(results, slices)
    assert [(pair.case, len(pair.truth)) for pair in pairs.cases] == [("A", 2), ("B", 2)]
    summary = evaluate_pairs(pairs, ScoringConfig(), out=tmp_path / "out", quiet=True)
    assert summary.regions["lesion"].metrics["dice"].mean == 1.0


def test_slices_that_fit_two_truths_are_not_guessed(slices: Path, sees_bright: Predictor, tmp_path: Path) -> None:
    predict_paths([slices / "A"], sees_bright, tmp_path / "P", quiet=True)
    with pytest.raises(InputError, match=r"no prediction matches a truth by name.*such as -seg, _mask and -pred"):
        match_files(tmp_path / "P", slices)


def save_study(folder: Path, bright: int) -> None:
    """Write an image with a bright lesion in one row, and its truth."""
    image = np.arange(8 * 8 * 4).reshape(8, 8, 4) % 40
    image[bright, 2:6] = 200
    folder.mkdir(parents=True)
    affine = np.diag([20.0, 20.0, 20.0, 1.0])
    nib.save(nib.Nifti1Image(image.astype(np.int16), affine), folder / "flair.nii.gz")
    nib.save(nib.Nifti1Image((image > 100).astype(np.uint8), affine), folder / "seg.nii.gz")


@pytest.fixture
def sites(tmp_path: Path) -> Path:
    """Return two sites with a patient of one name each, and different lesions."""
    for site, bright in (("siteA", 3), ("siteB", 6)):
        save_study(tmp_path / "data" / site / "p1", bright)
    return tmp_path / "data"


@pytest.mark.parametrize("inputs", [(".",), ("siteA/p1", "siteB/p1")])
def test_patients_of_one_name_at_two_sites_are_not_mixed_up(
    sites: Path, sees_bright: Predictor, tmp_path: Path, inputs: tuple[str, ...]
) -> None:
    predict_paths([sites / name for name in inputs], sees_bright, tmp_path / "P", quiet=True)
    pairs = match_files(tmp_path / "P", sites)
    assert [pair.case for pair in pairs.cases] == ["siteA_p1", "siteB_p1"]
    summary = evaluate_pairs(pairs, ScoringConfig(), out=tmp_path / "out", quiet=True)
    assert summary.regions["lesion"].metrics["dice"].mean == 1.0


@pytest.mark.parametrize("missing", ["error", "skip", "empty"])
def test_a_patients_folder_predicted_alone_pairs_with_that_folder_only(
    sites: Path, sees_bright: Predictor, tmp_path: Path, missing: Missing
) -> None:
    predict_paths([sites / "siteA" / "p1"], sees_bright, tmp_path / "P", quiet=True)
    assert (tmp_path / "P" / "p1-seg.nii.gz").exists()
    with pytest.raises(InputError, match="no prediction matches a truth by name"):
        match_files(tmp_path / "P", sites, missing=missing)
    pairs = match_files(tmp_path / "P", sites / "siteA" / "p1", missing=missing)
    summary = evaluate_pairs(pairs, ScoringConfig(), out=tmp_path / "out", quiet=True)
    assert summary.regions["lesion"].metrics["dice"].mean == 1.0


def test_a_name_that_fits_two_folders_is_named_where_one_has_no_prediction(
    sites: Path, sees_bright: Predictor, tmp_path: Path
) -> None:
    save_study(sites / "p1", 1)
    predict_paths([sites / "siteA" / "p1"], sees_bright, tmp_path / "P", quiet=True)
    with pytest.raises(InputError, match="no prediction for 2 of 3 truths"):
        match_files(tmp_path / "P", sites)
    warning = "p1-seg.nii.gz is scored as case p1, but also matches the folder of siteA_p1, siteB_p1"
    assert any(warning in noted for noted in match_files(tmp_path / "P", sites, missing="skip").warnings)
    predict_paths([sites], sees_bright, tmp_path / "all", quiet=True)
    assert match_files(tmp_path / "all", sites).warnings == ()


def test_both_commands_take_a_part(slices: Path, tiny_bundle: Path, tmp_path: Path, run_metseg: Run) -> None:
    for path in slices.glob("*/?.png"):  # the bundle sees pictures of three channels
        grey = np.asarray(Image.open(path))
        Image.fromarray(np.stack([grey, grey // 2, grey // 3], axis=2)).save(path)
    Split(train=("A",), test=("B",)).save(tmp_path / "split.json")
    asked = ("--split", tmp_path / "split.json", "--part", "test")
    command = ("predict", slices, "--model", tiny_bundle, "--out", tmp_path / "P", "--device", "cpu")
    status, out, _ = run_metseg(*command, *asked, "--json")
    assert (status, [case["case"] for case in json.loads(out)["cases"]]) == (0, ["B"])
    scoring = ("evaluate", "--predictions", tmp_path / "P", "--truth", slices, "--out", tmp_path / "out", "--no-report")
    status, out, _ = run_metseg(*scoring, *asked, "--json")
    assert (status, json.loads(out)["cases"]) == (0, 1)
    for one in (command, scoring):
        status, _, err = run_metseg(*one, *asked[:2])
        assert (status, "--part" in err) == (2, True)

"""Volumes: whatever the axes of the files, the same answer at the same place in space, on the files' own grid."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from torch import nn

from metseg.geometry import AxisTurn, turn_to_ras
from metseg.inference.batch import predict_paths
from metseg.inference.device import Compute
from metseg.inference.input_options import InputOptions
from metseg.inference.predictor import Predictor
from metseg.inference.shards import Shard
from metseg.model import SegmentationNetwork
from metseg.recipe import parse_recipe
from metseg.volume import Case, Volume

PLAIN = Compute(torch.device("cpu"), bf16=False, channels_last=False)
ORDERS = list(itertools.permutations(range(3)))
FLIPS = list(itertools.product([False, True], repeat=3))

RECIPE = """
name = "known"
data = { modalities = ["t1c", "t2f"], dimensions = DIMENSIONS, reference = "t1c" }
model = { name = "unet" }
train = { patch_size = [8, 8, 8] }
[[preprocess]]
name = "reorient"
[[preprocess]]
name = "crop_to_head"
axes = "all"
[[preprocess]]
name = "zscore"
"""


class LeansRight(nn.Module):
    """Sees lesion where the first sequence is bright; what lies beside, in x and in y, has a little say.

    So it answers otherwise where it is given other axes than it was made for.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        blurred = nn.functional.avg_pool3d(images[:, :1], 3, stride=1, padding=1, count_include_pad=False)
        return 4 * (blurred - 1) + leaning(images)


class SliceWise(nn.Module):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return 4 * (images[:, :1] - 1) + leaning(images)


def leaning(images: torch.Tensor) -> torch.Tensor:
    """Return a little of the second sequence one voxel back in x, less that one voxel on in y; (N, 1, X, Y[, Z])."""
    second = images[:, 1:2]
    return 0.3 * (second.roll(1, dims=2) - second.roll(-1, dims=3))


def make_predictor(dimensions: int = 3) -> Predictor:
    recipe = parse_recipe(RECIPE.replace("DIMENSIONS", str(dimensions)), where="test")
    body = LeansRight() if dimensions == 3 else SliceWise()
    network = SegmentationNetwork(body, in_channels=2, out_channels=1, dimensions=dimensions)
    return Predictor([network], recipe, compute=PLAIN, fingerprint="known")


def head() -> dict[str, np.ndarray]:
    """Return two sequences of a stripped head with a bright spot, none of it symmetric, in RAS+."""
    rng = np.random.default_rng(0)
    x, y, z = np.meshgrid(*[np.arange(size) for size in (22, 20, 18)], indexing="ij")
    inside = ((x - 11) / 9) ** 2 + ((y - 9) / 8) ** 2 + ((z - 9) / 7) ** 2 < 1
    spot = (x - 14) ** 2 + (y - 7) ** 2 + (z - 11) ** 2 < 7
    t1c = np.where(inside, 100 + 20 * rng.random(x.shape) + 150 * spot, 0).astype(np.float32)
    t2f = np.where(inside, 80 + 30 * rng.random(x.shape) + 90 * spot, 0).astype(np.float32)
    return {"t1c": t1c, "t2f": t2f}


def oblique() -> np.ndarray:
    """Return an affine turned by 17 and 9 degrees, with unequal voxels."""
    a, b = np.radians([17, 9])
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag([0.9, 1.1, 1.6])
    affine[:3, 3] = [-20, 31, 7]
    return affine


def turned_case(turn: AxisTurn, affine: np.ndarray) -> Case:
    images = {name: Volume(turn(data).copy(), turn.affine(affine, data.shape)) for name, data in head().items()}
    return Case("case", "patient", images)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("affine", [np.diag([1.0, 1, 1, 1]), oblique()], ids=["straight", "oblique"])
def test_the_same_answer_in_space_for_all_48_axis_orders(affine: np.ndarray, dimensions: int) -> None:
    model = make_predictor(dimensions)
    expected = model(turned_case(AxisTurn(), affine))
    assert 60 < expected.labels.sum() < 150
    for order, flipped in itertools.product(ORDERS, FLIPS):
        turn = AxisTurn(order, flipped)  # type: ignore[arg-type]
        found = model(turned_case(turn, affine))
        assert found.labels.shape == turn.shape(expected.labels.shape)
        np.testing.assert_array_equal(turn.inverse()(found.labels), expected.labels)
        np.testing.assert_allclose(turn.inverse()(found.probability), expected.probability, atol=2e-3)
        (one,), (other,) = found.lesions, expected.lesions
        np.testing.assert_allclose(one.centre_mm, other.centre_mm, atol=2e-3)
        assert one.volume_ml == pytest.approx(other.volume_ml)
        assert one.longest_diameter_mm == pytest.approx(other.longest_diameter_mm, abs=1e-3)


@pytest.mark.parametrize(("window", "sides"), [(None, (8, 8, 8)), ((12, 40, 9), (12, 15, 9))])
def test_windows_are_as_large_as_the_recipe_says_and_no_larger_than_the_head(
    window: tuple[int, ...] | None, sides: tuple[int, ...]
) -> None:
    usual = make_predictor()
    recipe = usual.recipe.model_copy(update={"predict": usual.recipe.predict.model_copy(update={"window": window})})
    seen: set[tuple[int, ...]] = set()

    class Watched(LeansRight):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.add(tuple(images.shape[2:]))
            return super().forward(images)

    network = SegmentationNetwork(Watched(), in_channels=2, out_channels=1, dimensions=3)
    case = turned_case(AxisTurn(), oblique())
    found = Predictor([network], recipe, compute=PLAIN)(case)
    assert seen == {sides}
    assert 60 < found.labels.sum() < 150


@pytest.fixture
def study(tmp_path: Path) -> Callable[[str, AxisTurn], Path]:
    """Return a function that writes a study in the naming of BraTS-METS."""

    def write(case: str, turn: AxisTurn = AxisTurn()) -> Path:  # noqa: B008 (frozen)
        folder = tmp_path / "data" / case
        folder.mkdir(parents=True)
        for name, data in head().items():
            image = nibabel.nifti1.Nifti1Image(turn(data), turn.affine(oblique(), data.shape))
            nibabel.save(image, folder / f"{case}-{name}.nii.gz")
        return folder

    return write


def test_a_study_written_in_all_48_axis_orders_has_one_mask_in_space(study, tmp_path: Path) -> None:
    turns = [AxisTurn(order, flipped) for order in ORDERS for flipped in FLIPS]  # type: ignore[arg-type]
    for number, turn in enumerate(turns):
        study(f"BraTS-MET-{number:05}-000", turn)
    outcome = predict_paths([tmp_path / "data"], make_predictor(), tmp_path / "out", quiet=True)
    assert (outcome.volumes, outcome.lesions, outcome.errors) == (48, 48, [])
    masks = [nibabel.load(tmp_path / "out" / f"BraTS-MET-{number:05}-000-seg.nii.gz") for number in range(48)]
    expected = np.asarray(masks[0].dataobj)
    assert turns[0].is_identity
    assert 60 < expected.sum() < 150
    for mask, turn in zip(masks, turns, strict=True):
        np.testing.assert_allclose(mask.affine, turn.affine(oblique(), expected.shape), atol=1e-4)
        np.testing.assert_array_equal(turn.inverse()(np.asarray(mask.dataobj)), expected)


def test_the_mask_lies_on_the_files_own_grid(study, tmp_path: Path) -> None:
    case = "BraTS-MET-00001-000"
    turn = AxisTurn((2, 0, 1), (True, False, True))
    folder = study(case, turn)
    outcome = predict_paths(
        [folder.parent], make_predictor(), tmp_path / "out", formats=("mask", "overlay", "probability")
    )
    assert (outcome.volumes, outcome.pictures, outcome.lesions, outcome.errors) == (1, 0, 1, [])
    given = nibabel.load(folder / f"{case}-t1c.nii.gz")
    mask = nibabel.load(tmp_path / "out" / f"{case}-seg.nii.gz")
    assert mask.get_data_dtype() == np.uint8
    assert mask.shape == given.shape
    np.testing.assert_array_equal(mask.affine, given.affine)
    np.testing.assert_allclose(mask.get_qform(), given.affine, atol=1e-5)
    chance = nibabel.load(tmp_path / "out" / f"{case}-probability.nii.gz").get_fdata()
    assert 0 <= chance.min() <= chance.max() <= 1
    labels = np.asarray(mask.dataobj)
    assert chance[labels == 1].min() > 0.49
    assert chance[labels == 0].max() < 0.51
    assert (tmp_path / "out" / f"{case}-overlay.png").stat().st_size > 5_000
    document = json.loads((tmp_path / "out" / f"{case}.json").read_text("utf-8"))
    assert document["shape"] == list(given.shape)
    assert document["bundle"] == "known"
    assert set(document["timings_s"]) == {"preprocess", "predict", "restore", "measure"}
    (lesion,) = document["lesions"]
    # The spot's centre in the straight array, brought into space by the affine.
    expected = oblique() @ [14, 7, 11, 1]
    np.testing.assert_allclose(lesion["centre_mm"], expected[:3], atol=1)
    assert turn_to_ras(given.affine) == turn.inverse()


def test_shards_share_the_work_and_can_be_repeated(study, tmp_path: Path) -> None:
    names = [f"BraTS-MET-0000{number}-000" for number in range(5)]
    for name in names:
        study(name)
    out = tmp_path / "out"
    first = predict_paths([tmp_path / "data"], make_predictor(), out, shard=Shard(1, 2), quiet=True)
    assert (first.volumes, first.skipped) == (3, 0)
    again = predict_paths([tmp_path / "data"], make_predictor(), out, shard=Shard(1, 2), quiet=True)
    assert (again.volumes, again.skipped) == (0, 3)
    everything = predict_paths([tmp_path / "data"], make_predictor(), out, shard=Shard(1, 1), quiet=True)
    assert (everything.volumes, everything.skipped) == (2, 3)
    assert sorted(path.stem for path in out.glob("*.json")) == names
    # A document cut short by a crash is not a result.
    (out / f"{names[0]}.json").write_text("{", "utf-8")
    mended = predict_paths([tmp_path / "data"], make_predictor(), out, shard=Shard(1, 1), quiet=True)
    assert (mended.volumes, mended.skipped) == (1, 4)
    # Nor is a case finished where what is asked for is not there, or was made otherwise.
    (out / f"{names[1]}-seg.nii.gz").unlink()
    lost = predict_paths([tmp_path / "data"], make_predictor(), out, shard=Shard(1, 1), quiet=True)
    assert (lost.volumes, lost.skipped) == (1, 4)
    other = predict_paths(
        [tmp_path / "data"], make_predictor(), out, formats=["probability"], shard=Shard(1, 1), quiet=True
    )
    assert (other.volumes, other.skipped) == (5, 0)
    lower = make_predictor()
    lower.part = lower.part.model_copy(update={"threshold": 0.25})
    assert predict_paths([tmp_path / "data"], lower, out, shard=Shard(1, 1), quiet=True).volumes == 5


def test_a_missing_sequence_is_named_and_does_not_stop_the_rest(study, tmp_path: Path) -> None:
    study("BraTS-MET-00001-000")
    (study("BraTS-MET-00002-000") / "BraTS-MET-00002-000-t2f.nii.gz").unlink()
    outcome = predict_paths([tmp_path / "data"], make_predictor(), tmp_path / "out", quiet=True)
    assert outcome.volumes == 1
    (error,) = outcome.errors
    assert error.code == "input.missing_sequence"
    assert "t2f" in str(error)
    assert "BraTS-MET-00002-000" in str(error)


def test_a_study_can_be_made_of_files_that_are_named(study, tmp_path: Path) -> None:
    folder = study("BraTS-MET-00001-000")
    t1c = (folder / "BraTS-MET-00001-000-t1c.nii.gz").rename(tmp_path / "one.nii.gz")
    t2f = (folder / "BraTS-MET-00001-000-t2f.nii.gz").rename(tmp_path / "two.nii.gz")
    reading = InputOptions(named={"T1ce": str(t1c), "flair": str(t2f)})
    outcome = predict_paths([], make_predictor(), tmp_path / "out", reading=reading, quiet=True)
    assert (outcome.volumes, outcome.lesions, outcome.errors) == (1, 1, [])


def test_a_sequence_that_is_named_takes_the_place_of_the_one_found(study, tmp_path: Path) -> None:
    folder = study("BraTS-MET-00001-000")
    blank = nibabel.load(folder / "BraTS-MET-00001-000-t1c.nii.gz")
    nibabel.save(nibabel.nifti1.Nifti1Image(head()["t2f"] * 0 + 7, blank.affine), tmp_path / "blank.nii.gz")
    reading = InputOptions(named={"t1c": str(tmp_path / "blank.nii.gz")})
    outcome = predict_paths([folder], make_predictor(), tmp_path / "out", reading=reading, quiet=True)
    assert (outcome.volumes, outcome.lesions) == (1, 0)


def test_the_document_says_which_file_is_which_sequence_and_why(tmp_path: Path) -> None:
    folder = tmp_path / "ann"
    folder.mkdir()
    for name, data in zip(("T1_Gd", "t2_tirm_dark-fluid"), head().values(), strict=True):
        nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), folder / f"{name}.nii.gz")
    (document,) = predict_paths([folder], make_predictor(), tmp_path / "out", quiet=True).documents
    assert json.loads(document.read_text())["sequences"] == [
        {"sequence": "t1c", "source": "T1_Gd.nii.gz", "reason": "the name says T1 with contrast agent"},
        {"sequence": "t2f", "source": "t2_tirm_dark-fluid.nii.gz", "reason": "the name says FLAIR"},
    ]


def test_t1_without_contrast_does_not_end_in_a_mask(tmp_path: Path) -> None:
    folder = tmp_path / "ann"
    folder.mkdir()
    for name, data in zip(("T1_without_contrast", "FLAIR"), head().values(), strict=True):
        nibabel.save(nibabel.Nifti1Image(data, np.eye(4)), folder / f"{name}.nii.gz")
    outcome = predict_paths([folder], make_predictor(), tmp_path / "out", quiet=True)
    assert outcome.documents == []
    assert [error.code for error in outcome.errors] == ["input.missing_sequence"]

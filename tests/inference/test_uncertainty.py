"""The spread of predictions: a map, and the range of each lesion's volume."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from metseg.errors import UsageError
from metseg.inference.batch import predict_paths
from metseg.inference.device import Compute
from metseg.inference.lesion_table import find_lesions
from metseg.inference.predictor import Predictor
from metseg.inference.uncertainty import MemberMaps, Spread, spread_of, with_ranges
from metseg.labels import LABEL_SCHEMES
from metseg.lesion import COLUMNS, RANGE_COLUMNS, Lesion, lesions_csv
from metseg.model import SegmentationNetwork
from metseg.recipe import PredictPart, parse_recipe
from metseg.volume import Case, Volume

PLAIN = Compute(torch.device("cpu"), bf16=False, channels_last=False)
AFFINE = np.diag([2.0, 1.0, 1.0, 1.0])


class _Above(nn.Module):
    """A logit above 0 where the image is above a threshold."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, images: Tensor) -> Tensor:
        return 8.0 * (images[:, :1] - self.threshold)


def predictor_of(*thresholds: float, changes: tuple[str, ...] = ()) -> Predictor:
    recipe = parse_recipe(
        'name = "folds"\ndata = { modalities = ["t1c"], dimensions = 3 }\nmodel = { name = "unet" }\n'
        "train = { patch_size = [12, 12, 12] }",
        where="test",
        changes=changes,
    )
    networks = [SegmentationNetwork(_Above(value), in_channels=1, out_channels=1, dimensions=3) for value in thresholds]
    return Predictor(networks, recipe, compute=PLAIN, uncertainty=True)


def cone() -> np.ndarray:
    """Return a volume that falls by 1 a voxel from the middle, along the first axis alone, in a narrow bar."""
    image = np.zeros((21, 16, 16), dtype=np.float32)
    image[:, 6:10, 6:10] = (11 - np.abs(np.arange(21) - 10))[:, None, None]
    return image


def test_the_range_is_that_of_the_folds() -> None:
    case = Case("case", "p", {"t1c": Volume(cone(), AFFINE)})
    prediction = predictor_of(4.5, 6.5, 8.5)(case)
    (lesion,) = prediction.lesions
    # 16 voxels a plane of 2 mm³ each; values from 5, 7 and 9 on lie in 13, 9 and 5 planes.
    assert lesion.voxels_range == (5 * 16, 13 * 16)
    assert lesion.volume_ml_range == (0.16, 0.416)
    assert lesion.range_predictions == 3
    assert lesion.voxels == 9 * 16
    deviation = prediction.uncertainty
    assert deviation is not None
    assert deviation.shape == case.images["t1c"].shape
    assert deviation[10, 7, 7] < 0.01  # all agree
    assert deviation[10 - 5, 7, 7] == pytest.approx(np.std([1, 0, 0]), abs=0.02)  # the value 6
    assert deviation[0, 0, 0] < 0.01


def test_half_a_millilitre_is_divided_among_lesions_that_a_prediction_joins() -> None:
    mean, joint = (np.zeros((20, 9, 9), dtype=np.uint8) for _ in range(2))
    mean[2:7, 3:6, 3:6] = mean[12:16, 3:6, 3:6] = 1
    joint[2:16, 3:6, 3:6] = 1
    probability = mean.astype(np.float32)
    lesions, instances = find_lesions(mean, probability, np.eye(4), LABEL_SCHEMES["binary"], slicewise=False)
    spread = Spread(np.zeros(mean.shape, dtype=np.float32), (mean > 0, joint > 0, np.zeros(mean.shape, dtype=bool)))
    large, small = with_ranges(lesions, instances, spread, np.eye(4), slicewise=False)
    # The gap of 5 planes: 2 or 3 to each; nothing is counted twice. The third prediction has no lesion.
    assert large.voxels_range is not None
    assert small.voxels_range is not None
    assert large.voxels_range[0] == small.voxels_range[0] == 0
    assert large.voxels_range[1] + small.voxels_range[1] == np.count_nonzero(joint)
    assert large.voxels_range[1] - large.voxels in (2 * 9, 3 * 9)


def test_equal_predictions_have_no_spread() -> None:
    maps = MemberMaps(3, (4, 5, 6), ())
    member = torch.rand(1, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    maps.put(member.expand(3, -1, -1, -1), axis=0, start=0)
    spread = spread_of(maps, PredictPart(), slicewise=False)
    assert float(spread.deviation.max()) < 1e-3
    assert all(np.array_equal(mask, spread.masks[0]) for mask in spread.masks)


def test_one_prediction_has_no_uncertainty() -> None:
    with pytest.raises(UsageError, match="--tta") as caught:
        predictor_of(4.5)
    assert caught.value.code == "usage.uncertainty"


def test_mirror_images_count_as_predictions() -> None:
    flips = ("augment=[{name='flip', axes=[0]}]", "predict.tta=true")
    prediction = predictor_of(4.5, changes=flips)(Case("case", "p", {"t1c": Volume(cone(), AFFINE)}))
    assert prediction.lesions[0].range_predictions == 2
    # The network treats each voxel alone, so mirror images agree.
    assert prediction.lesions[0].voxels_range == (13 * 16, 13 * 16)


def test_files_of_the_uncertainty(tmp_path: Path) -> None:
    study = tmp_path / "in" / "p1"
    study.mkdir(parents=True)
    # A file of few whole numbers would be taken for a mask.
    noise = np.random.default_rng(0).uniform(0, 0.1, cone().shape).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(cone() + noise, AFFINE), study / "p1-t1c.nii.gz")
    out = tmp_path / "out"
    outcome = predict_paths([study], predictor_of(4.5, 6.5, 8.5), out, formats=("mask", "uncertainty"), quiet=True)
    assert not outcome.errors
    (file,) = out.glob("*-uncertainty.nii.gz")
    written = nibabel.load(file)
    np.testing.assert_allclose(written.affine, AFFINE)
    assert 0.4 < written.get_fdata().max() <= 0.5
    (document,) = out.glob("*.json")
    (lesion,) = json.loads(document.read_text())["lesions"]
    assert lesion["volume_ml_range"] == [0.16, 0.416]
    header, row = (out / "lesions.csv").read_text().splitlines()
    values = dict(zip(header.split(","), row.split(","), strict=True))
    assert [values[name] for name in RANGE_COLUMNS] == ["80", "208", "0.16", "0.416", "3"]


def test_without_it_files_are_what_they_were(tmp_path: Path) -> None:
    plain = Predictor(
        [SegmentationNetwork(_Above(4.5), in_channels=1, out_channels=1, dimensions=3)],
        predictor_of(1.0, 2.0).recipe,
        compute=PLAIN,
    )
    prediction = plain(Case("case", "p", {"t1c": Volume(cone(), AFFINE)}))
    assert prediction.uncertainty is None
    assert prediction.lesions[0].volume_ml_range is None
    assert lesions_csv(prediction.lesions).splitlines()[0] == ",".join(COLUMNS)
    with pytest.raises(UsageError, match="--uncertainty"):
        prediction.save(tmp_path, formats=("uncertainty",))


def test_records_of_0_1_0_are_read() -> None:
    old = {"id": 1, "label": "lesion", "voxels": 5, "centre_voxel": [1, 2, 3], "confidence": 0.5}
    assert Lesion.model_validate(old).range_predictions is None


def test_parts_of_a_stack_have_a_range_too(stack: Callable[..., Case]) -> None:
    recipe = parse_recipe('name = "folds"\ndata = { channels = ["t2f"] }\nmodel = { name = "unet" }', where="test")
    networks = [SegmentationNetwork(_Above(value), in_channels=1, out_channels=1) for value in (0.4, 0.6)]
    image = np.zeros((12, 12, 2), dtype=np.float32)
    image[3:6, 3:6] = 1.0
    image[6, 3:6] = 0.5
    prediction = Predictor(networks, recipe, compute=PLAIN, uncertainty=True)(stack(image))
    assert prediction.lesions[0].voxels_range == (18, 24)
    assert prediction.lesions[0].volume_ml_range is None

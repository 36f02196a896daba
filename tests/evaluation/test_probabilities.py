"""Probability maps: found beside the masks, read on the masks' grid, refused where they are none."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from metseg.errors import GeometryError, InputError
from metseg.evaluation import MaskPair, ScoringConfig, evaluate_masks, evaluate_pairs, summarize
from metseg.evaluation.files.file_matching import match_files
from metseg.evaluation.files.mask_io import read_pair
from metseg.evaluation.files.serialization import scores_from_json, scores_to_json
from metseg.evaluation.statistics.probability_stats import checked_probability

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])


def case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a truth of one block, and probabilities that find it and a false one."""
    generator = np.random.default_rng(seed)
    truth = np.zeros((12, 10, 8), dtype=np.uint8)
    truth[2:5, 2:5, 2:5] = 1
    probability = generator.uniform(0, 0.3, truth.shape).astype(np.float32)
    probability[2:5, 2:5, 2:5] = 0.85
    probability[9:11, 7:9, 6] = 0.65
    return truth, probability


def save(path: Path, data: np.ndarray, *, slope: float | None = None) -> None:
    """Write an uncompressed volume; with a slope, the numbers are stored as they are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(data, AFFINE)
    if slope is not None:
        image.header.set_slope_inter(slope, 0.0)
    path.write_bytes(image.to_bytes())


@pytest.fixture
def volumes(tmp_path: Path) -> tuple[Path, Path]:
    """Two cases: truth, the mask at 0.5, and the probabilities as prediction stores them."""
    for seed in range(2):
        truth, probability = case(seed)
        save(tmp_path / "truth" / f"c{seed}-seg.nii", truth)
        save(tmp_path / "predictions" / f"c{seed}-seg.nii", (probability >= 0.5).astype(np.uint8))
        stored = np.rint(probability * 65535).astype(np.uint16)
        save(tmp_path / "predictions" / f"c{seed}-probability.nii", stored, slope=1 / 65535)
    return tmp_path / "predictions", tmp_path / "truth"


def test_maps_beside_masks_are_found_and_are_no_masks(volumes: tuple[Path, Path]) -> None:
    pairs = match_files(*volumes)
    assert [pair.case for pair in pairs.cases] == ["c0", "c1"]
    assert [[path.name for path in pair.probability] for pair in pairs.cases] == [
        ["c0-probability.nii"], ["c1-probability.nii"]
    ]  # fmt: skip
    read = read_pair(pairs.cases[1], ScoringConfig())
    assert read.probability is not None
    assert np.allclose(read.probability, case(1)[1], atol=1e-5)


def test_a_summary_of_volumes_with_probabilities(volumes: tuple[Path, Path], tmp_path: Path) -> None:
    summary = evaluate_pairs(match_files(*volumes), ScoringConfig(), out=tmp_path / "out", quiet=True)
    known = summary.probabilities
    assert known is not None
    assert known.cases == 2
    points = {point.threshold: point for point in known.froc.points}
    assert known.froc.lesions == 2
    # up to 0.65 the false block is there, up to 0.85 the true one
    for threshold, sensitivity, false in ((0.5, 1.0, 1.0), (0.7, 1.0, 0.0), (0.9, 0.0, 0.0)):
        found = points[threshold].sensitivity
        assert found is not None
        assert found.mean == sensitivity
        assert points[threshold].false_positives_per_patient.mean == false
    bins = {one.low: one for one in known.voxels.bins}
    assert (bins[0.8].count, bins[0.6].count) == (2 * 27, 2 * 4)
    assert bins[0.8].observed is not None
    assert bins[0.8].observed.mean == 1.0
    confidence = summary.regions["lesion"].confidence
    assert confidence is not None
    lesions = {one.low: one for one in confidence.bins if one.count}
    assert {low: one.count for low, one in lesions.items()} == {0.6: 2, 0.8: 2}
    rows = (tmp_path / "out" / "lesions.csv").read_text("utf-8").splitlines()
    column = rows[0].split(",").index("confidence")
    assert [round(float(row.split(",")[column]), 3) for row in rows[1:]] == [0.85, 0.65] * 2
    document = summary.to_json()
    assert document["probabilities"]["froc"]["lesions"] == 2
    assert document["regions"]["lesion"]["confidence"]["bins"][9]["count"] == 2


def test_cases_without_maps_are_scored_without(volumes: tuple[Path, Path], tmp_path: Path) -> None:
    (volumes[0] / "c0-probability.nii").unlink()
    summary = evaluate_pairs(match_files(*volumes), ScoringConfig(), out=tmp_path / "out", quiet=True)
    assert summary.probabilities is not None
    assert (summary.cases, summary.probabilities.cases) == (2, 1)


def test_maps_on_another_grid_are_refused(volumes: tuple[Path, Path]) -> None:
    save(volumes[0] / "c0-probability.nii", case(0)[1][:-1])
    with pytest.raises(GeometryError, match="probability"):
        read_pair(match_files(*volumes).cases[0], ScoringConfig())


@pytest.mark.parametrize("wrong", [np.nan, 1.5, -0.5])
def test_what_is_no_probability_is_refused(wrong: float) -> None:
    truth, probability = case(0)
    probability[0, 0, 0] = wrong
    with pytest.raises(InputError, match="probability map") as caught:
        evaluate_masks(MaskPair(truth, truth, AFFINE, case="c7", probability=probability))
    assert (caught.value.code, caught.value.where) == ("input.probability", "c7")


@pytest.mark.parametrize("in_truth", [False, True])
@pytest.mark.parametrize("in_prediction", [False, True])
@pytest.mark.parametrize("in_map", [False, True])
@pytest.mark.parametrize("affine", [None, AFFINE])
def test_every_empty_combination_has_a_summary_that_json_can_hold(
    in_truth: bool, in_prediction: bool, in_map: bool, affine: np.ndarray | None
) -> None:
    full = case(0)[0]
    truth, prediction = full * np.uint8(in_truth), full * np.uint8(in_prediction)
    chances = full * np.float32(0.7 if in_map else 0.0)
    scores = [evaluate_masks(MaskPair(truth, prediction, affine, case=name, probability=chances)) for name in "ab"]
    summary = summarize(scores, resamples=20)
    document = json.dumps(summary.to_json(), allow_nan=False)
    assert "NaN" not in document
    region = summary.regions["lesion"]
    assert region.detection is not None
    assert (region.detection.sensitivity is None) == (not in_truth)
    assert (region.detection.precision is None) == (not in_prediction)
    assert (region.detection.f1 is None) == (not (in_truth or in_prediction))
    assert (region.volume is None) == (affine is None)
    assert (region.confidence is None) == (not in_prediction)
    assert summary.probabilities is not None
    assert (summary.probabilities.froc.score is None) == (not in_truth)
    assert (summary.probabilities.voxels.ece_foreground is None) == (not in_map)


def test_rounding_of_a_slope_is_forgiven() -> None:
    checked = checked_probability(np.array([-1e-6, 0.5, 1 + 1e-6]), (3,), where="c")
    assert (checked.min(), checked.max()) == (0.0, 1.0)
    with pytest.raises(GeometryError, match="differs from the truth in shape"):
        checked_probability(np.zeros(3), (4,), where="c")


def test_pictures(tmp_path: Path) -> None:
    """Two slices; maps of 16 bits, as prediction writes them. One of two patients lacks a map."""
    plane = np.zeros((6, 5))
    plane[1:3, 1:3] = 0.9
    for patient in ("p1", "p2"):
        for z in range(2):
            for side in ("truth", "predictions"):
                (tmp_path / side / patient).mkdir(parents=True, exist_ok=True)
                mask = (plane.T > 0).astype(np.uint8) * 255
                Image.fromarray(mask).save(tmp_path / side / patient / f"s{z}_mask.png")
            stored = np.rint(plane.T * 65535).astype(np.uint16)
            if (patient, z) != ("p2", 1):
                Image.fromarray(stored).save(tmp_path / "predictions" / patient / f"s{z}_probability.png")
    pairs = match_files(tmp_path / "predictions", tmp_path / "truth")
    assert [len(pair.probability) for pair in pairs.cases] == [2, 0]
    assert any("p2" in warning and "probabilities" in warning for warning in pairs.warnings)
    read = read_pair(pairs.cases[0], ScoringConfig())
    assert read.probability is not None
    assert read.probability.shape == (6, 5, 2)
    assert np.allclose(read.probability[..., 1], plane, atol=1e-4)


def test_scores_with_probabilities_come_back_from_json() -> None:
    truth, probability = case(0)
    scores = evaluate_masks(MaskPair(truth, probability >= 0.5, AFFINE, probability=probability))
    again = scores_from_json(scores_to_json(scores))
    assert summarize([again], resamples=20).to_json() == summarize([scores], resamples=20).to_json()
    older = scores_to_json(scores)
    del older["chances"]
    for region in older["regions"].values():
        del region["tally"]
    read = summarize([scores_from_json(older)], resamples=20)
    assert (read.probabilities, read.regions["lesion"].detection) == (None, None)

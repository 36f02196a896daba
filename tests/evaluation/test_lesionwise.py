"""Lesion-wise scores: the challenge's own figures, a plain implementation, and the monotony that does hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from metseg.evaluation import evaluate_case
from metseg.io.volumes.nifti import read_mask_nifti

#: Our columns and what the challenge's scripts call them.
COLUMNS = {
    "n_tp": "Num_TP",
    "n_fp": "Num_FP",
    "n_fn": "Num_FN",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "dice": "Legacy_Dice",
    "hd95_mm": "Legacy_HD95",
    "nsd_0.5": "Legacy NSD @ 0.5",
    "nsd_1.0": "Legacy NSD @ 1.0",
    "truth_volume_mm3": "GT_Complete_Volume",
    "lesionwise_dice": "LesionWise_Score_Dice",
    "lesionwise_hd95": "LesionWise_Score_HD95",
    "lesionwise_nsd_0.5": "LesionWise_Score_NSD @ 0.5",
    "lesionwise_nsd_1.0": "LesionWise_Score_NSD @ 1.0",
}
UNIT = (1.0, 1.0, 1.0)


@pytest.mark.real
@pytest.mark.parametrize("protocol", ["brats-met-2023", "brats-met-2024", "brats-gli-2023"])
def test_every_column_equals_what_the_challenge_prints(oracles: Path, protocol: str) -> None:
    folder = oracles / "brats_lesionwise"
    ours = {theirs: column for column, theirs in COLUMNS.items()}
    compared = 0
    for entry in json.loads((folder / "expected.json").read_text("utf-8")):
        truth = read_mask_nifti(folder / f"{entry['case']}-seg.nii.gz")
        prediction = read_mask_nifti(folder / f"{entry['case']}-pred.nii.gz")
        scores = evaluate_case(truth.data, prediction.data, affine=truth.affine, protocol=protocol)
        for region, columns in entry[protocol.replace("-", "_")].items():
            for name, expected in columns.items():
                value = scores[region][ours[name]]
                assert value == pytest.approx(expected, abs=1e-6, rel=1e-5), (entry["case"], region, name)
                compared += 1
    assert compared == {"brats-met-2023": 900, "brats-met-2024": 1680, "brats-gli-2023": 900}[protocol]


def spread_lesions(generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[tuple[slice, ...]]]:
    """Return truth and prediction (class 3) with lesions in cells so wide that no dilation reaches another cell."""
    truth, prediction = np.zeros((2, 36, 24, 12), dtype=np.uint8)
    cells = [(slice(x, x + 12), slice(y, y + 12), slice(0, 12)) for x in (0, 12, 24) for y in (0, 12)]
    for cell in cells:
        corner = generator.integers(4, 6, 3)
        side = generator.integers(2, 4, 3)
        block = tuple(slice(start, start + size) for start, size in zip(corner, side, strict=True))
        moved = tuple(slice(side.start + 1, side.stop + 1) for side in block)
        kind = generator.integers(0, 4)
        if kind in (0, 1):
            truth[cell][block] = 3
        if kind == 0:
            prediction[cell][moved] = 3
        if kind == 2:
            prediction[cell][block] = 3
    return truth, prediction, cells


def plain_lesionwise_dice(truth: np.ndarray, prediction: np.ndarray, times: int, dropped_mm3: float) -> float:
    """Return the 2023 score as METRICS states it, dilating each lesion in the whole image."""
    element, full = ndimage.generate_binary_structure(3, 2), np.ones((3, 3, 3))
    grown = ndimage.binary_dilation(truth, element, iterations=times)
    merged, count = ndimage.label(grown, structure=full)
    pieces, n_pieces = ndimage.label(prediction, structure=full)
    total, kept, met = 0.0, 0, set()
    for number in range(1, count + 1):
        lesion = truth & (merged == number)
        reach = ndimage.binary_dilation(lesion, element, iterations=times)
        touched = set(np.unique(pieces[reach])) - {0}
        met |= touched
        if lesion.sum() <= dropped_mm3:
            continue
        kept += 1
        joined = np.isin(pieces, list(touched))
        total += 2 * (joined & lesion).sum() / (joined.sum() + lesion.sum()) if touched else 0.0
    charged = kept + n_pieces - len(met)
    return total / charged if charged else 1.0


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), dense=st.booleans())
@pytest.mark.parametrize(("protocol", "times", "dropped"), [("brats-met-2023", 1, 2.0), ("brats-gli-2023", 3, 50.0)])
def test_equals_the_plain_implementation(protocol: str, times: int, dropped: float, seed: int, dense: bool) -> None:
    generator = np.random.default_rng(seed)
    if dense:
        fields = [ndimage.gaussian_filter(generator.normal(size=(18, 17, 16)), 1.2) for _ in range(2)]
        truth, prediction = (field > np.quantile(field, 0.93) for field in fields)
    else:
        labels = spread_lesions(generator)
        truth, prediction = labels[0] > 0, labels[1] > 0
    scores = evaluate_case(
        truth.astype(np.uint8) * 3, prediction.astype(np.uint8) * 3, spacing_mm=UNIT, protocol=protocol
    )
    assert scores["ET"]["lesionwise_dice"] == pytest.approx(plain_lesionwise_dice(truth, prediction, times, dropped))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("protocol", ["brats-met-2023", "brats-met-2024"])
def test_isolated_lesions_deleting_a_found_one_or_adding_a_false_one_never_helps(protocol: str, seed: int) -> None:
    generator = np.random.default_rng(seed)
    truth, prediction, cells = spread_lesions(generator)

    def score(predicted: np.ndarray) -> float:
        value = evaluate_case(truth, predicted, spacing_mm=UNIT, protocol=protocol)["ET"]["lesionwise_dice"]
        assert value is not None
        return value

    before = score(prediction)
    for cell in (cells[index] for index in generator.permutation(len(cells))[:3]):
        changed = prediction.copy()
        if truth[cell].any() and prediction[cell].any():
            changed[cell] = 0
            assert score(changed) < before
        elif not truth[cell].any() and not prediction[cell].any():
            changed[cell][5:8, 5:8, 5:8] = 3
            assert score(changed) <= before


def test_missed_and_false_lesions_are_charged_the_penalty() -> None:
    truth, prediction = np.zeros((2, 30, 20, 10), dtype=np.uint8)
    truth[2:5, 2:5, 2:5] = 3
    prediction[20:23, 10:13, 2:5] = 3
    by_protocol = {"brats-met-2023": 374.0, "brats-gli-2023": 374.0, "brats-met-2024": np.sqrt(30**2 + 20**2 + 10**2)}
    for protocol, penalty in by_protocol.items():
        found = evaluate_case(truth, prediction, spacing_mm=(1.0, 1.0, 2.0), protocol=protocol)["ET"]
        assert found["lesionwise_hd95"] == pytest.approx(penalty)
        assert found["lesionwise_dice"] == 0
        assert (found["n_tp"], found["n_fp"], found["n_fn"]) == (0, 1, 1)


def test_small_truth_is_dropped_but_what_touches_it_is_no_false_positive() -> None:
    truth, prediction = np.zeros((2, 20, 10, 10), dtype=np.uint8)
    truth[3, 3, 3:5] = 3  # 2 mm³: dropped
    prediction[3, 3, 3] = 3
    found = evaluate_case(truth, prediction, spacing_mm=UNIT, protocol="brats-met-2023")["ET"]
    assert (found["n_tp"], found["n_fp"], found["n_fn"]) == (0, 0, 0)
    assert (found["lesionwise_dice"], found["lesionwise_hd95"]) == (1.0, 0.0)
    assert [lesion.scored for lesion in found.lesions] == [False]

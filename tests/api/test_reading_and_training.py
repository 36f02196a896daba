"""Reading cases, training, comparing and simulating, on hand-made pictures with a tiny network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import metseg

CHANNELS = ("t1n", "t2f", "t1c")


def test_a_folder_of_one_patient_is_a_case_with_its_truth(tiny_slices: Path) -> None:
    case = metseg.load(tiny_slices / "P3", channels=CHANNELS)
    assert case.modalities == CHANNELS
    assert case.images["t2f"].shape == (24, 24, 4)
    mask = np.asarray(Image.open(tiny_slices / "P3" / "P3_2_mask.png"))
    assert case.labels is not None
    np.testing.assert_array_equal(case.labels.data[:, :, 2].T > 0, mask > 0)


def test_a_picture_is_a_case_of_one_slice(tiny_slices: Path) -> None:
    case = metseg.load(tiny_slices / "P3" / "P3_1.png", channels=CHANNELS)
    pixels = np.asarray(Image.open(tiny_slices / "P3" / "P3_1.png"))
    np.testing.assert_array_equal(case.images["t1c"].data[:, :, 0].T, pixels[:, :, 2])


def test_a_data_set_is_not_one_case(tiny_slices: Path) -> None:
    with pytest.raises(metseg.InputError, match=r"got 8.*load_all"):
        metseg.load(tiny_slices)


def test_a_data_set_is_a_sequence_that_reads_when_asked(tiny_slices: Path) -> None:
    cases = metseg.load_all(tiny_slices, channels=CHANNELS)
    assert (len(cases), cases.ids) == (8, tuple(f"P{n}" for n in range(8)))
    assert repr(cases) == "<8 cases of 8 patients>"
    assert cases[-1].patient == "P7"
    assert cases[2:4].ids == ("P2", "P3")
    assert [case.case_id for case in cases[:2]] == ["P0", "P1"]
    with pytest.raises(IndexError):
        cases[8]
    with pytest.raises(metseg.UsageError, match=r"index: .*got str"):
        cases["P1"]  # type: ignore[call-overload]


def test_train_takes_a_file_and_changes(
    tiny_slices: Path, make_tiny_recipe: Callable[..., metseg.Recipe], tmp_path: Path
) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(make_tiny_recipe().to_toml(), "utf-8")
    bundle = metseg.train(file, str(tiny_slices), tmp_path / "run", changes=["train.max_steps=2"], device="cpu")
    assert json.loads((bundle / "metrics.json").read_text("utf-8"))["steps"] == 2


def test_train_changes_a_recipe_in_memory_too(
    tiny_slices: Path, make_tiny_recipe: Callable[..., metseg.Recipe], tmp_path: Path
) -> None:
    recipe = make_tiny_recipe("train.max_steps=3")
    bundle = metseg.train(recipe, tiny_slices, tmp_path / "run", changes=["train.max_steps=2"], device="cpu")
    assert json.loads((bundle / "metrics.json").read_text("utf-8"))["steps"] == 2
    assert recipe.train.max_steps == 3
    with pytest.raises(metseg.UsageError, match=r"did you mean train\.max_steps"):
        metseg.train(recipe, tiny_slices, tmp_path / "other", changes=["train.max_step=2"], device="cpu")


def test_score_is_the_dice_of_prediction_and_truth(tiny_bundle: Path, tiny_slices: Path) -> None:
    case = metseg.load(tiny_slices / "P0", channels=CHANNELS)
    prediction = metseg.predict(case, metseg.load_model(tiny_bundle, device="cpu"))
    assert case.labels is not None
    truth, found = case.labels.data > 0, prediction.labels > 0
    expected = 2 * (truth & found).sum() / (truth.sum() + found.sum())
    assert metseg.score(prediction)["lesion"]["dice"] == pytest.approx(expected)
    assert metseg.evaluate_case(truth, prediction.labels)["lesion"]["dice"] == pytest.approx(expected)


def test_compare_writes_its_results(
    tiny_slices: Path, make_tiny_recipe: Callable[..., metseg.Recipe], tmp_path: Path
) -> None:
    recipes = [make_tiny_recipe(f"name={name}", "train.max_steps=2") for name in ("one", "two")]
    comparison = metseg.compare(recipes, tiny_slices, tmp_path, device="cpu")
    assert json.loads((tmp_path / "results.json").read_text("utf-8"))["verdict"] == comparison.verdict
    assert (tmp_path / "overlays_two.png").exists()


def test_simulated_patients_are_read_again(tmp_path: Path) -> None:
    options = {"resolution_mm": 5, "lesions_min": 2, "lesions_max": 2}
    rows = metseg.simulate(tmp_path / "data", 2, phantom=options, workers=1, quiet=True)
    assert pd.DataFrame(rows)["lesions"].tolist() == [2, 2]
    cases = metseg.load_all(tmp_path / "data", labels="brats-met-2023")
    assert len(cases) == 2
    assert set(cases[0].modalities) == {"t1n", "t1c", "t2w", "t2f"}
    assert cases[0].images["t1c"].spacing_mm == (5.0, 5.0, 5.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patients": "2"}, "patients: .*whole number, got str"),
        ({"patients": 0}, "patients: .*1 or more, got 0"),
        ({"phantom": {"resolution": 3}}, "phantom: unknown key 'resolution'.*did you mean resolution_mm"),
        ({"phantom": 3}, "phantom: .*mapping.*got int"),
        ({"slices": {"mask": "whole"}}, "slices: options of slices are given for volumes"),
        ({"kind": "nifty"}, "Did you mean 'nifti'"),
        ({"challenge": "harder"}, "Did you mean 'hard'"),
        ({"existing": "replace"}, "Unknown way to treat an existing folder 'replace'"),
        ({"out": 5}, "out: .*a path, got int"),
    ],
)
def test_simulate_refuses_what_it_cannot_do(options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(metseg.UsageError, match=message):
        metseg.simulate(**{"out": tmp_path / "data", "patients": 1, **options})
    assert not (tmp_path / "data").exists()

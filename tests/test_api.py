"""The public Python API: the functions a notebook uses, on hand-made pictures with a tiny network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import metseg
import metseg.api
from metseg.errors import InputError
from metseg.inference.prediction import Prediction
from metseg.plot.overlay import TRUTH_COLOUR
from metseg.recipe import Recipe
from metseg.volume import Case, Volume

CHANNELS = ("t1n", "t2f", "t1c")


@pytest.fixture(scope="module")
def bundle(
    tiny_slices: Path, make_tiny_recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    return metseg.train(make_tiny_recipe(), tiny_slices, tmp_path_factory.mktemp("api") / "run", device="cpu")


def python(code: str) -> str:
    """Return what a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_is_light() -> None:
    loaded = python("import sys, metseg; print([name for name in sys.modules if name in ('torch', 'numpy', 'pandas')])")
    assert loaded.strip() == "[]"


def test_every_public_name_is_there_and_documented() -> None:
    assert set(metseg.__all__) == {*metseg.api.__all__, "__version__"}
    for name in metseg.api.__all__:
        assert getattr(metseg, name) is not None
        assert (getattr(metseg.api, name).__doc__ or "").strip()
    assert set(metseg.__all__) <= set(dir(metseg))


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'segment'"):
        metseg.segment  # noqa: B018


def test_predict_and_train_can_be_called_although_they_are_folders_too() -> None:
    # The folders of these names are bound to the package as soon as anything in them is imported.
    names = ("predict", "train", "load", "evaluate_case", "overlay")
    tried = "; ".join(f"print(callable(metseg.{name}))" for name in names)
    code = f"import metseg.inference.predictor, metseg.training.run, metseg; {tried}"
    assert python(code).split() == ["True"] * len(names)


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
    with pytest.raises(InputError, match=r"got 8.*load_all"):
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


def test_train_takes_a_file_and_changes(
    tiny_slices: Path, make_tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(make_tiny_recipe().to_toml(), "utf-8")
    bundle = metseg.train(file, str(tiny_slices), tmp_path / "run", changes=["train.max_steps=2"], device="cpu")
    assert json.loads((bundle / "metrics.json").read_text("utf-8"))["steps"] == 2


def test_prediction_is_the_same_from_case_folder_and_model_name(bundle: Path, tiny_slices: Path) -> None:
    model = metseg.load_model(bundle, device="cpu")
    case = metseg.load(tiny_slices / "P0", channels=CHANNELS)
    from_case = metseg.predict(case, model)
    assert from_case.labels.shape == (24, 24, 4)
    for other in (metseg.predict(tiny_slices / "P0", model), metseg.predict(str(tiny_slices / "P0"), str(bundle))):
        np.testing.assert_array_equal(other.labels, from_case.labels)


def test_score_is_the_dice_of_prediction_and_truth(bundle: Path, tiny_slices: Path) -> None:
    case = metseg.load(tiny_slices / "P0", channels=CHANNELS)
    prediction = metseg.predict(case, metseg.load_model(bundle, device="cpu"))
    assert case.labels is not None
    truth, found = case.labels.data > 0, prediction.labels > 0
    expected = 2 * (truth & found).sum() / (truth.sum() + found.sum())
    assert metseg.score(prediction)["lesion"]["dice"] == pytest.approx(expected)
    assert metseg.evaluate_case(truth.astype(np.uint8), prediction.labels)["lesion"]["dice"] == pytest.approx(expected)


def drawn_by_hand(with_truth: bool = True) -> Prediction:
    """Return a prediction on 10 x 8 pixels, 3 slices: one pixel on slice 0, four on slice 2; truth on slice 2."""
    shape = (10, 8, 3)
    labels, truth = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    labels[1, 1, 0] = 1
    labels[2:4, 5:7, 2] = 1
    truth[6:9, 1:4, 2] = 255
    image = Volume(np.full(shape, 7, np.uint8))
    case = Case("c", "p", {"t2f": image}, Volume(truth) if with_truth else None, slice_names=("0", "1", "2"))
    return Prediction(
        case, labels, np.zeros(shape, np.float32), (), np.zeros(shape, np.uint16), {}, (), "model", "binary"
    )


def test_overlay_shows_the_fullest_slice_in_file_order() -> None:
    picture = metseg.overlay(drawn_by_hand())
    assert (picture.shape, picture.dtype) == ((8, 10, 3), np.uint8)
    coloured = np.ptp(picture.astype(int), axis=2) > 0
    rows, columns = np.nonzero(coloured)
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == {(5, 2), (5, 3), (6, 2), (6, 3)}
    assert np.ptp(metseg.overlay(drawn_by_hand(), 0)[1, 1].astype(int)) > 0


def test_overlay_outlines_the_truth_where_asked() -> None:
    picture = metseg.overlay(drawn_by_hand(), truth=True)
    green = (picture == TRUTH_COLOUR).all(axis=2)
    expected = np.zeros((8, 10), bool)
    expected[1:4, 6:9] = True
    expected[2, 7] = False  # an outline, not a filling
    np.testing.assert_array_equal(green, expected)


def test_overlay_refuses_what_is_not_there() -> None:
    with pytest.raises(InputError, match="no such slice"):
        metseg.overlay(drawn_by_hand(), 3)
    with pytest.raises(InputError, match="no truth"):
        metseg.overlay(drawn_by_hand(with_truth=False), truth=True)


def test_compare_writes_its_results(tiny_slices: Path, make_tiny_recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    recipes = [make_tiny_recipe(f"name={name}", "train.max_steps=2") for name in ("one", "two")]
    comparison = metseg.compare(recipes, tiny_slices, tmp_path, device="cpu")
    assert json.loads((tmp_path / "results.json").read_text("utf-8"))["verdict"] == comparison.verdict
    assert (tmp_path / "overlays_two.png").exists()

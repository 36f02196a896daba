"""Inputs of another kind than the network was trained on are refused, or marked before any number."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from metseg.cli.predict import _print
from metseg.errors import InputError
from metseg.headline import Figure, Headline
from metseg.inference.batch import Outcome
from metseg.inference.input_fit import REQUIRED_ONLY, unmeasured_without
from metseg.inference.predictor import Predictor
from metseg.io import find_inputs
from metseg.model.bundle import load_bundle
from metseg.recipe import load_recipe
from metseg.volume import BRAIN_MASK, Case, Volume

Make = Callable[..., Predictor]
IMAGE = np.random.default_rng(0).normal(100, 20, (12, 10, 6)).astype(np.float32)
ON_SLICES = ("data.channels=", 'data.modalities=["t2f"]')


@pytest.fixture(autouse=True)
def accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accept the terms of `lgg-flair`, which is for non-commercial use only."""
    monkeypatch.setenv("METSEG_ACCEPTED_MODELS", "lgg-flair")


def volume(**more: np.ndarray) -> Case:
    images = {"t2f": IMAGE, **more}
    return Case("case", "patient", {name: Volume(data, np.eye(4)) for name, data in images.items()})


def test_a_network_of_pictures_marks_a_volume(predictor: Make, first_channel: Callable[..., object]) -> None:
    prediction = predictor(first_channel())(volume())
    assert "trained on pictures, not on volumes" in prediction.warnings[0]


def test_a_network_of_slices_of_volumes_marks_pictures(
    predictor: Make, stack: Callable[..., Case], first_channel: Callable[..., object]
) -> None:
    of_slices = predictor(first_channel(), changes=ON_SLICES)
    assert of_slices(volume()).warnings == ()
    assert "trained on slices of volumes, not on pictures" in of_slices(stack(IMAGE)).warnings[0]
    assert predictor(first_channel())(stack(IMAGE)).warnings == ()


def test_a_network_of_volumes_refuses_pictures(
    predictor: Make, stack: Callable[..., Case], first_channel: Callable[..., object]
) -> None:
    of_volumes = predictor(first_channel(), changes=("data.dimensions=3", "train.patch_size=[8, 8, 8]"))
    with pytest.raises(InputError, match="needs a volume, but pictures were given") as caught:
        of_volumes(stack(IMAGE))
    assert caught.value.code == "input.dimensions"


def test_a_brain_mask_that_the_model_does_not_use_is_not_ignored_silently(
    predictor: Make, first_channel: Callable[..., object]
) -> None:
    given = volume(**{BRAIN_MASK: np.ones(IMAGE.shape, np.uint8)})
    without = predictor(first_channel(), changes=ON_SLICES)
    assert any("the brain mask is ignored" in text for text in without(given).warnings)
    using = predictor(first_channel(), changes=(*ON_SLICES, 'preprocess=[{name = "brain_mask"}]'))
    assert using(given).warnings == ()


def test_warnings_come_before_the_number(tmp_path: Path) -> None:
    outcome = Outcome(documents=[tmp_path], volumes=1, lesions=2)
    outcome.warnings.update(["the model was trained on pictures", *map(str, range(9))])
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        _print(outcome, tmp_path)
    *notes, last = said.getvalue().splitlines()
    assert notes[0] == "note (1 case): the model was trained on pictures"
    assert "5 more kinds of note" in notes[-1]
    assert last.startswith("1 volume, 2 lesions")


def test_one_case_is_printed_with_fitness_before_warnings_and_tumour_before_oedema(tmp_path: Path) -> None:
    figures = (Figure(name="enhancing tumour", value=1.5, unit="mL"), Figure(name="oedema", value=80, unit="mL"))
    headline = Headline(fitness="Fit for x.", finding="2 lesions found.", lesions=2, specks=3, figures=figures)
    outcome = Outcome(documents=[tmp_path], volumes=1, lesions=5, headlines=[headline])
    outcome.warnings.update(["the model was trained on pictures"])
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        _print(outcome, tmp_path)
    assert said.getvalue().splitlines() == [
        "Fit for x.",
        "note (1 case): the model was trained on pictures",
        "2 lesions found.",
        "  enhancing tumour: 1.50 mL",
        "  oedema: 80.00 mL",
        f"1 volume, 5 lesions, 3 of them below 0.1 mL; results in {tmp_path}",
    ]


@pytest.mark.parametrize("named", [(), ("t2f",)])
def test_a_slice_network_of_three_channels_says_that_it_is_for_pictures(
    run_metseg: Callable[..., tuple[int, str, str]], tmp_path: Path, named: tuple[str, ...]
) -> None:
    path = tmp_path / "flair.nii.gz"
    nib.save(nib.Nifti1Image(np.random.default_rng(0).normal(100, 20, (32, 32, 3)).astype(np.float32), np.eye(4)), path)
    more = [word for name in named for word in ("--modality", f"{name}={path}")]
    status, _, err = run_metseg("predict", path, *more, "--model", "lgg-flair", "--out", tmp_path / "out")
    assert status == 3
    assert "the model takes 2D images, but the input is a volume" in err
    assert "2D slices of 3 channels" in err
    assert "metseg models list" in err
    data = load_recipe("lgg-fast").data
    assert data.dimensions == 2
    with pytest.raises(InputError) as refused:
        find_inputs(path, data)
    assert refused.value.code == "input.dimensions"


def test_a_slice_network_on_a_volume_says_so_in_its_document(
    run_metseg: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    data = np.random.default_rng(0).normal(100, 20, (32, 32, 3)).astype(np.float32)
    nib.save(nib.Nifti1Image(data, np.eye(4)), tmp_path / "flair.nii.gz")
    files = [word for name in ("t1n", "t1c", "t2f") for word in ("--modality", f"{name}={tmp_path / 'flair.nii.gz'}")]
    status, out, err = run_metseg("predict", *files, "--model", "lgg-flair", "--out", tmp_path / "out", "--json")
    assert status == 0, err
    (case,) = json.loads(out)["cases"]
    assert any("trained on pictures, not on volumes" in text for text in case["warnings"])
    assert any("declared to be t1c, and its name says t2f" in text for text in case["warnings"])


def test_that_a_sequence_may_be_missing_is_said_with_its_scores_or_as_unmeasured() -> None:
    recipe = load_recipe("mets-3d")
    case = Case("c", "p", {"t1c": Volume(IMAGE, np.eye(4)), "t2f": Volume(IMAGE, np.eye(4))})
    assert unmeasured_without(case, recipe, {}) == ("the accuracy of the model without t1n, t2w was not measured",)
    assert unmeasured_without(case, recipe, {REQUIRED_ONLY: {}}) == ()
    whole = Case("c", "p", dict.fromkeys(recipe.data.inputs, Volume(IMAGE, np.eye(4))))
    assert unmeasured_without(whole, recipe, {}) == ()


def test_a_bundle_says_so_before_the_number(tiny_bundle: Path) -> None:
    bundle = load_bundle(tiny_bundle)
    data = bundle.recipe.data.model_copy(update={"optional": ("t1c",)})
    changed = replace(bundle, recipe=bundle.recipe.model_copy(update={"data": data}))
    images = {name: Volume(np.full((16, 16, 1), 9, np.uint8)) for name in ("t1n", "t2f")}
    warnings = Predictor.from_bundle(changed, device="cpu")(Case("c", "p", images, slice_names=("0",))).warnings
    assert warnings[0] == "the accuracy of the model without t1c was not measured"

"""An operating point goes into a bundle, is used by prediction, and is never chosen on the wrong patients."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from metseg.errors import InputError, UsageError
from metseg.evaluation.files.file_matching import CasePair, Pairs
from metseg.evaluation.lesions.operating_point import OperatingPoint
from metseg.evaluation.statistics.confidence_intervals import Interval
from metseg.experiment.leakage_checks import require_validation_patients
from metseg.experiment.set_operating_point import HEADING, OperatingTarget, set_operating_point, with_point
from metseg.inference.predictor import Predictor
from metseg.io.splits import Split
from metseg.measure import ConfidenceMap
from metseg.model import build_from_recipe
from metseg.model.bundle import load_bundle, save_bundle
from metseg.recipe import PredictPart, Recipe

Run = Callable[..., tuple[int, str, str]]

SPLIT = Split(train=("P0", "P1", "P2"), validation=("P3", "P4"), test=("P5",))
FOLDED = Split(train=("P0", "P1", "P2", "P3"), test=("P5",), folds=(("P0", "P1"), ("P2", "P3")))


@pytest.fixture
def bundle(tmp_path: Path, make_tiny_recipe: Callable[..., Recipe]) -> Path:
    """Return a bundle that knows its split."""
    recipe = make_tiny_recipe()
    torch.manual_seed(0)
    networks = [build_from_recipe(recipe)]
    return save_bundle(
        tmp_path / "bundle",
        networks=networks,
        recipe=recipe,
        card="# tiny\n",
        metrics={"steps": 8},
        split=SPLIT.to_dict(),
    )


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two validation patients: a lesion of 16 pixels at 0.8, a false one of 16 at 0.6 and one of 2 at 0.9."""
    plane = np.zeros((12, 12))
    plane[2:6, 2:6] = 0.8
    truth = plane > 0
    plane[7:11, 7:11] = 0.6
    plane[1:3, 9] = 0.9
    for patient in ("P3", "P4"):
        for z in range(2):
            for side, name, pixels in (
                ("truth", "mask", truth.astype(np.uint8) * 255),
                ("predictions", "mask", (plane >= 0.5).astype(np.uint8) * 255),
                ("predictions", "probability", np.rint(plane * 65535).astype(np.uint16)),
            ):
                path = tmp_path / side / patient / f"{z}_{name}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels.T).save(path)
    return tmp_path / "predictions", tmp_path / "truth"


@pytest.mark.parametrize("said_by", ["recipe", "option"])
def test_a_table_says_whose_the_masks_are(
    bundle: Path, folders: tuple[Path, Path], tmp_path: Path, said_by: str
) -> None:
    """The folders are called otherwise than the patients of the split."""
    table = tmp_path / "table.csv"
    rows = [f"{name}/{z},{patient}" for name, patient in (("u", "P3"), ("v", "P4")) for z in range(2)]
    table.write_text("\n".join(["file,patient", *rows]), "utf-8")
    for side in folders:
        (side / "P3").rename(side / "u")
        (side / "P4").rename(side / "v")
    wanted = OperatingTarget(*folders, false_positives=0.0)
    with pytest.raises(InputError):
        set_operating_point(bundle, wanted, out=tmp_path / "refused", quiet=True)
    if said_by == "recipe":
        given = load_bundle(bundle)
        data = given.recipe.data.model_copy(update={"patients": str(table)})
        bundle = save_bundle(
            tmp_path / "by table",
            networks=[build_from_recipe(given.recipe)],
            recipe=given.recipe.model_copy(update={"data": data}),
            card="# tiny\n",
            metrics={"steps": 8},
            split=SPLIT.to_dict(),
        )
    else:
        wanted = replace(wanted, patients=str(table))
    operated = set_operating_point(bundle, wanted, out=tmp_path / "chosen", quiet=True)
    assert (operated.point.patients, operated.point.threshold) == (2, 0.65)


def test_the_point_is_in_recipe_metrics_and_card(bundle: Path, folders: tuple[Path, Path], tmp_path: Path) -> None:
    operated = set_operating_point(
        bundle, OperatingTarget(*folders, false_positives=0.0), out=tmp_path / "chosen", quiet=True
    )
    point = operated.point
    # the true lesion alone is left above 0.6 and from 3 pixels on; 0.65 is nearest to a half
    assert (point.threshold, point.minimum_size, point.unit) == (0.65, 3.0, "voxels")
    assert (point.sensitivity.mean, point.false_positives_per_patient.mean, point.dice.mean) == (1.0, 0.0, 1.0)
    chosen = load_bundle(operated.bundle)
    assert (chosen.recipe.predict.threshold, chosen.recipe.predict.minimum_voxels) == (0.65, 3)
    assert chosen.recipe.predict.confidence_slope == operated.confidence.slope
    assert operated.confidence(np.array([0.8]))[0] > 0.8  # four hits of four
    assert chosen.metrics["operating_point"]["asked_false_positives"] == 0.0
    assert chosen.metrics["steps"] == 8
    assert chosen.split == SPLIT.to_dict()
    assert "at most 0 false positives per patient" in chosen.card
    assert load_bundle(bundle).recipe.predict == PredictPart()  # the first one is as it was


def test_the_truth_may_be_that_of_the_whole_data_set(bundle: Path, folders: tuple[Path, Path]) -> None:
    """Patients of other parts need no prediction; images beside the masks and folders for order do not matter."""
    predictions, truth = folders
    for patient in ("P0", "P1", "P2", "P5"):
        shutil.copytree(truth / "P3", truth / patient)
    for mask in truth.rglob("*_mask.png"):
        shutil.copy(mask, mask.with_name(mask.name.replace("_mask", "")))
    operated = set_operating_point(bundle, OperatingTarget(predictions, truth, false_positives=0.0), quiet=True)
    assert (operated.point.patients, operated.point.threshold, operated.warnings) == (2, 0.65, ())
    shutil.rmtree(predictions / "P4")
    with pytest.raises(InputError, match=r"no prediction for 2 of [0-9]+ truths: P4/0, P4/1"):
        set_operating_point(bundle, OperatingTarget(predictions, truth, false_positives=0.0), quiet=True)


def test_the_truth_may_have_other_labels_than_the_predictions(bundle: Path, folders: tuple[Path, Path]) -> None:
    """A model of one class writes masks of 0 and 1, and says so; the truth has the classes of its data set."""
    predictions, truth = folders
    for path in truth.rglob("*_mask.png"):
        Image.fromarray((np.asarray(Image.open(path)) // 255 * 3).astype(np.uint8)).save(path)
    for patient in ("P3", "P4"):
        document = {"case": patient, "model": load_bundle(bundle).recipe.name, "technique": {"labels": "binary"}}
        (predictions / f"{patient}.json").write_text(json.dumps(document), "utf-8")
    wanted = OperatingTarget(predictions, truth, false_positives=0.0, labels="brats-met-2023")
    operated = set_operating_point(bundle, wanted, quiet=True)
    assert (operated.point.patients, operated.point.threshold, operated.point.sensitivity.mean) == (2, 0.65, 1.0)


@pytest.mark.parametrize("document", ["P3.json", "deep_P3.json"])
def test_predictions_of_another_model_are_refused_whatever_their_document_is_called(
    bundle: Path, folders: tuple[Path, Path], document: str
) -> None:
    below = document.removesuffix(".json").replace("_", "/")
    if "/" in below:
        for side in folders:
            (side / below).parent.mkdir()
            (side / "P3").rename(side / below)
    text = json.dumps({"case": below.replace("/", "_"), "model": "another", "slices": [f"{below}/0", f"{below}/1"]})
    (folders[0] / document).write_text(text, "utf-8")
    with pytest.raises(InputError, match="predictions are from another model") as caught:
        set_operating_point(bundle, OperatingTarget(*folders, false_positives=0.0), quiet=True)
    assert caught.value.code == "input.other_model"


def test_validation_patients_that_were_not_looked_at_are_named(bundle: Path, folders: tuple[Path, Path]) -> None:
    shutil.rmtree(folders[0] / "P4")
    shutil.rmtree(folders[1] / "P4")
    operated = set_operating_point(bundle, OperatingTarget(*folders, false_positives=1.0), quiet=True)
    assert operated.warnings == ("no predictions for 1 of 2 validation patients: P4",)
    assert operated.warnings[0] in load_bundle(bundle).card
    assert "at most 1 false positive per patient" in load_bundle(bundle).card


def test_nothing_is_warned_of_where_all_were_looked_at(bundle: Path, folders: tuple[Path, Path]) -> None:
    assert set_operating_point(bundle, OperatingTarget(*folders, false_positives=0.0), quiet=True).warnings == ()


def test_prediction_uses_it_from_then_on(bundle: Path, folders: tuple[Path, Path]) -> None:
    set_operating_point(bundle, OperatingTarget(*folders, false_positives=0.0), quiet=True)
    predictor = Predictor.from_bundle(load_bundle(bundle), device="cpu")
    assert (predictor.part.threshold, predictor.part.minimum_voxels) == (0.65, 3)


def test_more_false_ones_may_be_allowed_and_a_second_choice_replaces_the_first(
    bundle: Path, folders: tuple[Path, Path]
) -> None:
    set_operating_point(bundle, OperatingTarget(*folders, false_positives=0.0), quiet=True)
    # two slices of a patient are one case: two false lesions of 16 pixels and two of 2
    point = set_operating_point(bundle, OperatingTarget(*folders, false_positives=4.0), quiet=True).point
    assert point.sensitivity.mean == 1.0
    assert point.dice.mean == 1.0  # of points that find all, the best Dice
    assert load_bundle(bundle).card.count(HEADING) == 1


def test_holes_are_filled_as_prediction_does(
    tmp_path: Path, folders: tuple[Path, Path], make_tiny_recipe: Callable[..., Recipe]
) -> None:
    recipe = make_tiny_recipe("predict.fill_holes=true")
    networks = [build_from_recipe(recipe)]
    filling = save_bundle(
        tmp_path / "filling", networks=networks, recipe=recipe, card="", metrics={}, split=SPLIT.to_dict()
    )
    for patient in ("P3", "P4"):
        for z in range(2):
            path = folders[0] / patient / f"{z}_probability.png"
            pixels = np.array(Image.open(path))
            pixels[3:5, 3:5] = 0  # a hole in the true lesion
            Image.fromarray(pixels).save(path)
    assert (
        set_operating_point(filling, OperatingTarget(*folders, false_positives=0.0), quiet=True).point.dice.mean == 1.0
    )


def pairs_of(*patients: str) -> Pairs:
    return Pairs(tuple(CasePair(name, name, (Path(name),), (Path(name),), is_slices=False) for name in patients))


@pytest.mark.parametrize(("patient", "word"), [("P5", "test"), ("P0", "trained on"), ("stranger", "not in the split")])
def test_other_patients_are_refused_by_name(patient: str, word: str) -> None:
    with pytest.raises(InputError, match=word) as caught:
        require_validation_patients(pairs_of("P3", patient), SPLIT, networks=1, fold=None)
    assert (caught.value.code, caught.value.where) == ("input.split_leak", patient)


def test_validation_patients_are_taken() -> None:
    require_validation_patients(pairs_of("P3", "P4"), SPLIT, networks=1, fold=None)
    require_validation_patients(pairs_of("P2"), FOLDED, networks=1, fold=1)
    require_validation_patients(pairs_of("P0", "P3"), FOLDED, networks=2, fold=None)  # each by its own fold's network


def test_folds_have_to_be_named_and_kept() -> None:
    for fold in (None, 2):
        with pytest.raises(UsageError, match="unknown validation fold"):
            require_validation_patients(pairs_of("P0"), FOLDED, networks=1, fold=fold)
    with pytest.raises(InputError, match="trained on"):
        require_validation_patients(pairs_of("P0"), FOLDED, networks=1, fold=1)
    with pytest.raises(InputError, match="held out for the test"):
        require_validation_patients(pairs_of("P5"), FOLDED, networks=2, fold=None)
    with pytest.raises(UsageError, match="by slice"):
        require_validation_patients(pairs_of("P0"), Split(by="slice", train=("P0/0",)), networks=1, fold=None)


def test_what_no_point_can_be_chosen_for(
    tmp_path: Path, bundle: Path, folders: tuple[Path, Path], make_tiny_recipe: Callable[..., Recipe]
) -> None:
    recipe = make_tiny_recipe("predict.keep_largest=true")
    networks = [build_from_recipe(recipe)]
    largest = save_bundle(tmp_path / "largest", networks=networks, recipe=recipe, card="", metrics={})
    with pytest.raises(UsageError, match="largest component"):
        set_operating_point(largest, OperatingTarget(*folders, false_positives=1.0), quiet=True)
    plain = make_tiny_recipe()
    unknown = save_bundle(tmp_path / "unknown", networks=networks, recipe=plain, card="", metrics={})
    with pytest.raises(UsageError, match="does not record its split"):
        set_operating_point(unknown, OperatingTarget(*folders, false_positives=1.0), quiet=True)
    (folders[0] / "P3.json").write_text(json.dumps({"model": "another"}))
    with pytest.raises(InputError, match="another model"):
        set_operating_point(bundle, OperatingTarget(*folders, false_positives=1.0), quiet=True)
    (folders[0] / "P3.json").unlink()
    (folders[0] / "P4" / "0_probability.png").unlink()
    with pytest.raises(InputError, match="without a probability map"):
        set_operating_point(bundle, OperatingTarget(*folders, false_positives=1.0), quiet=True)
    assert load_bundle(bundle).recipe.predict == PredictPart()


def test_another_split_does_not_free_patients_that_the_bundle_saw(
    bundle: Path, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    for side in folders:
        (side / "P3").rename(side / "P5")
    freed = tmp_path / "split.json"
    Split(train=("P0",), validation=("P4", "P5")).save(freed)
    with pytest.raises(InputError, match="held out for the test") as caught:
        set_operating_point(bundle, OperatingTarget(*folders, false_positives=1.0, split_file=freed), quiet=True)
    assert caught.value.where == "P5"
    for side in folders:
        (side / "P5").rename(side / "elsewhere")  # of another hospital, which the bundle never saw
    Split(train=("P0",), validation=("P4", "elsewhere")).save(freed)
    assert (
        set_operating_point(
            bundle, OperatingTarget(*folders, false_positives=0.0, split_file=freed), quiet=True
        ).point.patients
        == 2
    )


def test_a_volume_in_mm3_goes_where_prediction_reads_it() -> None:
    nothing = Interval(0.0, None, None, 1)
    point = OperatingPoint(0.4, 12.0, "mm3", 1.0, nothing, nothing, nothing, lesions=3, patients=1)
    part = with_point(PredictPart(minimum_voxels=7), point, ConfidenceMap(0.5, -1.0))
    assert (part.threshold, part.minimum_mm3, part.minimum_voxels) == (0.4, 12.0, 0)
    assert (part.confidence_slope, part.confidence_intercept) == (0.5, -1.0)


def test_the_command(bundle: Path, folders: tuple[Path, Path], run_metseg: Run) -> None:
    paths = ["--predictions", folders[0], "--truth", folders[1], "--jobs", 1]
    status, out, err = run_metseg("models", "operate", bundle, *paths, "--false-positives", 0, "--json")
    assert status == 0, err
    document = json.loads(out)
    assert document["operating_point"]["threshold"] == 0.65
    status, out, _ = run_metseg("models", "operate", bundle, *paths, "--false-positives", 0)
    assert status == 0
    assert out.startswith("threshold 0.65, components of at least 3 pixels")

"""Images on several grids, brought to one."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from metseg.errors import GeometryError, InputError, UsageError
from metseg.geometry import AxisTurn, Grid
from metseg.inference.prediction import Prediction
from metseg.preprocess import check_steps
from metseg.preprocess.pipeline import prepare, restore
from metseg.preprocess.prepared_case import Record, reference_name
from metseg.preprocess.steps import align
from metseg.recipe import DataPart, Named
from metseg.training.run_scoring import score_case
from metseg.training.snapshot import take_snapshot
from metseg.volume import BRAIN_MASK, Case, Volume

from . import phantom

REFERENCE = phantom.grid((32, 40, 30), (4.5, 4.5, 4.5), phantom.rotation(4, 0, 3))
OTHER = phantom.grid((36, 42, 24), (4.0, 4.2, 6.0), phantom.rotation(-5, 6, 0, (4, 3, -5)))
RESAMPLE = align.Options(method="resample")


def study(*, noise: float = 6.0, **extra: Volume) -> Case:
    grids = {"t1c": REFERENCE, "t2f": OTHER}
    images = {name: phantom.sequence(where, name, noise=noise) for name, where in grids.items()}
    return Case("case", "patient", {**images, **extra})


def moved(volume: Volume, motion: np.ndarray) -> Volume:
    """The image of a patient who moved: what was at a point is at ``motion`` times it, and the header knows nothing."""
    return Volume(volume.data, motion @ volume.affine)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * float((a & b).sum()) / float(a.sum() + b.sum())


def test_on_one_grid_nothing_happens():
    images = {name: phantom.sequence(REFERENCE, name) for name in ("t1c", "t2f")}
    case = Case("c", "p", images, Volume(phantom.lesion(REFERENCE), REFERENCE.affine))
    same, record = align.apply(case, align.Options(), reference="t1c")
    assert same is case
    assert record.details["moved"] == {}
    pictures = Case("c", "p", {"t1n": Volume(np.ones((3, 3, 2)))}, slice_names=("a", "b"))
    assert align.apply(pictures, align.Options(), reference="t1n")[0] is pictures


def test_axes_in_another_order_are_turned_and_not_resampled():
    turn = AxisTurn((2, 0, 1), (True, True, False))
    flair = phantom.sequence(REFERENCE, "t2f")
    turned = Volume(turn(flair.data), turn.affine(flair.affine, flair.shape))
    truth = (phantom.lesion(REFERENCE) * np.uint8(3)).astype(np.uint8)
    labels = Volume(turn(truth), turned.affine)
    case = Case("c", "p", {"t1c": phantom.sequence(REFERENCE, "t1c"), "t2f": turned}, labels)
    found, record = align.apply(case, align.Options(), reference="t1c")
    assert np.array_equal(found.images["t2f"].data, flair.data)
    assert np.array_equal(found.labels.data, truth)
    assert found.labels.grid.shape == REFERENCE.shape
    assert record.details["moved"] == {}
    assert found.warnings == ()


@pytest.mark.parametrize("method", ["linear", "bspline"])
def test_by_the_scanners_coordinates(method):
    options = align.Options(method="resample", interpolation=method)
    found, record = align.apply(study(noise=0), options, reference="t1c")
    truth = phantom.sequence(REFERENCE, "t2f").data
    smooth = phantom.inside(REFERENCE, 0.8) & ~phantom.lesion(REFERENCE)
    difference = np.abs(found.images["t2f"].data - truth)[smooth]
    assert np.median(difference) < 8  # of 420; by hand: half a voxel of this texture is 15
    assert found.images["t2f"].affine is found.images["t1c"].affine
    assert np.array_equal(found.images["t1c"].data, study(noise=0).images["t1c"].data)
    figures = record.details["moved"]["t2f"]
    assert figures["after"]["head_overlap"] > 0.95
    assert figures["moved_mm"] == 0
    assert Record.from_json(json.loads(json.dumps(record.to_json()))) == record
    (warning,) = found.warnings
    assert re.fullmatch(r"t2f was placed on t1c; the heads overlap by (9[5-9]|100) %", warning)


def test_labels_go_with_the_image_on_whose_grid_they_are():
    labels = Volume(phantom.lesion(OTHER) * np.uint8(2), OTHER.affine)
    case = Case("c", "p", study().images, labels)
    found, _ = align.apply(case, RESAMPLE, reference="t1c")
    assert found.labels.shape == REFERENCE.shape
    assert found.labels.data.dtype == np.uint8
    assert set(np.unique(found.labels.data)) == {0, 2}
    assert dice(found.labels.data > 0, phantom.lesion(REFERENCE)) > 0.85  # voxels of 6 mm in a ball of 26
    elsewhere = phantom.grid((60, 70, 60), (2.5, 2.5, 2.5))
    case = Case("c", "p", study().images, Volume(phantom.lesion(elsewhere) * np.uint8(1), elsewhere.affine))
    found, _ = align.apply(case, RESAMPLE, reference="t1c")
    assert dice(found.labels.data > 0, phantom.lesion(REFERENCE)) > 0.9


def test_a_motion_is_found_and_labels_and_mask_move_along():
    """The patient turned by 9 degrees and moved by 9 mm between the two images."""
    motion = phantom.rotation(5, -4, 6, (6, -5, 4))
    flair = moved(study().images["t2f"], motion)
    labels = Volume(phantom.lesion(OTHER) * np.uint8(1), flair.affine)
    mask = Volume(phantom.inside(OTHER, 0.9).astype(np.float32), flair.affine)
    case = Case("case", "p", {**study().images, "t2f": flair, BRAIN_MASK: mask}, labels)
    found, record = align.apply(case, align.Options(), reference="t1c")
    figures = record.details["moved"]["t2f"]
    head_mm = phantom.points_mm(REFERENCE)[phantom.inside(REFERENCE)]
    points = np.concatenate([head_mm, np.ones((len(head_mm), 1))], axis=1).T
    off_mm = np.linalg.norm(((np.array(figures["world"]) - motion) @ points)[:3], axis=0)
    assert off_mm.mean() < 0.7  # voxels are 4.5 and 6 mm
    assert off_mm.max() < 1.5
    assert figures["after"]["mutual_information"] > figures["before"]["mutual_information"]
    assert figures["after"]["head_overlap"] > 0.93
    assert dice(found.labels.data > 0, phantom.lesion(REFERENCE)) > 0.8
    assert dice(found.images[BRAIN_MASK].data > 0.5, phantom.inside(REFERENCE, 0.9)) > 0.95
    again, _ = align.apply(case, align.Options(), reference="t1c")
    assert np.array_equal(again.images["t2f"].data, found.images["t2f"].data), "the same each time"


def test_heads_that_do_not_fit_are_refused_loudly():
    away = moved(study().images["t2f"], phantom.rotation(shift_mm=(45, 0, 0)))
    words = r"case: t2f and t1c are not aligned .*overlap of the heads 0\.\d\d.*method = .rigid"
    with pytest.raises(InputError, match=words) as caught:
        align.apply(study(t2f=away), RESAMPLE, reference="t1c")
    assert caught.value.code == "input.registration"
    grain = np.random.default_rng(0).normal(100, 10, OTHER.shape).astype(np.float32)
    noise = Volume(grain * phantom.inside(OTHER), OTHER.affine)
    strict = align.Options(method="resample", least_mutual_information=1.1)
    with pytest.raises(InputError, match="t2f and t1c are not aligned"):
        align.apply(study(t2f=noise), strict, reference="t1c")
    assert align.apply(study(), strict, reference="t1c")[1].details["moved"]["t2f"]["after"]["mutual_information"] > 1.1


def test_an_image_of_nothing_is_warned_of():
    empty = Volume(np.zeros(OTHER.shape, np.float32), OTHER.affine)
    found, _ = align.apply(study(t2f=empty), RESAMPLE, reference="t1c")
    assert "how well it fits is unknown" in found.warnings[0]


def test_grids_without_a_place():
    case = Case("case", "p", {"t1c": Volume(np.ones((4, 4, 4))), "t2f": Volume(np.ones((5, 4, 4)))})
    with pytest.raises(GeometryError, match="t1c has no affine") as caught:
        align.apply(case, align.Options(), reference="t1c")
    assert caught.value.code == "input.no_affine"


def test_in_a_recipe_results_lie_on_the_references_grid(make_recipe):
    steps = [{"name": "align", "method": "resample"}, {"name": "reorient"}, {"name": "crop_to_head", "axes": "all"}]
    recipe = make_recipe(*steps, modalities=["t2f", "t1c"], reference="t1c")
    other = Volume(np.zeros((3, 3, 3)), np.eye(4))  # an image that the network does not see
    found = prepare(study(adc=other), recipe)
    assert found.modalities == ("t2f", "t1c")
    back = restore(found.head.astype(np.uint8), found.records)
    assert back.shape == REFERENCE.shape
    assert dice(back > 0, phantom.inside(REFERENCE)) > 0.95
    assert [record.step for record in found.records] == ["align", "reorient", "crop_to_head"]


def test_without_the_step_several_grids_are_refused(make_recipe):
    with pytest.raises(GeometryError, match=r"case: t2f is not on the grid of t1c .*put the step .* first") as caught:
        prepare(study(), make_recipe(modalities=["t1c", "t2f"]))
    assert caught.value.code == "input.shape_mismatch"
    shifted = Volume(study().images["t1c"].data, phantom.rotation(shift_mm=(0, 0, 3)) @ REFERENCE.affine)
    with pytest.raises(GeometryError, match="voxels up to 3 mm apart") as caught:
        prepare(study(t2f=shifted), make_recipe(modalities=["t1c", "t2f"]))
    assert caught.value.code == "input.affine_mismatch"


def test_which_image_is_the_reference():
    case = study()
    assert reference_name(case, DataPart()) == "t1c"
    assert reference_name(case, DataPart(modalities=("t2f", "t1c"))) == "t2f"
    assert reference_name(case, DataPart(modalities=("t2w", "t2f"), optional=("t2w",))) == "t2f"
    assert reference_name(case, DataPart(modalities=("t2f",), reference="t1c")) == "t1c"
    with pytest.raises(InputError, match="missing sequence t2w"):
        reference_name(case, DataPart(reference="t2w"))


@pytest.mark.parametrize("before", ["clahe", "select_channels", "brain_mask", "reorient", "zscore"])
def test_it_stands_first(before):
    options = {"modalities": ["t1c"]} if before == "select_channels" else {}
    with pytest.raises(UsageError, match=f"align comes after {before}"):
        check_steps([Named(name=before, options=options), Named(name="align")])


def test_sheared_axes_are_resampled_but_not_registered():
    sheared = OTHER.affine.copy()
    sheared[:3, 2] += 0.3 * sheared[:3, 1]
    where = Grid(OTHER.shape, sheared)
    case = study(t2f=phantom.sequence(where, "t2f"))
    assert align.apply(case, RESAMPLE, reference="t1c")[1].details["moved"]["t2f"]["after"]["head_overlap"] > 0.9
    with pytest.raises(GeometryError, match="not at right angles"):
        align.apply(case, align.Options(), reference="t1c")


@pytest.mark.parametrize("method", ["resample", "rigid"])
def test_a_truth_is_scored_where_training_learns_it(method: str) -> None:
    """The truth lies on FLAIR's grid, and the patient has moved since T1c, on whose grid results lie."""
    motion = phantom.rotation(0, 0, 6, (6, 0, 4)) if method == "rigid" else np.eye(4)
    flair = moved(phantom.sequence(OTHER, "t2f"), motion)
    case = study(t2f=flair)
    case = replace(case, labels=Volume(phantom.lesion(OTHER).astype(np.uint8), flair.affine))
    options = align.Options(method=method)
    learnt, _ = align.apply(case, options, reference="t1c")
    _, record = align.apply(replace(case, labels=None), options, reference="t1c")
    perfect = np.asarray(learnt.labels.data)
    prediction = Prediction(
        case,
        perfect,
        perfect.astype(np.float32),
        (),
        np.zeros(perfect.shape, np.uint16),
        {},
        (),
        "model",
        "binary",
        "t1c",
        records=(record,),
    )
    assert score_case(prediction)["lesion"]["dice"] == 1
    assert take_snapshot(prediction).truth.sum() == take_snapshot(prediction).prediction.sum()
    with pytest.raises(GeometryError, match="labels is not on the grid of t1c"):
        score_case(replace(prediction, records=()))
    nowhere = replace(case, labels=Volume(case.labels.data))
    with pytest.raises(GeometryError, match="labels has no affine"):
        score_case(replace(prediction, case=nowhere))

from __future__ import annotations

import numpy as np
import pytest

from metseg.errors import InputError, UsageError
from metseg.preprocess import check_steps
from metseg.preprocess.head_mask import without_holes
from metseg.preprocess.pipeline import prepare
from metseg.recipe import Named
from metseg.volume import BRAIN_MASK, Case, Volume

from . import phantom

GRID = phantom.grid((24, 30, 22), (6.0, 6.0, 6.0))


def study(*, noise: float = 0.0, mask: np.ndarray | None = None) -> Case:
    images = {name: phantom.sequence(GRID, name, noise=noise) for name in ("t1c", "t2f")}
    if mask is not None:
        images[BRAIN_MASK] = Volume(mask, GRID.affine)
    return Case("case", "patient", images)


def brain() -> np.ndarray:
    return phantom.inside(GRID, 0.8)


def test_a_given_mask_counts_as_it_is(make_recipe):
    given = brain() * np.float32(0.99999997)
    found = prepare(study(noise=9, mask=given), make_recipe({"name": "brain_mask"}, {"name": "zscore"}))
    assert found.modalities == ("t1c", "t2f")
    assert np.array_equal(found.head, brain())
    assert found.brain is None
    assert found.records[0].details["found"] == "file"
    for name, channel in zip(found.modalities, found.image, strict=True):
        values = study(noise=9).images[name].data
        wanted = (values - values[brain()].mean()) / values[brain()].std()
        assert channel == pytest.approx(wanted, abs=1e-4)


def test_every_later_step_takes_it_for_the_head(make_recipe):
    steps = [{"name": "brain_mask"}, {"name": "crop_to_head", "axes": "all"}, {"name": "clip_percentiles"}]
    found = prepare(study(noise=9, mask=brain().astype(np.uint8)), make_recipe(*steps))
    there = np.argwhere(brain())
    assert found.grid == tuple(there.max(axis=0) - there.min(axis=0) + 1)
    values = study(noise=9).images["t1c"].data[brain()]
    low, high = np.percentile(values, [0.5, 99.5])
    assert (found.image[0].min(), found.image[0].max()) == pytest.approx((low, high), rel=1e-4)


def test_without_the_step_a_mask_changes_nothing(make_recipe):
    recipe = make_recipe({"name": "zscore"})
    assert np.array_equal(prepare(study(mask=brain().astype(np.uint8)), recipe).image, prepare(study(), recipe).image)


def test_stripped_images_show_it_themselves(make_recipe):
    case = study()
    for volume in case.images.values():
        volume.data[10:13, 12:15, 10:12] = 0  # a ventricle, black in every sequence
    found = prepare(case, make_recipe({"name": "brain_mask"}))
    assert found.records[0].details["found"] == "nonzero"
    assert np.array_equal(found.head, phantom.inside(GRID))
    assert found.warnings == ()


def test_a_head_with_skull_is_refused_unless_the_recipe_says_otherwise(make_recipe):
    for step in ({"name": "brain_mask"}, {"name": "brain_mask", "otherwise": "refuse"}):
        with pytest.raises(InputError, match="case: the images show a head with skull") as caught:
            prepare(study(noise=9), make_recipe(step))
        assert caught.value.code == "input.brain_mask"
        assert "--modality brain_mask=FILE" in str(caught.value.cure)
        assert prepare(study(), make_recipe(step)).records[0].details["found"] == "nonzero"
    found = prepare(study(noise=9), make_recipe({"name": "brain_mask", "otherwise": "head"}))
    assert found.records[0].details["found"] == "head"
    assert "the whole head is used" in found.warnings[-1]
    assert (found.head != phantom.inside(GRID)).mean() < 0.03


@pytest.mark.parametrize(
    ("zoom", "is_brain"), [(1.27, True), (1.4, False)]
)  # an ellipsoid of 60 x 78 x 56 mm has 1098 mL: 2249 and 3013 mL
def test_a_head_whose_air_was_erased_is_told_from_a_brain_by_its_size(make_recipe, zoom, is_brain):
    images = {
        name: Volume(image.data, GRID.affine @ np.diag([zoom] * 3 + [1])) for name, image in study().images.items()
    }
    case = Case("case", "patient", images)
    if is_brain:
        assert prepare(case, make_recipe({"name": "brain_mask"})).records[0].details["found"] == "nonzero"
    else:
        with pytest.raises(InputError, match="a head with skull"):
            prepare(case, make_recipe({"name": "brain_mask"}))


def test_which_source_is_used_can_be_said(make_recipe):
    case = study(mask=brain().astype(np.uint8))
    assert prepare(case, make_recipe({"name": "brain_mask", "source": "nonzero"})).head.sum() > brain().sum()
    with pytest.raises(InputError, match="a head with skull"):
        prepare(study(), make_recipe({"name": "brain_mask", "source": "file", "otherwise": "refuse"}))


def test_an_empty_mask_is_refused(make_recipe):
    with pytest.raises(InputError, match="the brain mask is empty"):
        prepare(study(mask=np.zeros(GRID.shape, np.uint8)), make_recipe({"name": "brain_mask"}))


def test_zero_outside(make_recipe):
    case = study(noise=9, mask=brain().astype(np.uint8))
    found = prepare(case, make_recipe({"name": "brain_mask", "zero_outside": True}))
    assert not found.image[:, ~brain()].any()
    assert np.array_equal(found.image[1][brain()], case.images["t2f"].data[brain()])


def test_behind_reorient_the_mask_turns_too(make_recipe):
    turned = GRID.affine @ np.diag([-1.0, 1, 1, 1])
    images = {name: Volume(image.data, turned) for name, image in study(mask=brain().astype(np.uint8)).images.items()}
    images[BRAIN_MASK].data[:12] = 0
    found = prepare(Case("c", "p", images), make_recipe({"name": "reorient"}, {"name": "brain_mask"}))
    assert not found.head[12:].any()
    assert np.array_equal(found.head[:12], brain()[::-1][:12])


@pytest.mark.parametrize("before", ["clahe", "zscore", "crop_to_head", "n4"])
def test_it_goes_by_the_files_own_values(before):
    with pytest.raises(UsageError, match=f"brain_mask comes after {before}") as caught:
        check_steps([Named(name=before), Named(name="brain_mask")])
    assert caught.value.code == "usage.step_order"


def test_holes_are_what_is_enclosed_on_all_sides():
    mask = np.ones((7, 7, 7), bool)
    mask[3, 3, 3] = False
    mask[5, 5, 4:] = False  # open to one face
    wanted = mask.copy()
    wanted[3, 3, 3] = True
    assert np.array_equal(without_holes(mask), wanted)
    assert without_holes(np.ones((2, 2, 2), bool)).all()
    assert not without_holes(np.zeros((2, 2, 2), bool)).any()

from __future__ import annotations

import numpy as np
import pytest

from metseg.errors import InputError, UsageError
from metseg.preprocess import check_steps
from metseg.preprocess.pipeline import prepare, restore
from metseg.recipe import Named


def steps(*names: str) -> list[Named]:
    needed = {"resize": {"size": [8, 8]}, "pad_or_crop": {"size": [8, 8]}, "select_channels": {"modalities": ["t1n"]}}
    return [Named(name=name, options=needed.get(name, {})) for name in names]


@pytest.mark.parametrize("before", ["resize", "pad_or_crop", "crop_to_head", "zscore", "rescale", "clip_percentiles"])
def test_clahe_comes_first(before):
    with pytest.raises(UsageError, match=f"clahe comes after {before}") as caught:
        check_steps(steps("select_channels", before, "clahe"))
    assert caught.value.code == "usage.step_order"


def test_clahe_may_follow_a_choice_of_channels():
    assert [step.name for step in check_steps(steps("select_channels", "clahe", "resize", "zscore"))][1] == "clahe"


def test_unknown_step_and_option():
    with pytest.raises(UsageError, match=r"Unknown preprocessing step 'z_score'\. Did you mean 'zscore'"):
        check_steps([Named(name="z_score")])
    unknown = r"options of 'clahe': unknown key 'preprocess.0.limit'.*known keys here: clip_limit, tiles, modalities"
    with pytest.raises(UsageError, match=unknown):
        check_steps([Named(name="clahe", options={"limit": 2})])


def test_whole_way_there_and_back(make_case, make_recipe):
    rng = np.random.default_rng(0)
    image = np.zeros((2, 61, 47, 3), np.uint8)
    image[:, 10:50, 5:40] = rng.integers(50, 200, (2, 40, 35, 3))
    labels = np.zeros((61, 47, 3), np.uint8)
    labels[20:30, 20:28, 1] = 255
    recipe = make_recipe(
        {"name": "clahe"}, {"name": "crop_to_head", "multiple": 16}, {"name": "zscore"}, modalities=["t2f", "t1n"]
    )
    result = prepare(make_case(image, labels), recipe)
    assert result.image.shape == (2, 48, 48, 3)
    assert result.image.dtype == np.float32
    assert result.image.flags.c_contiguous
    assert result.modalities == ("t2f", "t1n")
    assert [record.step for record in result.records] == ["clahe", "crop_to_head", "zscore"]
    head = np.zeros((61, 47, 3), bool)
    head[10:50, 5:40] = True
    assert np.array_equal(restore(result.head, result.records), head)  # found before clahe lifted the background
    assert result.image[0][result.head].mean() == pytest.approx(0, abs=1e-3)
    assert np.array_equal(restore(result.labels, result.records), labels // 255)


def test_labels_are_checked_by_the_scheme(make_case, make_recipe):
    image, labels = np.ones((4, 4, 1), np.uint8), np.zeros((4, 4, 1), np.uint8)
    labels[0, 0, 0], labels[1, 1, 0] = 1, 4
    with pytest.raises(InputError, match="case: unknown label 4"):
        prepare(make_case(image, labels), make_recipe())
    assert prepare(make_case(image, labels), make_recipe(labels="brats-gli-2021")).labels[1, 1, 0] == 4


def test_values_that_are_not_finite_are_refused(make_case, make_recipe):
    image = np.ones((4, 4, 1), np.float32)
    image[2, 2, 0] = np.inf
    with pytest.raises(InputError, match="case: 1 values are not finite") as caught:
        prepare(make_case(image), make_recipe())
    assert caught.value.code == "input.not_finite"


def test_a_steps_refusal_names_the_case(make_case, make_recipe):
    with pytest.raises(InputError, match=r"^case: clahe needs whole numbers"):
        prepare(make_case(np.full((4, 4, 1), 0.5, np.float32)), make_recipe({"name": "clahe"}))


def test_the_case_is_not_changed(make_case, make_recipe):
    image = np.random.default_rng(0).integers(0, 255, (12, 10, 2), dtype=np.uint8)
    before = image.copy()
    prepare(make_case(image, (image > 250).astype(np.uint8)), make_recipe({"name": "clahe"}, {"name": "zscore"}))
    assert np.array_equal(image, before)

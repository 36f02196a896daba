"""What every preprocessing step has to do, whatever it does: a new line in the table is tested by itself."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from metseg.preprocess import STEPS, check_steps
from metseg.preprocess.pipeline import restore, run_steps
from metseg.preprocess.prepared_case import Prepared, Record
from metseg.recipe import Named

#: Options without which a step cannot run; a step that needs some and has no line here fails below.
NEEDED: dict[str, dict[str, Any]] = {
    "select_channels": {"modalities": ["t2f"]},
    "resize": {"size": [24, 16]},
    "pad_or_crop": {"size": [24, 16]},
}
#: Steps for cases are tested by themselves (tests/preprocess/test_align.py); these work on stacked images.
ARRAY_STEPS = [name for name, spec in STEPS.items() if spec.kind != "case"]
#: Whatever their options, what they make of a slice depends on the others, or on where all of them lie.
WHOLE_CASE = {"crop_to_head", "brain_mask", "reorient", "resample", "n4"}
AFFINE = np.diag([1.0, 1, 5, 1])
SHAPES = {"odd": (2, 97, 131, 2), "one slice": (2, 33, 21, 1), "volume": (2, 20, 24, 9)}


def example(shape: tuple[int, ...], *, dtype: type = np.uint8) -> Prepared:
    image = np.zeros(shape, dtype)
    image[:, 4:-4, 3:-5] = np.random.default_rng(0).integers(40, 200, image[:, 4:-4, 3:-5].shape)
    labels = np.zeros(shape[1:], np.uint8)
    labels[6:14, 5:13] = 1
    return Prepared(image, ("t1n", "t2f"), labels, affine=AFFINE, full_scale=255.0)


def run(name: str, prepared: Prepared) -> Prepared:
    steps = check_steps([Named(name=name, options=NEEDED.get(name, {}))])
    return run_steps(prepared, steps, where="case")


@pytest.mark.parametrize("name", ARRAY_STEPS)
@pytest.mark.parametrize("kind", SHAPES)
def test_a_step_leaves_a_whole_case(name, kind):
    before = example(SHAPES[kind])
    kept = before.image.copy()
    after = run(name, before)
    assert np.array_equal(before.image, kept), "a step does not change what it was given"
    assert after.image.ndim == 4
    assert after.image.dtype in (np.uint8, np.uint16, np.float32)
    assert np.isfinite(after.image).all()
    assert len(after.image) == len(after.modalities)
    assert after.labels.shape == after.grid
    assert after.labels.dtype == np.uint8
    assert after.head is None or after.head.shape == after.grid
    assert after.affine.shape == (4, 4)


@pytest.mark.parametrize("name", ARRAY_STEPS)
def test_a_step_leaves_one_record_that_survives_json(name):
    records = run(name, example(SHAPES["odd"])).records
    assert [record.step for record in records] == [name]
    assert Record.from_json(json.loads(json.dumps(records[0].to_json()))) == records[0]


@pytest.mark.parametrize("name", ARRAY_STEPS)
@pytest.mark.parametrize("kind", SHAPES)
def test_results_come_back_to_the_grid(name, kind):
    before = example(SHAPES[kind])
    after = run(name, before)
    records = [Record.from_json(json.loads(json.dumps(record.to_json()))) for record in after.records]
    back = restore(after.labels, records)
    assert back.shape == before.grid
    assert back.dtype == np.uint8
    probabilities = restore(np.ones((3, *after.grid), np.float32), records)
    assert probabilities.shape == (3, *before.grid)
    assert probabilities.dtype == np.float32
    assert (STEPS[name].invert is not None) == (STEPS[name].kind == "spatial")
    if STEPS[name].kind != "spatial":
        assert np.array_equal(back, before.labels)


@pytest.mark.parametrize("name", ARRAY_STEPS)
def test_constant_images_give_finite_values(name):
    constant = Prepared(np.full((2, 16, 16, 2), 9, np.uint8), ("t1n", "t2f"), affine=AFFINE, full_scale=255.0)
    assert np.isfinite(run(name, constant).image).all()


@pytest.mark.parametrize("extra", [{}, {"scope": "slice", "region": "all"}])
@pytest.mark.parametrize("name", ARRAY_STEPS)
def test_a_step_that_looks_at_one_slice_gives_the_same_for_the_slice_alone(name, extra):
    fields = STEPS[name].options.model_fields
    options = NEEDED.get(name, {}) | {key: value for key, value in extra.items() if key in fields}
    steps = check_steps([Named(name=name, options=options)])
    before = example(SHAPES["volume"])
    before.image[..., 3] //= 2  # slices differ, so that statistics of the case are not those of the slice
    together = run_steps(before, steps, where="case").image[..., 3:4]
    one = Prepared(before.image[..., 3:4], before.modalities, affine=AFFINE, full_scale=255.0)
    alone = run_steps(one, steps, where="case").image
    looks_further = name in ("zscore", "clip_percentiles") and not extra
    assert steps[0].whole_case == (looks_further or name in WHOLE_CASE)
    assert np.array_equal(together, alone) or steps[0].whole_case
    assert not (np.array_equal(together, alone) and looks_further)


@pytest.mark.parametrize("name", STEPS)
def test_unknown_options_are_refused(name):
    from metseg.errors import UsageError

    with pytest.raises(UsageError, match=f"options of '{name}'"):
        check_steps([Named(name=name, options={**NEEDED.get(name, {}), "nonsense": 1})])

"""rescale, zscore, clip_percentiles, select_channels: by hand, and what they do where there is nothing to measure."""

from __future__ import annotations

import statistics as by_the_library

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metseg.errors import InputError, UsageError
from metseg.preprocess.normalization_scope import Scope, interior
from metseg.preprocess.prepared_case import Prepared, stack_case
from metseg.preprocess.steps import clip_percentiles, rescale, select_channels, zscore
from metseg.recipe import validated


def of(values: list, shape: tuple[int, ...] | None = None, dtype: type = np.float32) -> Prepared:
    image = np.array(values, dtype=dtype).reshape(shape or (1, len(values), 1, 1))
    names = ("t1n", "t2f", "t1c")[: len(image)]
    return Prepared(image, names, full_scale=float(np.iinfo(dtype).max) if np.dtype(dtype).kind == "u" else None)


def test_zscore_by_hand():
    # mean 5, squared deviations 9 1 1 9, variance 5
    result = zscore.apply(of([2, 4, 6, 8]), zscore.Options(region="all")).image.ravel()
    assert result == pytest.approx(np.array([-3, -1, 1, 3]) / 5**0.5)


def test_zscore_per_slice_and_per_case():
    two = of([0, 10, 2, 30], (1, 2, 1, 2))  # slices (0, 2) and (10, 30)
    by_slice = zscore.apply(two, zscore.Options(region="all", scope="slice")).image
    assert by_slice[0, :, 0, 0].tolist() == [-1, 1]
    assert by_slice[0, :, 0, 1].tolist() == [-1, 1]
    by_case = zscore.apply(two, zscore.Options(region="all", scope="case")).image.ravel()
    mean, deviation = by_the_library.mean([0, 10, 2, 30]), by_the_library.pstdev([0, 10, 2, 30])
    assert by_case == pytest.approx([(value - mean) / deviation for value in (0, 10, 2, 30)], rel=1e-5)


def test_zscore_takes_each_channel_alone():
    result = zscore.apply(of([0, 2, 100, 300], (2, 2, 1, 1)), zscore.Options(region="all")).image
    assert result.ravel().tolist() == [-1, 1, -1, 1]


def with_head() -> Prepared:
    prepared = of([0, 0, 4, 8])
    head = np.array([False, False, True, True]).reshape(4, 1, 1)
    return Prepared(prepared.image, prepared.modalities, head=head)


def test_zscore_of_the_head_only():
    # mean 6, deviation 2, for the background too
    assert zscore.apply(with_head(), zscore.Options()).image.ravel().tolist() == [-3, -3, -1, 1]
    zeroed = zscore.apply(with_head(), zscore.Options(outside="zero")).image.ravel()
    assert zeroed.tolist() == [0, 0, -1, 1]


@pytest.mark.parametrize("scope", ["slice", "case"])
@pytest.mark.parametrize("region", ["head", "interior", "all"])
@pytest.mark.parametrize("step", [zscore, rescale])
def test_constant_image_becomes_zero_with_a_warning(scope, region, step):
    options = {"scope": scope, "region": region} | ({"by": "range"} if step is rescale else {})
    result = step.apply(of([7] * 12, (1, 2, 3, 2)), step.Options(**options))
    assert not result.image.any()
    assert len(result.warnings) == 1
    assert "set to zero" in result.warnings[0]


def test_one_empty_slice_among_others_is_counted():
    result = zscore.apply(of([0, 1, 0, 2], (1, 2, 1, 2)), zscore.Options(region="all", scope="slice"))
    assert result.image[0, :, 0, 0].tolist() == [0, 0]
    assert result.warnings[0].startswith("zscore: 1 slice(s)")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=30).filter(lambda v: len(set(v)) > 1))
def test_zscore_has_mean_0_and_deviation_1(values):
    result = zscore.apply(of(values), zscore.Options(region="all")).image.astype(np.float64)
    assert result.mean() == pytest.approx(0, abs=1e-4)
    assert result.std() == pytest.approx(1, abs=1e-4)


def test_zscore_of_large_values_keeps_its_digits():
    values = 30000 + np.arange(100_000) % 2
    result = zscore.apply(of(list(values)), zscore.Options(region="all")).image.ravel()
    assert result[:2].tolist() == pytest.approx([-1, 1], abs=1e-2)


def test_clip_percentiles_by_hand():
    # eleven values 0..10: the 10th percentile is 1, the 75th 7.5
    options = clip_percentiles.Options(lower=10, upper=75, region="all")
    result = clip_percentiles.apply(of(list(range(11)), dtype=np.uint8), options)
    assert result.image.ravel().tolist() == [1, 1, 2, 3, 4, 5, 6, 7, 7.5, 7.5, 7.5]
    assert result.full_scale == 255


def test_clip_percentiles_within_the_head_and_per_slice():
    options = clip_percentiles.Options(lower=0, upper=50)
    assert clip_percentiles.apply(with_head(), options).image.ravel().tolist() == [4, 4, 4, 6]
    two = of([0, 10, 2, 30], (1, 2, 1, 2))
    per_slice = clip_percentiles.Options(lower=50, upper=100, region="all", scope="slice")
    assert clip_percentiles.apply(two, per_slice).image.ravel().tolist() == [1, 20, 2, 30]


def test_percentiles_have_to_be_in_order():
    with pytest.raises(UsageError, match=r"lower \(60\.0\) must be below upper \(40\.0\)"):
        validated(clip_percentiles.Options, {"lower": 60, "upper": 40}, where="here")


@pytest.mark.parametrize(("dtype", "full"), [(np.uint8, 255), (np.uint16, 65535)])
def test_rescale_by_type(dtype, full):
    result = rescale.apply(of([0, 51, full], dtype=dtype), rescale.Options())
    assert result.image.ravel() == pytest.approx([0, 51 / full, 1])
    assert result.image.dtype == np.float32


def test_rescale_by_type_remembers_the_file_behind_a_resize(make_case, make_recipe):
    from metseg.preprocess.pipeline import prepare

    picture = make_case(np.full((4, 4, 1), 51, np.uint8))
    result = prepare(picture, make_recipe({"name": "resize", "size": [8, 8]}, {"name": "rescale"}))
    assert result.image == pytest.approx(np.full((1, 8, 8, 1), 0.2))


def test_rescale_by_type_says_that_12_bits_in_a_16_bit_file_become_dark():
    image = np.linspace(0, 4095, 4 * 4 * 2).astype(np.uint16).reshape(1, 4, 4, 2)
    found = rescale.apply(Prepared(image, ("t2f",), full_scale=65535), rescale.Options())
    assert "6.2% of what the file's data type can hold" in found.warnings[0]  # 4095 / 65535
    assert rescale.apply(Prepared(image * 16, ("t2f",), full_scale=65535), rescale.Options()).warnings == ()


def test_rescale_by_type_refuses_floats():
    with pytest.raises(InputError, match="rescale by type needs 8 or 16 bit images"):
        rescale.apply(of([0.1, 0.2]), rescale.Options())


def test_rescale_by_range():
    result = rescale.apply(of([-2, 0, 2]), rescale.Options(by="range"))
    assert result.image.ravel().tolist() == [0, 0.5, 1]
    headed = rescale.apply(with_head(), rescale.Options(by="range", region="head"))
    assert headed.image.ravel().tolist() == [0, 0, 0, 1]  # below the head's minimum: clipped


def test_select_channels(make_case):
    image = np.arange(3, dtype=np.uint8).reshape(3, 1, 1, 1)
    result = select_channels.apply(stack_case(make_case(image)), select_channels.Options(modalities=("t1ce", "t1")))
    assert result.image.ravel().tolist() == [2, 0]
    assert result.modalities == ("t1c", "t1n")
    with pytest.raises(InputError, match="select_channels: missing sequence t2w"):
        select_channels.apply(result, select_channels.Options(modalities=("t2",)))


def test_scope_says_what_it_needs():
    assert Scope(scope="slice", region="all").wants_case is False
    assert Scope(scope="slice", region="head").wants_case is True
    assert rescale.Options(by="type", region="head").wants_head is False


def scalp_and_brain(scalp: float, brain: np.ndarray) -> Prepared:
    """Return a head: a bright shell two voxels thick around the brain, air around both."""
    image = np.zeros((1, 34, 34, 1), np.float32)
    image[0, 2:32, 2:32] = scalp
    image[0, 4:30, 4:30, 0] = brain
    return Prepared(image, ("t2f",), head=image[0] > 0)


def test_scalp_does_not_change_what_the_brain_is_normalised_to():
    brain = np.random.default_rng(0).uniform(50, 60, (26, 26))
    inside = (0, slice(4, 30), slice(4, 30), 0)
    for options in ({"region": "interior"}, {"region": "interior", "scope": "slice"}):
        faint, bright = (
            zscore.apply(scalp_and_brain(scalp, brain), zscore.Options(**options)).image for scalp in (100, 900)
        )
        np.testing.assert_array_equal(faint[inside], bright[inside])
    # Within the head, it does: that is what the interior is for.
    faint, bright = (zscore.apply(scalp_and_brain(scalp, brain), zscore.Options()).image for scalp in (100, 900))
    assert abs(faint[inside].std() - bright[inside].std()) > 0.05


def test_interior_is_a_quarter_of_the_way_in():
    head = np.zeros((23, 23, 2), bool)
    head[1:22, 1:22, 0] = True  # 21 wide: the middle is 11 from the first voxel outside
    head[9:12, 9:12, 1] = True
    inside = interior(head, scope="case")
    assert inside[3:20, 3:20, 0].all()
    assert inside[..., 0].sum() == 17 * 17
    assert not inside[..., 1].any()
    assert interior(head, scope="slice")[10, 10, 1]


def test_a_head_that_is_all_shell_is_taken_whole():
    head = np.zeros((5, 5, 1), bool)
    assert not interior(head, scope="case").any()
    head[2, 2] = True
    np.testing.assert_array_equal(interior(head, scope="case"), head)

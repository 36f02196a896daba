"""Surface figures by hand, under symmetries, and against DeepMind's surface-distance package."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from metseg.errors import GeometryError
from metseg.evaluation.metrics import surface_distance
from metseg.evaluation.metrics.surface_distance import asd_mm, hd95_mm, surface_dice, surface_distances
from metseg.measure.surface_area import CORNERS, code_of, surface_areas_mm2

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import surface_distance as reference
    from surface_distance.lookup_tables import create_table_neighbour_code_to_surface_area

spacings = st.tuples(*[st.floats(0.2, 6.0)] * 3)
#: Sums of squares of these are exact, so that turning an image cannot change the order of ties.
exact_spacings = st.tuples(*[st.sampled_from([0.25, 0.5, 1.0, 3.0])] * 3)


def random_masks(seed: int, *, rough: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return two masks that are not empty: blobs, or noise with every one of the 256 neighbourhoods."""
    generator = np.random.default_rng(seed)
    shape = generator.integers(2, 14, 3)
    both = []
    for _ in range(2):
        field = generator.normal(size=shape)
        field = field if rough else ndimage.gaussian_filter(field, 1.5)
        both.append(field >= np.quantile(field, generator.choice([0.3, 0.8, 0.97])))
    return both[0], both[1]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spacing=spacings, rough=st.booleans())
@pytest.mark.filterwarnings("ignore")
def test_equals_the_reference_package(seed: int, spacing: tuple[float, float, float], rough: bool) -> None:
    truth, prediction = random_masks(seed, rough=rough)
    theirs = reference.compute_surface_distances(truth, prediction, spacing)
    ours = surface_distances(truth, prediction, spacing)
    assert hd95_mm(ours, 0.0) == pytest.approx(reference.compute_robust_hausdorff(theirs, 95), abs=1e-6)
    assert asd_mm(ours, 0.0) == pytest.approx(np.mean(reference.compute_average_surface_distance(theirs)), abs=1e-6)
    for tolerance in (0.5, 1.0, 2.0):
        # With the allowance of `within`: a distance just above the tolerance is drawn now and then.
        expected = reference.compute_surface_dice_at_tolerance(theirs, tolerance * (1 + 1e-6))
        assert surface_dice(ours, tolerance) == pytest.approx(expected, abs=1e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 0.5, 0.5), (1.0, 1.0, 2.0), (0.1, 0.5, 0.2)])
def test_equals_the_reference_where_distances_meet_the_tolerance_exactly(spacing: tuple[float, float, float]) -> None:
    truth = np.zeros((12, 12, 12), dtype=bool)
    truth[3:8, 3:8, 3:8] = True
    for axis, step in itertools.product(range(3), (1, 2)):
        prediction = np.roll(truth, step, axis=axis)
        theirs = reference.compute_surface_distances(truth, prediction, spacing)
        ours = surface_distances(truth, prediction, spacing)
        for tolerance in (0.5, 1.0, 2.0):
            assert surface_dice(ours, tolerance) == reference.compute_surface_dice_at_tolerance(theirs, tolerance)


@settings(max_examples=30, deadline=None)
@given(spacing=spacings)
def test_area_of_every_neighbourhood_equals_the_reference_table(spacing: tuple[float, float, float]) -> None:
    expected = create_table_neighbour_code_to_surface_area(spacing)
    assert np.allclose(surface_areas_mm2(spacing), expected, rtol=1e-12, atol=0)


def test_areas_by_hand() -> None:
    areas = surface_areas_mm2((1.0, 1.0, 1.0))
    corner = {(0, 0, 0)}
    edge = corner | {(0, 0, 1)}
    face = {corner for corner in CORNERS if corner[0] == 0}
    tripod = corner | {(1, 0, 0), (0, 1, 0), (0, 0, 1)}
    diagonal = corner | {(1, 1, 1)}
    assert areas[code_of(corner)] == pytest.approx(np.sqrt(3) / 8)  # triangle with sides √½
    assert areas[code_of(edge)] == pytest.approx(np.sqrt(0.5))  # rectangle 1 × √½
    assert areas[code_of(face)] == pytest.approx(1.0)
    assert areas[code_of(tripod)] == pytest.approx(3 * np.sqrt(3) / 4)  # hexagon with sides √½
    assert areas[code_of(diagonal)] == pytest.approx(2 * areas[code_of(corner)])
    assert areas[0] == areas[255] == 0


def test_the_surface_of_a_box_is_nearly_its_area() -> None:
    mask = np.zeros((30, 30, 30), dtype=bool)
    mask[5:25, 5:20, 5:15] = True
    area = surface_distance.surface_of(mask, (0.5, 1.0, 2.0)).areas_mm2.sum()
    exact = 2 * (10 * 15 + 10 * 20 + 15 * 20)
    assert exact * 0.9 < area < exact  # edges and corners are cut


def test_two_voxels_apart_by_hand() -> None:
    """Each voxel has 8 corners of equal weight: 4 lie 2 steps from the other voxel, 4 lie 3 steps from it."""
    truth, prediction = np.zeros((2, 8, 3, 3), dtype=bool)
    truth[1, 1, 1] = prediction[4, 1, 1] = True
    found = surface_distances(truth, prediction, (0.5, 7.0, 7.0))
    assert hd95_mm(found, 0.0) == 1.5
    assert asd_mm(found, 0.0) == pytest.approx(1.25)
    assert surface_dice(found, 0.99) == 0
    assert surface_dice(found, 1.0) == pytest.approx(0.5)
    assert surface_dice(found, 1.5) == pytest.approx(1.0)


def test_the_percentile_forgives_a_small_part_of_the_area() -> None:
    truth = np.zeros((40, 12, 12), dtype=bool)
    truth[2:10, 2:10, 2:10] = True
    stray = truth.copy()
    stray[35, 5, 5] = True  # 8 corners of √3/8 mm² against several hundred mm²
    assert hd95_mm(surface_distances(truth, stray, (1.0, 1.0, 1.0)), 0.0) == 0.0
    assert asd_mm(surface_distances(truth, stray, (1.0, 1.0, 1.0)), 0.0) > 0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), spacing=exact_spacings, data=st.data())
def test_symmetry_and_invariance_to_axes_and_flips(
    seed: int, spacing: tuple[float, float, float], data: st.DataObject
) -> None:
    truth, prediction = random_masks(seed, rough=False)
    axes = data.draw(st.permutations(range(3)))
    flips = tuple(data.draw(st.sets(st.integers(0, 2))))
    plain = surface_distances(truth, prediction, spacing)
    turned = surface_distances(
        *(np.flip(mask, flips).transpose(axes) for mask in (truth, prediction)), tuple(spacing[axis] for axis in axes)
    )
    swapped = surface_distances(prediction, truth, spacing)
    for other in (turned, swapped):
        assert hd95_mm(other, 0.0) == pytest.approx(hd95_mm(plain, 0.0), abs=1e-9)
        assert asd_mm(other, 0.0) == pytest.approx(asd_mm(plain, 0.0), abs=1e-9)
        assert surface_dice(other, 1.0) == pytest.approx(surface_dice(plain, 1.0), abs=1e-9)


def test_empty_masks_follow_the_policy() -> None:
    empty, full = np.zeros((4, 4, 4), dtype=bool), np.zeros((4, 4, 4), dtype=bool)
    full[1, 1, 1] = True
    unit = (1.0, 1.0, 1.0)
    for truth, prediction, distance, share in ((empty, empty, 0, 1), (empty, full, 99, 0), (full, empty, 99, 0)):
        found = surface_distances(truth, prediction, unit)
        assert (hd95_mm(found, 99.0), asd_mm(found, 99.0), surface_dice(found, 1.0)) == (distance, distance, share)


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (1.0, 0.0, 1.0), (1.0, np.nan, 1.0), (1.0, -1.0, 1.0)])
def test_wrong_spacings(spacing: tuple[float, ...]) -> None:
    with pytest.raises(GeometryError, match="voxel size"):
        surface_distances(np.ones((2, 2, 2)), np.ones((2, 2, 2)), spacing)  # type: ignore[arg-type]

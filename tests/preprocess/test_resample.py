"""Resampling to a spacing, against scipy's interpolators and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.interpolate import RegularGridInterpolator

from metseg.errors import GeometryError, UsageError
from metseg.geometry import Grid, centred_steps
from metseg.preprocess import check_steps
from metseg.preprocess.interpolation import along_axes, axis_weights, covered, labels_onto_grid, onto_grid
from metseg.preprocess.pipeline import resamples, restore
from metseg.preprocess.prepared_case import Prepared
from metseg.preprocess.steps import resample
from metseg.recipe import Named
from metseg.volume import Volume

from . import phantom

AFFINE = phantom.rotation(9, 4, -12, (5, 6, 7)) @ np.diag([0.9, 1.2, 5.5, 1.0])


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(100, 20, shape).astype(np.float32)


def prepared(image: np.ndarray, labels: np.ndarray | None = None) -> Prepared:
    return Prepared(image, ("t1n", "t2f")[: len(image)], labels, affine=AFFINE)


def coordinates(before: np.ndarray, after: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """(X, Y, Z, 3): where the new voxels lie among the old, held at the edges."""
    index = np.moveaxis(np.indices(shape), 0, -1)
    old = (index @ after[:3, :3].T + after[:3, 3] - before[:3, 3]) @ np.linalg.inv(before[:3, :3]).T
    return np.round(old, 9)


def test_linear_is_scipys_where_the_grid_becomes_finer():
    image = noise(2, 9, 8, 6)
    result = resample.apply(prepared(image), resample.Options(spacing_mm=(0.7, 1.0, 1.5)))
    assert np.allclose(np.linalg.norm(result.affine[:3, :3], axis=0), [0.7, 1.0, 1.5])
    places = np.clip(coordinates(AFFINE, result.affine, result.grid), 0, np.array(image.shape[1:]) - 1)
    for channel, found in zip(image, result.image, strict=True):
        wanted = RegularGridInterpolator([np.arange(n) for n in channel.shape], channel)(places)
        assert found == pytest.approx(wanted, abs=1e-3)


def test_bspline_is_scipys_where_the_grid_becomes_finer():
    image = noise(1, 9, 8, 7)
    result = resample.apply(prepared(image), resample.Options(spacing_mm=(0.5, 0.9, 2), method="bspline"))
    places = np.moveaxis(coordinates(AFFINE, result.affine, result.grid), -1, 0)
    wanted = ndimage.map_coordinates(image[0].astype(np.float64), places, order=3, mode="nearest")
    assert result.image[0] == pytest.approx(wanted, abs=1e-2)


def test_coarser_voxels_average_what_they_cover():
    """A spike of 8 between straight lines has 1/8 of its area beyond half a voxel on each side.

    The first new voxel lacks the 1/8 of a voxel that would lie before the image, and is made whole again.
    """
    values = np.array([0, 0, 8, 0, 0, 0.0])
    wanted = [8 * (1 / 8) / (15 / 8), 8 * (7 / 8) / 2, 0]
    assert axis_weights(6, 3, step=2.0, start=0.5) @ values == pytest.approx(wanted)
    mean = np.interp(np.linspace(1.5, 3.5, 100_001), np.arange(6), values).mean()
    assert mean == pytest.approx(wanted[1], abs=1e-3)
    assert np.array_equal(
        axis_weights(6, 3, step=2.0, start=0.5, method="bspline"), axis_weights(6, 3, step=2.0, start=0.5)
    )


@settings(max_examples=60, deadline=None)
@given(size=st.integers(1, 40), step=st.floats(0.2, 6), method=st.sampled_from(["linear", "bspline"]))
def test_constants_stay_and_straight_lines_stay_straight(size, step, method):
    count, start = centred_steps(size, step)
    weights = axis_weights(size, count, step=step, start=start, method=method)
    assert weights.shape == (count, size)
    assert weights.sum(axis=1) == pytest.approx(np.ones(count), abs=1e-5)
    places = start + step * np.arange(count)
    margin = 12 if method == "bspline" else 0  # the spline feels the end of the line that far
    reach = (step / 2 if step > 1 else 0) + margin
    middle = (places >= reach) & (places <= size - 1 - reach)
    assert (weights @ np.arange(size))[middle] == pytest.approx(places[middle], abs=1e-3)


def test_along_axes_is_a_product_on_each_axis():
    array = noise(3, 4, 5)
    matrices = [noise(2, 3), None, noise(6, 5)]
    assert along_axes(array, matrices) == pytest.approx(np.einsum("xyz,ax,bz->ayb", array, *matrices[::2]), rel=1e-4)


def test_labels_are_shared_out_class_by_class():
    labels = np.zeros((12, 12, 6), np.uint8)
    labels[3:9, 2:8, 1:5], labels[5:8, 4:6, 2:4] = 2, 7
    result = resample.apply(prepared(noise(1, 12, 12, 6), labels), resample.Options(spacing_mm=(0.6, 0.8, 2)))
    places = np.clip(coordinates(AFFINE, result.affine, result.grid), 0, np.array(labels.shape) - 1)
    axes = [np.arange(n) for n in labels.shape]
    shares = np.stack([RegularGridInterpolator(axes, (labels == v).astype(float))(places) for v in (0, 2, 7)])
    clear = np.sort(shares, axis=0)[-1] - np.sort(shares, axis=0)[-2] > 1e-5
    assert np.array_equal(result.labels[clear], np.array([0, 2, 7])[shares.argmax(axis=0)][clear])
    assert set(np.unique(result.labels)) == {0, 2, 7}, "no class between two others"


def test_axes_that_stay_are_not_touched():
    image, labels = noise(1, 7, 6, 5), np.random.default_rng(0).integers(0, 3, (7, 6, 5)).astype(np.uint8)
    kept = resample.apply(prepared(image, labels), resample.Options(spacing_mm=("keep", 1.2, 5.5004)))
    assert np.array_equal(kept.image, image)
    assert np.array_equal(kept.labels, labels)
    assert not resamples(kept.records)
    assert restore(labels, kept.records) is labels
    assert np.array_equal(kept.affine, AFFINE)
    nulls = resample.Options.model_validate({"spacing_mm": [None, None, 1.0]})
    assert nulls == resample.Options(spacing_mm=("keep", "keep", 1.0))
    in_plane = resample.apply(prepared(image), nulls)
    assert in_plane.grid[:2] == (7, 6)
    assert np.array_equal(in_plane.image[:, :, :, 0].shape, (1, 7, 6))


def test_a_ball_comes_back():
    where = phantom.grid((40, 42, 30), (2.0, 2.0, 3.0))
    ball = phantom.lesion(where).astype(np.uint8) * 4
    before = Prepared(ball[None].astype(np.float32), ("t1n",), ball, affine=where.affine)
    result = resample.apply(before, resample.Options(spacing_mm=(1.0, 2.5, 1.0)))
    back = restore(result.labels, result.records)
    assert back.shape == ball.shape
    assert back.dtype == np.uint8
    assert set(np.unique(back)) == {0, 4}
    assert 2 * ((back > 0) & (ball > 0)).sum() / ((back > 0).sum() + (ball > 0).sum()) > 0.95
    chances = restore((result.labels == 4).astype(np.float16)[None], result.records)
    assert chances.dtype == np.float16
    assert 2 * ((chances[0] > 0.5) & (ball > 0)).sum() / ((chances[0] > 0.5).sum() + (ball > 0).sum()) > 0.95


def test_a_lost_lesion_and_a_missing_affine():
    labels = np.zeros((12, 12, 4), np.uint8)
    labels[5, 5, 2] = 1
    result = resample.apply(prepared(noise(1, 12, 12, 4), labels), resample.Options(spacing_mm=(4, 4, "keep")))
    assert result.warnings == ("resample: label 1 was lost: it is smaller than the new voxels",)
    with pytest.raises(GeometryError, match="resample needs the voxel size"):
        resample.apply(Prepared(noise(1, 3, 3, 1), ("t1n",)), resample.Options())
    with pytest.raises(UsageError, match=r"options of 'resample': 'preprocess\.0\.spacing_mm\.0'"):
        check_steps([Named(name="resample", options={"spacing_mm": [0, 1, 1]})])


def test_onto_another_grid_every_point_is_what_it_was():
    """The phantom is known at every point, so the result is compared with the truth and not with an interpolator."""
    fine = phantom.grid((70, 90, 64), (2.0, 2.0, 2.0), phantom.rotation(8, 0, 5, (2, 1, 0)))
    coarse = phantom.grid((50, 60, 40), (2.5, 2.5, 3.0), phantom.rotation(0, -6, 0))
    source, truth = phantom.sequence(fine, "t1c"), phantom.sequence(coarse, "t1c").data
    smooth = phantom.inside(coarse, 0.85) & (
        np.linalg.norm(phantom.points_mm(coarse) - phantom.LESION_MM, axis=-1) > 20
    )
    found = onto_grid(source, coarse)
    assert np.abs(found - truth)[smooth].mean() < 4  # of 300, the averaging and the interpolation together
    labels = labels_onto_grid(Volume(phantom.lesion(fine).astype(np.uint8) * 3, fine.affine), coarse)
    wanted = phantom.lesion(coarse)
    assert set(np.unique(labels)) == {0, 3}
    assert 2 * ((labels == 3) & wanted).sum() / ((labels == 3).sum() + wanted.sum()) > 0.93


@pytest.mark.parametrize(("method", "order"), [("linear", 1), ("bspline", 3)])
def test_onto_a_finer_grid_is_scipys_interpolation(method, order):
    source = Volume(noise(12, 10, 8), AFFINE)
    target = Grid((9, 9, 9), AFFINE @ phantom.rotation(3, 2, 1, (2.3, 1.1, 0.4)) @ np.diag([0.7, 0.6, 0.5, 1]))
    places = np.moveaxis(coordinates(AFFINE, target.affine, target.shape), -1, 0)
    wanted = ndimage.map_coordinates(source.data.astype(np.float64), places, order=order, mode="nearest")
    assert onto_grid(source, target, method=method) == pytest.approx(wanted, abs=1e-2)


def test_thin_slices_become_thick_ones_by_averaging():
    thin, thick = phantom.grid((8, 8, 60), (1, 1, 1)), phantom.grid((8, 8, 12), (1, 1, 5))
    stripes = np.broadcast_to(np.where(np.arange(60) % 2, 100.0, 0.0), (8, 8, 60))
    found = onto_grid(Volume(stripes, thin.affine), thick)
    assert found[:, :, 2:-2] == pytest.approx(np.full((8, 8, 8), 50), abs=1)
    # Thick slices seen from a tilted grid of thick slices are not blurred within the slice.
    tilted = phantom.grid((8, 8, 12), (1, 1, 5), phantom.rotation(17))
    board = np.zeros((8, 8, 12))
    board[4, 4, 6] = 1
    same = onto_grid(Volume(board, tilted.affine), Grid(tilted.shape, tilted.affine @ phantom.rotation(0.0)))
    assert same == pytest.approx(board, abs=1e-6)


def test_outside_is_what_was_asked_for():
    source, target = Grid((4, 4, 4), np.eye(4)), Grid((6, 4, 4), np.eye(4))
    found = onto_grid(Volume(np.full((4, 4, 4), 7.0), source.affine), target, fill=-3)
    assert found[:, 0, 0].tolist() == [7, 7, 7, 7, -3, -3]
    assert covered((4, 4, 4), np.eye(4), (6, 4, 4))[:, 0, 0].tolist() == [True] * 4 + [False] * 2
    ones = labels_onto_grid(Volume(np.ones((4, 4, 4), np.uint8), source.affine), target)
    assert ones[:, 0, 0].tolist() == [1, 1, 1, 1, 0, 0]

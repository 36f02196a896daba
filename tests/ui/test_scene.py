"""Volumes: the axes, what is left and right on the screen, which lesion lies under a click."""

from __future__ import annotations

import gzip
from dataclasses import replace

import nibabel
import numpy as np
import pytest

from metseg.client.service_errors import Unexpected
from metseg.ui.viewer.nifti_bytes import Image, moved, read_nifti, write_nifti
from metseg.ui.viewer.scene import (
    PLANES,
    Scene,
    cut,
    mask_on_grid,
    pixel_spacing,
    same_grid,
    stored_threshold,
    tissue_percentiles,
    window_of,
)

from .fake import AFFINE, BOXES, SHAPE, nifti, volume_arrays, volume_files, volume_lesions


@pytest.fixture
def scene() -> Scene:
    files = volume_files()
    names = ("image.nii.gz", "mask.nii.gz", "probability.nii.gz", "lesions.nii.gz")
    image, mask, chance, lesions = (read_nifti(files[name]) for name in names)
    return Scene(image, mask.data, chance.data, volume_lesions(), lesions.data)


def test_images_are_turned_to_ras() -> None:
    image, _, _ = volume_arrays()
    read = read_nifti(nifti(image))
    # x ran to the left, so it is turned round; y and z ran as they should.
    np.testing.assert_array_equal(read.data, image[::-1])
    assert (np.diag(read.affine)[:3] > 0).all()
    for point in ((0, 0, 0), (5, 6, 7), (19, 23, 15)):
        there = moved(read.from_file, point)
        np.testing.assert_allclose(moved(read.affine, there), (AFFINE @ [*point, 1])[:3])


def test_permuted_axes_keep_their_place() -> None:
    """An image with its slices along the first axis, as a sagittal scan has them."""
    rng = np.random.default_rng(1)
    data = rng.integers(0, 100, (5, 6, 7)).astype(np.int16)
    affine = np.array([[0.0, 0, 3, -9], [-2, 0, 0, 8], [0, 1, 0, 4], [0, 0, 0, 1]])
    read = read_nifti(nifti(data, affine))
    assert read.data.shape == (7, 5, 6)
    for point in ((0, 0, 0), (4, 5, 6), (1, 3, 2)):
        x, y, z = np.rint(moved(read.from_file, point)).astype(int)
        assert read.data[x, y, z] == data[point]


def test_a_file_without_a_place_keeps_its_axes() -> None:
    data = np.arange(24, dtype=np.int16).reshape(4, 3, 2)
    read = read_nifti(nifti(data, None))
    np.testing.assert_array_equal(read.data, data)
    np.testing.assert_array_equal(read.affine, np.eye(4))


def test_values_are_as_stored_with_their_slope() -> None:
    read = read_nifti(nifti(np.full((2, 2, 2), 7, dtype=np.int16), slope=0.5))
    assert read.data.max() == 7
    assert read.slope == 0.5


@pytest.mark.parametrize("content", [b"", b"\x1f\x8bnonsense", b"nonsense" * 100, gzip.compress(b"short", mtime=0)])
def test_what_is_no_nifti_is_said_to_be_none(content: bytes) -> None:
    with pytest.raises(Unexpected):
        read_nifti(content)


def test_what_is_written_is_read_by_nibabel() -> None:
    data = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    content = write_nifti(data, np.diag([2.0, 3.0, 4.0, 1.0]))
    read = nibabel.Nifti1Image.from_bytes(gzip.decompress(content))
    np.testing.assert_allclose(np.asarray(read.dataobj), data)
    np.testing.assert_allclose(read.affine, np.diag([2.0, 3.0, 4.0, 1.0]))


def test_the_patients_right_is_on_the_left_and_the_front_above() -> None:
    """One voxel far to the right, in front and above, seen in each plane."""
    data = np.zeros((10, 12, 14), dtype=np.uint8)
    data[9, 11, 13] = 1  # RAS+: the last ones are right, anterior, superior
    corners = {name: np.argwhere(cut(data, plane, data.shape[plane.axis] - 1)) for name, plane in PLANES.items()}
    assert {name: found.tolist() for name, found in corners.items()} == {name: [[0, 0]] for name in PLANES}
    assert [plane.marks[0] for plane in PLANES.values()] == ["R", "R", "A"]
    assert [plane.marks[2] for plane in PLANES.values()] == ["A", "S", "S"]


def test_pixels_have_the_size_of_the_voxels() -> None:
    spacing = (1.0, 2.0, 3.0)
    assert pixel_spacing(spacing, PLANES["axial"]) == (2.0, 1.0)
    assert pixel_spacing(spacing, PLANES["coronal"]) == (3.0, 1.0)
    assert pixel_spacing(spacing, PLANES["sagittal"]) == (3.0, 2.0)


def test_lesions_are_found_where_they_are(scene: Scene) -> None:
    width = SHAPE[0]
    assert scene.lesion_at((width - 1 - 5, 6, 6)) == 1
    assert scene.lesion_at((width - 1 - 14, 18, 2)) == 2
    assert scene.lesion_at((width - 1 - 2, 3, 4)) is None  # the rim, below the threshold
    assert np.count_nonzero(scene.instances == 1) == 100
    assert np.count_nonzero(scene.instances == 2) == 8


def test_middles_of_lesions_are_told_in_the_turned_image(scene: Scene) -> None:
    assert scene.places[1] == pytest.approx((14.0, 6.0, 6.5))
    assert scene.places[2] == pytest.approx((4.5, 18.5, 2.5))


def test_a_lesion_is_shown_at_its_typical_voxel(scene: Scene) -> None:
    """The image is turned from left to right."""
    lesion = scene.lesions[0].model_copy(update={"typical_voxel": (3, 4, 5)})
    assert replace(scene, lesions=(lesion,)).places[1] == pytest.approx((SHAPE[0] - 1 - 3, 4, 5))


def test_sizes(scene: Scene) -> None:
    assert scene.spacing_mm == pytest.approx((2, 2, 3))
    assert scene.voxel_ml == pytest.approx(0.012)
    assert scene.middle() == (10, 12, 8)


def test_masks_by_threshold(scene: Scene) -> None:
    assert np.count_nonzero(scene.mask(None)) == 108
    assert np.count_nonzero(scene.mask(0.8)) == 100
    assert np.count_nonzero(scene.mask(0.2)) == 7 * 7 * 6 + 8
    np.testing.assert_array_equal(scene.mask(None)[::-1], volume_arrays()[1] > 0)
    assert BOXES[0] != BOXES[1]


def test_a_threshold_of_one_and_of_nothing() -> None:
    assert stored_threshold(0.0) == 1  # what has no probability at all is never lesion
    assert stored_threshold(1.0) == 65535


def test_grids_are_compared(scene: Scene) -> None:
    assert same_grid(scene, scene)
    files = volume_files()
    shifted = AFFINE.copy()
    shifted[0, 3] += 1
    other = read_nifti(nifti(volume_arrays()[0], shifted))
    mask, chance = read_nifti(files["mask.nii.gz"]), read_nifti(files["probability.nii.gz"])
    assert not same_grid(scene, Scene(other, mask.data, chance.data, (), mask.data))


def test_the_window_leaves_background_and_outliers_aside() -> None:
    data = np.zeros((20, 20, 20))
    data[5:15, 5:15, 5:15] = np.linspace(100, 200, 1000).reshape(10, 10, 10)
    data[7, 7, 7] = 1e6
    low, high = window_of(data)
    assert 100 <= low <= 102
    assert 198 <= high <= 201


@pytest.mark.parametrize("value", [0.0, 5.0, np.nan])
def test_a_window_of_a_constant_image_has_a_width(value: float) -> None:
    low, high = window_of(np.full((4, 4, 4), value))
    assert high > low


def test_percentiles_of_the_brain_leave_the_skull_aside() -> None:
    data = np.full((10, 10, 10), 900.0)
    brain = np.zeros(data.shape, dtype=bool)
    brain[3:7, 3:7, 3:7] = True
    data[brain] = np.linspace(100, 200, brain.sum())
    low, high = tissue_percentiles(data, (0, 100), brain)
    assert 100 <= low <= 102
    assert high == 200
    assert tissue_percentiles(data, (100,), np.zeros_like(brain)) == (900.0,)  # an empty mask says nothing


def test_a_mask_on_another_grid_is_brought_to_the_image(scene: Scene) -> None:
    """Voxels of half the size in z, shifted by one slice of the image; it covers slices 1 to 4."""
    affine = scene.image.affine.copy()
    affine[:, 2] /= 2
    affine[:3, 3] = moved(scene.image.affine, (0, 0, 1 - 0.25))
    data = np.ones((*SHAPE[:2], 8), dtype=np.uint8)
    found = mask_on_grid(Image(data, affine, 1.0, 0.0, np.eye(4)), scene.image)
    assert found.shape == SHAPE
    assert np.flatnonzero(found.any(axis=(0, 1))).tolist() == [1, 2, 3, 4]
    assert found[:, :, 1:5].all()
    same = mask_on_grid(Image(scene.labels, scene.image.affine, 1.0, 0.0, np.eye(4)), scene.image)
    np.testing.assert_array_equal(same, scene.labels > 0)

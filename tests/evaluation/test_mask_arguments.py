"""Masks as arrays, nibabel images and files give the same scores; what contradicts itself is refused."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from metseg.errors import GeometryError, InputError, UsageError
from metseg.evaluation import evaluate_case

SPACING = (1.0, 1.0, 3.0)
AFFINE = np.diag([*SPACING, 1.0])


@pytest.fixture
def truth() -> np.ndarray:
    mask = np.zeros((10, 9, 6), np.uint8)
    mask[2:6, 2:6, 1:4] = 1
    return mask


def figures(*masks: object, **options: object) -> tuple[float | None, ...]:
    scores = evaluate_case(*masks, **options)["lesion"]  # type: ignore[arg-type]
    return scores["dice"], scores["hd95_mm"], scores["truth_volume_mm3"]


def test_every_kind_of_mask_gives_the_same_scores(truth: np.ndarray, tmp_path: Path) -> None:
    guess = np.roll(truth, 1, axis=2)
    expected = figures(truth, guess, SPACING)
    assert expected == figures(truth, guess, spacing_mm=SPACING) == figures(truth, guess, affine=AFFINE)
    assert expected[1] == 3.0
    images = [nibabel.Nifti1Image(mask, AFFINE) for mask in (truth, guess)]
    paths = [tmp_path / "truth.nii.gz", tmp_path / "guess.nii"]
    for image, path in zip(images, paths, strict=True):
        nibabel.save(image, path)
    for masks in (images, paths, map(str, paths), (images[0], paths[1]), (truth, images[1]), (paths[0], guess)):
        assert figures(*masks) == pytest.approx(expected)


def test_an_image_with_reversed_axes_is_turned_onto_the_truth(truth: np.ndarray) -> None:
    guess = np.roll(truth, 1, axis=2)
    turned = AFFINE @ np.array([[-1.0, 0, 0, 9], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    images = nibabel.Nifti1Image(truth, AFFINE), nibabel.Nifti1Image(guess[::-1], turned)
    assert figures(*images) == pytest.approx(figures(truth, guess, SPACING))


def test_pictures_are_scored_too(truth: np.ndarray, tmp_path: Path) -> None:
    plane = truth[:, :, 2]
    path = tmp_path / "truth.png"
    Image.fromarray(plane.T * np.uint8(255)).save(path)
    assert figures(path, plane) == (1.0, None, None)
    assert figures(path, plane, SPACING) == pytest.approx((1.0, 0.0, 48.0))


def test_what_contradicts_itself_is_refused(truth: np.ndarray, tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(truth, AFFINE)
    with pytest.raises(UsageError, match="spacing_mm: the images already have a voxel size"):
        evaluate_case(image, truth, SPACING)
    with pytest.raises(UsageError, match="affine: the images already have"):
        evaluate_case(truth, image, affine=AFFINE)
    with pytest.raises(UsageError, match="affine: both a spacing and an affine"):
        evaluate_case(truth, truth, SPACING, affine=AFFINE)
    moved = nibabel.Nifti1Image(truth, AFFINE + np.eye(4, k=3) * 5)
    with pytest.raises(GeometryError, match="differ in position or orientation"):
        evaluate_case(image, moved)
    with pytest.raises(GeometryError, match="differ in shape"):
        evaluate_case(image, truth[:-1])
    with pytest.raises(InputError, match="no such file"):
        evaluate_case(tmp_path / "none.nii.gz", truth)
    with pytest.raises(InputError, match="7"):
        evaluate_case(truth, truth * 7)

"""Key images: the right lesion on the right side, with letters and a scale that is true."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from metseg.class_styles import class_styles
from metseg.errors import InputError
from metseg.lesion import Lesion
from metseg.picture_style import BRAIN_COLOUR, ORANGE, SKY_BLUE, VERMILION, bar_length
from metseg.reporting.study.image_panels import LINE_INCHES, PANEL_INCHES, Panel, Strip, draw_row
from metseg.reporting.study.key_images import Shown, VolumePixels, outlines
from metseg.reporting.study.key_images import volume_key_images as key_images_of_volume
from metseg.reporting.study.key_slices import PicturePixels
from metseg.reporting.study.key_slices import picture_key_images as key_images_of_pictures
from metseg.reporting.study.study_report import KeyImage

SHOWN = Shown("P01", class_styles("binary"))


def volume_key_images(pixels: VolumePixels, lesions: Sequence[Lesion], *, most: int) -> tuple[KeyImage, ...]:
    return key_images_of_volume(pixels, lesions, SHOWN, most=most)


def picture_key_images(
    pictures: dict[int, PicturePixels], lesions: Sequence[Lesion], *, names: Sequence[str] = (), most: int
) -> tuple[KeyImage, ...]:
    return key_images_of_pictures(pictures, lesions, SHOWN, names=names, most=most)


def decoded(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def orange_in(pixels: np.ndarray) -> np.ndarray:
    """Return (N, 2): rows and columns of what has the colour of the outline, or nearly."""
    return np.argwhere(np.abs(pixels - np.array(ORANGE)).max(axis=-1) < 40)


def lesion(number: int, voxels: int, centre: tuple[float, float, float], picture: int | None = None) -> Lesion:
    return Lesion(
        id=number,
        label="lesion",
        voxels=voxels,
        volume_ml=1.0,
        longest_diameter_mm=20.0,
        centre_mm=(0, 0, 0),
        centre_voxel=centre,
        confidence=0.9,
        slice_index=None if picture is None else picture - 1,
    )


LARGE, SMALL = lesion(1, 36, (9.5, 21.0, 17.0)), lesion(2, 1, (28.0, 30.0, 20.0))


def panels_of(png: bytes, count: int = 4) -> list[np.ndarray]:
    """Return the panels, without the strip below them."""
    pixels = decoded(png)
    width = pixels.shape[1] / count
    return [pixels[: round(width), round(place * width) : round((place + 1) * width)] for place in range(count)]


def test_a_lesion_on_the_right_is_drawn_on_the_left(study: Any) -> None:
    """10 voxels of 4 mm right of the middle; the head is 46 x 4 mm deep, which the panel shows."""
    pixels = VolumePixels(study.labels, study.affine, study.image, "t1c")
    first, second = volume_key_images(pixels, [LARGE, SMALL], most=6)
    axial, coronal, sagittal, magnified = panels_of(first.png)
    middle = axial.shape[1] / 2
    for panel in (axial, coronal):
        assert orange_in(panel)[:, 1].mean() < middle - 20
    # 2.5 voxels behind the middle of the head, by which sagittal planes are drawn to the right, and axial ones lower.
    assert orange_in(sagittal)[:, 1].mean() > middle
    assert orange_in(axial)[:, 0].mean() > axial.shape[0] / 2
    assert orange_in(magnified)[:, 1].mean() == pytest.approx(middle, abs=20)  # half a voxel, 2 of 44 mm, is 17 pixels
    assert orange_in(panels_of(second.png)[0])[:, 1].mean() > middle + 20
    assert (first.title, second.title) == ("Lesion 1", "Lesion 2")


def test_where_the_planes_meet_is_told_in_both_coordinates(study: Any) -> None:
    """From left to right the centre lies between two voxels; the other two axes are exact."""
    (image,) = volume_key_images(VolumePixels(study.labels, study.affine, study.image, "t1c"), [LARGE], most=1)
    assert "Image: T1 with contrast." in image.caption
    assert "P 16, S 26 mm" in image.caption
    assert "21, 17." in image.caption
    assert "axial, coronal and sagittal plane" in image.alternative


def test_it_is_as_large_as_it_says_and_always_the_same(study: Any) -> None:
    pixels = VolumePixels(study.labels, study.affine, study.image)
    (image,) = volume_key_images(pixels, [LARGE], most=1)
    assert Image.open(io.BytesIO(image.png)).size == image.size
    assert image.size[0] / image.size[1] == pytest.approx(
        4 * PANEL_INCHES / (PANEL_INCHES + 2.3 * LINE_INCHES), abs=0.02
    )
    assert volume_key_images(pixels, [LARGE], most=1)[0].png == image.png


def test_without_the_image_outlines_are_drawn_on_black(study: Any) -> None:
    (image,) = volume_key_images(VolumePixels(study.labels, study.affine), [LARGE], most=1)
    assert len(orange_in(decoded(image.png))) > 50
    assert "Image:" not in image.caption


def test_a_brain_mask_is_outlined_in_green(study: Any) -> None:
    brain = np.zeros(study.labels.shape, dtype=bool)
    brain[8:-8, 8:-8, 8:-8] = True
    plain, outlined = (
        volume_key_images(VolumePixels(study.labels, study.affine, study.image, "t1c", mask), [LARGE], most=1)[0]
        for mask in (None, brain)
    )
    green = [np.abs(decoded(image.png) - np.array(BRAIN_COLOUR)).max(axis=-1) < 40 for image in (plain, outlined)]
    assert not green[0].any()
    assert green[1].sum() > 200
    assert "Green line: border of the brain mask." in outlined.caption
    assert "Green line" not in plain.caption


def test_how_many_are_shown_is_chosen(study: Any) -> None:
    pixels = VolumePixels(study.labels, study.affine, study.image)
    assert volume_key_images(pixels, [LARGE, SMALL], most=0) == ()
    assert len(volume_key_images(pixels, [LARGE, SMALL], most=1)) == 1


@pytest.mark.parametrize("other", [lesion(1, 35, (9.5, 21.0, 17.0)), lesion(1, 36, (9.6, 21.0, 17.0))], ids=str)
def test_a_mask_of_another_prediction_is_refused(study: Any, other: Lesion) -> None:
    with pytest.raises(InputError, match="not in the mask") as raised:
        volume_key_images(VolumePixels(study.labels, study.affine, study.image), [other], most=1)
    assert raised.value.code == "input.mask_mismatch"


def test_a_lesion_that_does_not_hold_its_centre_is_in_every_panel(study: Any) -> None:
    """Two arms of an L: their centre of mass lies in neither."""
    labels = np.zeros_like(study.labels)
    labels[10:20, 20, 17] = labels[19, 20:30, 17] = 1
    centre = tuple(np.argwhere(labels).mean(axis=0))
    assert labels[tuple(np.rint(centre).astype(int))] == 0
    (image,) = volume_key_images(
        VolumePixels(labels, study.affine, study.image), [lesion(1, int(labels.sum()), centre)], most=1
    )
    assert all(len(orange_in(panel)) > 0 for panel in panels_of(image.png))


@pytest.mark.parametrize(("field", "length"), [(200.0, 50), (100.0, 20), (60.0, 20), (40.0, 10), (6.0, 2)])
def test_the_scale_bar_is_true(field: float, length: int) -> None:
    """The only white line on black: as long, in pixels, as its millimetres are of what the panel shows."""
    assert bar_length(field) == length
    panel = Panel("", np.zeros((8, 8)), None, (field, field), (field / 2, field / 2), field, has_bar=True)
    png, (columns, _) = draw_row([panel], Strip("P01"))
    (pixels,) = panels_of(png, 1)
    bright = (pixels.min(axis=-1) > 200).sum(axis=1)
    expected = length / field * columns
    assert bright.max() == pytest.approx(expected, rel=0.03, abs=3)


def test_pictures_are_shown_bare_and_outlined(picture_masks: np.ndarray) -> None:
    picture = np.tile(np.arange(30.0)[:, None], (1, 20))
    shown = {2: PicturePixels(picture_masks[:, :, 1], picture)}
    (image,) = picture_key_images(shown, [lesion(1, 6, (11.0, 5.5, 1.0), 2)], names=["a", "b"], most=3)
    bare, outlined, near, near_outlined = panels_of(image.png)
    assert len(orange_in(bare)) == len(orange_in(near)) == 0
    assert len(orange_in(outlined)) > 20
    # The picture is too small to be magnified, so that both outlines are equally long.
    assert len(orange_in(near_outlined)) == pytest.approx(len(orange_in(outlined)), rel=0.05)
    # Columns 10 to 12 of 30 and rows 5 and 6 of 20, in a square of 30: left of the middle and above it.
    row, column = orange_in(outlined).mean(axis=0) / outlined.shape[0] * 30
    assert column == pytest.approx(11.5, abs=0.7)
    assert row == pytest.approx(5 + 6, abs=0.7)
    assert image.caption.startswith("Picture 2 (b). Without a scale")


def test_a_picture_without_a_lesion_is_shown_bare(picture_masks: np.ndarray) -> None:
    (image,) = picture_key_images({1: PicturePixels(picture_masks[:, :, 0], np.ones((30, 20)))}, [], most=3)
    assert image.title == "Picture 1"
    assert len(orange_in(decoded(image.png))) == 0  # nor in a legend
    assert picture_key_images({1: PicturePixels(picture_masks[:, :, 0])}, [], most=3) == ()


def test_the_mask_of_another_picture_is_refused(picture_masks: np.ndarray) -> None:
    shown = {1: PicturePixels(picture_masks[:, :, 0], np.ones((30, 20)))}
    with pytest.raises(InputError, match="not in the mask"):
        picture_key_images(shown, [lesion(1, 6, (11.0, 5.5, 0.0), 1)], most=3)


def test_classes_have_the_colours_of_the_one_table_and_a_legend(study: Any) -> None:
    """Enhancing tumour around a necrotic core, as in the table of the page and the overlay."""
    labels = np.where(study.labels > 0, 3, 0).astype(np.uint8)
    labels[9:11, 20:22, 16:18] = 1
    shown = Shown("P01", class_styles("brats-met-2023"))
    (image,) = key_images_of_volume(VolumePixels(labels, study.affine, study.image), [LARGE], shown, most=1)
    pixels = decoded(image.png)
    panels, strip = pixels[: pixels.shape[1] // 4], pixels[pixels.shape[1] // 4 :]
    for colour in (VERMILION, SKY_BLUE):
        near = [(np.abs(part - np.array(colour)).max(axis=-1) < 30).sum() for part in (panels, strip)]
        assert min(near) > 50, (colour, near)
    # The name of the study and the disclaimer are the last line.
    assert (strip[-round(LINE_INCHES * 220) :].min(axis=-1) > 200).sum() > 300


def test_the_line_of_a_core_is_drawn_on_that_of_the_ring_around_it() -> None:
    """Both follow the same edge; the class ids say nothing of what encloses what."""
    labels = np.zeros((30, 30), dtype=np.uint8)
    labels[2:28, 2:28], labels[6:24, 6:24], labels[9:21, 9:21] = 2, 3, 1
    labels[10:20, 20:24] = 2  # the ring is open
    styles = class_styles("brats-met-2023")
    drawn = outlines(labels, labels > 0, styles)
    assert [one.colour for one in drawn if one.mask.any()] == [styles[value].colour for value in (2, 3, 1)]


def test_planes_meet_at_the_typical_voxel_and_not_in_the_hole_of_a_ring(study: Any) -> None:
    labels = np.zeros_like(study.labels)
    labels[8:17, 18:27, 17] = 1
    labels[11:14, 21:24, 17] = 0
    ring = lesion(1, int(labels.sum()), (12.0, 22.0, 17.0)).model_copy(update={"typical_voxel": (9, 19, 17)})
    (image,) = volume_key_images(VolumePixels(labels, study.affine, study.image), [ring], most=1)
    assert "voxel 9, 19, 17." in image.caption
    old = ring.model_copy(update={"typical_voxel": None})
    (image,) = volume_key_images(VolumePixels(labels, study.affine, study.image), [old], most=1)
    assert "voxel 12, 22, 17." in image.caption

"""What the viewer is given, read back by another reader; and what it says."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import niivue_component
import numpy as np
import pytest

from metseg.class_styles import class_styles
from metseg.picture_style import ORANGE
from metseg.ui.viewer.display_controls import Look
from metseg.ui.viewer.nifti_bytes import moved, read_nifti
from metseg.ui.viewer.niivue_data import box_around, clicked_mm, display_range, image_file, overlay, overlay_file, shell
from metseg.ui.viewer.niivue_frontend import DEFAULTS, SCRIPT, write_frontend
from metseg.ui.viewer.niivue_view import box_of, is_start, overlays_of
from metseg.ui.viewer.plane_drawing import Style
from metseg.ui.viewer.plane_view import layers_of_plane
from metseg.ui.viewer.scene import Scene

from .fake import volume_files, volume_lesions


@pytest.fixture
def scene() -> Scene:
    files = volume_files()
    names = ("image.nii.gz", "mask.nii.gz", "probability.nii.gz", "lesions.nii.gz")
    image, mask, chance, lesions = (read_nifti(files[name]) for name in names)
    return Scene(image, mask.data, chance.data, volume_lesions(), lesions.data)


def colour_at(image: Any, voxel: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(value) for value in np.asarray(image.dataobj)[voxel])


def opened(content: Any) -> Any:
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(content))


def test_the_copy_shows_what_the_image_does(scene: Scene) -> None:
    copy = opened(image_file(scene, (150.0, 350.0), None))
    assert copy.get_data_dtype() == np.uint8
    assert (copy.header["cal_min"], copy.header["cal_max"]) == (150.0, 350.0)
    np.testing.assert_allclose(copy.affine, scene.image.affine)
    low, high = display_range(scene.image.data, (150.0, 350.0))
    expected = np.clip(scene.image.data, low, high)
    # 256 levels: off by no more than one of them, for values are cut down and not rounded.
    np.testing.assert_allclose(np.asarray(copy.dataobj), expected, atol=(high - low) / 255 + 1e-3)


def test_around_a_lesion_the_lesion_is_in_the_middle(scene: Scene) -> None:
    box = box_of(scene, 2)
    assert box is not None
    copy = opened(image_file(scene, scene.window, box))
    assert copy.shape == tuple(2 * half + 1 for half in box.half)
    assert box.half == (22, 22, 15)  # 45 mm of 2, 2 and 3 mm voxels
    np.testing.assert_allclose(moved(copy.affine, box.half), moved(scene.image.affine, box.centre), atol=1e-4)
    selected = np.zeros(scene.shape, dtype=bool)
    mask = opened(overlay_file(scene.labels, selected, scene.image.affine, box, Look(Style(contour=False))))
    assert colour_at(mask, box.half) == (*ORANGE, 255)


def test_there_is_no_box_around_nothing(scene: Scene) -> None:
    assert box_of(scene, None) is None
    assert box_of(scene, 77) is None


def test_a_contour_is_a_border() -> None:
    mask = np.zeros((9, 9, 9), dtype=bool)
    mask[2:7, 2:7, 2:7] = True
    border = shell(mask)
    assert np.count_nonzero(border) == 125 - 27
    assert not border[4, 4, 4]


def test_an_overlay_is_named_by_its_content() -> None:
    """The viewer sees a change by name, opacity and length; the length of two masks may well be the same."""
    first, again, other = (overlay(content, opacity=0.5) for content in (b"1", b"1", b"2"))
    assert first["name"] == again["name"] != other["name"]
    assert str(first["name"]).endswith(".nii.gz")


def test_each_class_has_the_colour_of_planes_and_reports(scene: Scene) -> None:
    labels = np.zeros(scene.shape, dtype=np.uint8)
    labels[2:5, 2:5, 2:5] = 3
    labels[3, 3, 3] = 1
    look = Look(Style(contour=False, opacity=0.4), scheme="brats-met-2023")
    classes = replace(scene, labels=labels)
    (layer,) = overlays_of(classes, look, None, None)
    drawn = opened(layer["data"])
    styles = class_styles("brats-met-2023")
    assert colour_at(drawn, (2, 2, 2)) == (*styles[3].colour, 255)
    assert colour_at(drawn, (3, 3, 3)) == (*styles[1].colour, 255)
    assert colour_at(drawn, (0, 0, 0)) == (0, 0, 0, 0)
    assert layer["opacity"] == 0.4
    plane = layers_of_plane(classes, look, "axial", 3, None)
    assert [one.colour for one in plane] == [styles[1].colour, styles[3].colour]
    (contour,) = overlays_of(classes, replace(look, style=Style(contour=True)), None, None)
    assert colour_at(opened(contour["data"]), (3, 3, 3)) == (*styles[1].colour, 255)


def test_the_selected_lesion_keeps_its_colours_in_a_white_line(scene: Scene) -> None:
    look = Look(Style(contour=False, opacity=0.4))
    whole, chosen = (opened(overlays_of(scene, look, number, None)[0]["data"]) for number in (None, 2))
    inside = tuple(np.argwhere(scene.instances == 2)[0])
    assert colour_at(whole, inside) == colour_at(chosen, inside) == (*ORANGE, 255)
    for drawn, number in ((whole, 0), (chosen, 1)):
        white = np.asarray(drawn.dataobj)["B"] == 255
        assert white.any() == bool(number)
        assert not (white & (scene.labels > 0)).any()


def test_the_nose_is_on_the_left_in_the_viewer_too(tmp_path: Path) -> None:
    """The component's own default is the opposite, and it has no setting for it."""
    source = Path(niivue_component.__file__).parent / "frontend" / "build"
    before = (source / SCRIPT).read_text("utf-8")
    after = (write_frontend(source, tmp_path) / SCRIPT).read_text("utf-8")
    assert {before.count(text) for text in DEFAULTS} == {1}
    assert {after.count(text) for text in DEFAULTS} == {0}
    assert {after.count(text) for text in DEFAULTS.values()} == {1}
    assert (tmp_path / "index.html").is_file()


@pytest.mark.parametrize(
    "event", [None, {}, "click", {"mm": None}, {"mm": [1, 2]}, {"mm": ["a", 1, 2]}, {"mm": [float("nan"), 1, 2]}]
)
def test_what_is_no_click(event: object) -> None:
    assert clicked_mm(event) is None


def test_where_a_view_begins_is_no_click(scene: Scene) -> None:
    assert is_start(scene, scene.middle(), None)
    assert not is_start(scene, (0, 0, 0), None)
    x, y, z = scene.middle()
    assert is_start(scene, (x, y, z - 1), None)  # the middle of an even number of slices, rounded down
    assert not is_start(scene, (x, y, z - 2), None)
    box = box_around(scene, (3, 4, 5))
    assert is_start(scene, (3, 4, 5), box)
    assert not is_start(scene, scene.middle(), box)


def test_a_constant_image_has_a_range() -> None:
    low, high = display_range(np.full((2, 2, 2), 3.0), (2.5, 3.5))
    assert high > low

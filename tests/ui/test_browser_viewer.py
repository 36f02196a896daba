"""What the viewer in the browser is given, read back by another reader; and what it reports."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from metseg.class_styles import class_styles
from metseg.picture_style import ORANGE
from metseg.ui.viewer import browser_viewer, viewer_files
from metseg.ui.viewer.browser_viewer import matrix_to, report_of, shown_classes
from metseg.ui.viewer.nifti_bytes import moved, read_nifti
from metseg.ui.viewer.scene import Scene
from metseg.ui.viewer.viewer_files import (
    FIRST_PRESET,
    PRESETS,
    brain_file,
    display_range,
    grey_copy,
    labels_file,
    lesions_file,
    thinned,
)

from .fake import done_volume, volume_files, volume_lesions

BROWSER = Path(browser_viewer.__file__).with_name("browser")


@pytest.fixture
def scene() -> Scene:
    files = volume_files()
    names = ("image.nii.gz", "mask.nii.gz", "probability.nii.gz", "lesions.nii.gz")
    image, mask, chance, lesions = (read_nifti(files[name]) for name in names)
    return Scene(image, mask.data, chance.data, volume_lesions(), lesions.data)


def opened(content: bytes) -> Any:
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(content))


def test_the_copy_shows_what_the_image_does(scene: Scene) -> None:
    image = replace(scene.image, slope=0.5, intercept=3.0)
    copy = grey_copy(image, None)
    stored = opened(copy.content)
    assert stored.get_data_dtype() == np.uint8
    np.testing.assert_allclose(stored.affine, image.affine)
    shown = np.asarray(stored.dataobj) * copy.slope + copy.intercept
    # 256 levels: off by no more than half of one, and here no value lies outside of them.
    np.testing.assert_allclose(shown, image.data * 0.5 + 3.0, atol=copy.slope / 2 + 1e-3)


def test_each_preset_is_a_window_of_the_copy(scene: Scene) -> None:
    copy = grey_copy(scene.image, None)
    assert list(copy.presets) == list(PRESETS)
    assert copy.presets["Full range"] == (0.0, 255.0)
    for name, shares in PRESETS.items():
        if shares is not None:
            values = [step * copy.slope + copy.intercept for step in copy.presets[name]]
            tissue = scene.image.data[scene.image.data > scene.image.data.min()]
            np.testing.assert_allclose(values, np.percentile(tissue, shares), atol=copy.slope)
    narrow, first = copy.presets["High contrast"], copy.presets[FIRST_PRESET]
    assert first[0] < narrow[0] < narrow[1] < first[1]


def test_windows_are_those_of_the_brain_where_it_is_known(scene: Scene) -> None:
    data = scene.image.data.astype(np.float32)
    brain = np.zeros(data.shape, dtype=bool)
    brain[5:15, 5:15, 5:10] = True
    data[~brain] += 3000  # a bright skull
    copy = grey_copy(replace(scene.image, data=data), brain)
    low, high = (step * copy.slope + copy.intercept for step in copy.presets["Brain"])
    assert 95 < low < high < 405


def test_a_constant_image_has_a_range(scene: Scene) -> None:
    low, high = display_range(np.full((2, 2, 2), 3.0), (2.5, 3.5))
    assert high > low
    for value in (7.0, np.nan):
        copy = grey_copy(replace(scene.image, data=np.full((3, 3, 3), value)), None)
        assert all(last > first for first, last in copy.presets.values())


def test_class_ids_lesions_and_brain_are_on_the_grid_of_the_image(scene: Scene) -> None:
    brain = scene.labels > 0
    for content, expected in (
        (labels_file(scene, None), scene.labels),
        (labels_file(scene, 0.2), scene.mask(0.2)),
        (lesions_file(scene), scene.instances),
        (brain_file(brain, scene), brain),
    ):
        file = opened(content)
        np.testing.assert_array_equal(np.asarray(file.dataobj), expected)
        np.testing.assert_allclose(file.affine, scene.image.affine)


def test_each_class_has_the_colour_and_name_of_planes_and_reports(scene: Scene) -> None:
    study = done_volume()
    facts = study.facts.model_copy(update={"scheme": "brats-met-2023"})
    assert shown_classes(study.model_copy(update={"facts": facts}), scene, None) == class_styles("brats-met-2023")
    preview = shown_classes(study.model_copy(update={"facts": facts}), scene, 0.3)
    assert [(style.title, style.colour) for style in preview.values()] == [("lesion", ORANGE)]
    unknown = study.model_copy(update={"facts": study.facts.model_copy(update={"scheme": None})})
    assert [style.title for style in shown_classes(unknown, scene, None).values()] == ["lesion"]
    two = replace(scene, labels=np.where(scene.instances == 2, 4, scene.labels).astype(np.uint8))
    assert [style.title for style in shown_classes(unknown, two, None).values()] == ["class 1", "class 4"]


def test_a_sequence_on_another_grid_is_placed_by_its_affine(scene: Scene) -> None:
    copy = grey_copy(scene.image, None)
    assert matrix_to(copy, scene) is None
    other = scene.image.affine.copy()
    other[:3, :3] /= 2  # voxels of half the size
    other[:3, 3] += (4, 0, -3)
    matrix = np.vstack([np.asarray(matrix_to(replace(copy, affine=other), scene)), [0, 0, 0, 1]])
    for voxel in ((0, 0, 0), (3, 4, 5)):
        np.testing.assert_allclose(moved(other, moved(matrix, voxel)), moved(scene.image.affine, voxel), atol=1e-9)
    shorter = grey_copy(replace(scene.image, data=scene.image.data[:, :, :8]), None)
    assert matrix_to(shorter, scene) is not None  # fewer slices from the same place


def test_a_large_image_is_thinned_along_its_finest_axis(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    data, affine = scene.image.data, np.diag([1.0, 2.0, 3.0, 1.0])
    whole, placed = thinned(data, affine)
    assert whole is data
    np.testing.assert_array_equal(placed, affine)
    monkeypatch.setattr(viewer_files, "LARGEST", data.size // 3)
    small, placed = thinned(data, affine)
    assert small.size <= data.size // 3
    np.testing.assert_array_equal(np.diag(placed), [4, 2, 3, 1])  # 1 mm twice: 2 mm is then the finest, too
    voxel = (3, 4, 5)
    x, y, z = np.rint(moved(np.linalg.inv(affine), moved(placed, voxel))).astype(int)
    assert small[voxel] == data[x, y, z]


def test_a_report_of_the_viewer_is_understood(scene: Scene) -> None:
    report = report_of({"voxel": [14, 6, 6], "lesion": 1, "by": "click", "count": 3, "all": True}, scene)
    assert report is not None
    assert (report.voxel, report.lesion, report.by, report.is_ready) == ((14, 6, 6), 1, "click", True)


@pytest.mark.parametrize(
    "changes",
    [
        {"voxel": None},
        {"voxel": [1, 2]},
        {"voxel": ["a", 1, 2]},
        {"voxel": [float("nan"), 1, 2]},
        {"voxel": [20, 1, 2]},
        {"voxel": [-1, 1, 2]},
        {"lesion": 77},
        {"lesion": [1]},
        {"lesion": "1"},
        {"by": None},
    ],
)
def test_nonsense_is_no_report(scene: Scene, changes: dict[str, object]) -> None:
    sound = {"voxel": [1, 2, 3], "lesion": None, "by": "click", "all": True}
    assert report_of(sound, scene) is not None
    assert report_of({**sound, **changes}, scene) is None


@pytest.mark.parametrize("raw", [None, "click", [1, 2, 3], 5])
def test_what_is_no_report_at_all(scene: Scene, raw: object) -> None:
    assert report_of(raw, scene) is None


def test_niivue_is_the_file_that_its_readme_names() -> None:
    notes = (BROWSER / "niivue" / "README.md").read_text("utf-8")
    (checksum,) = re.findall(r"SHA-256: ([0-9a-f]{64})", notes)
    script = (BROWSER / "niivue" / "niivue.umd.js").read_bytes()
    assert hashlib.sha256(script).hexdigest() == checksum
    assert "BSD 2-Clause License" in (BROWSER / "niivue" / "LICENSE").read_text("utf-8")


def test_scripts_of_the_viewer_name_no_other_server() -> None:
    own = [path for path in BROWSER.iterdir() if path.suffix in (".js", ".html", ".css")]
    assert len(own) >= 8
    for path in own:
        assert not re.search(r"https?://|//\w+\.\w", path.read_text("utf-8")), path.name

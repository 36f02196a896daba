"""The worst cases are drawn over their images, and what cannot be drawn is named."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from metseg.errors import InputError
from metseg.evaluation import ScoringConfig
from metseg.evaluation.files.file_matching import match_files
from metseg.evaluation.files.folder_scoring import score_pair
from metseg.reporting.image_lookup import Images
from metseg.reporting.overlays import Drawn, draw_worst

SHAPE = (10, 12, 6)


def save(path: Path, data: np.ndarray, affine: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, np.eye(4) if affine is None else affine), path)


def drawn(root: Path, images: Path, manner: ScoringConfig | None = None) -> Drawn:
    pairs = match_files(root / "predictions", root / "truth").cases
    how = manner or ScoringConfig()
    return draw_worst([score_pair(pair, how) for pair in pairs], pairs, how, Images(images))


def mask(x: int, z: int, label: int = 1) -> np.ndarray:
    data = np.zeros(SHAPE, np.uint8)
    data[x : x + 2, 3:5, z] = label
    return data


def test_a_volume_is_seen_as_radiologists_see_it(tmp_path: Path) -> None:
    image = np.zeros(SHAPE, np.float32)
    image[1, 2, 4] = 1  # in RAS: near the patient's left and back
    save(tmp_path / "truth" / "P1-seg.nii.gz", mask(1, 4))
    save(tmp_path / "predictions" / "P1.nii.gz", mask(6, 4) + mask(1, 0))
    save(tmp_path / "images" / "P1" / "P1-t1n.nii.gz", image * 0)
    save(tmp_path / "images" / "P1" / "P1-t1c.nii.gz", image)
    (overlay,) = drawn(tmp_path, tmp_path / "images").overlays
    assert overlay.caption == "P1 (axial slice 5 of 6): Dice 0.000"
    panel = overlay.panel
    # The panel is (X, Y) from the upper left: what is left in the patient (low x in RAS) is right, the back is below.
    assert np.argwhere(panel.picture).tolist() == [[8, 9]]
    assert np.argwhere(panel.truth).tolist() == [[7, 7], [7, 8], [8, 7], [8, 8]]
    assert np.argwhere(panel.prediction).tolist() == [[2, 7], [2, 8], [3, 7], [3, 8]]


def test_other_axes_are_turned_and_pixels_keep_their_shape(tmp_path: Path) -> None:
    affine = np.array([[0.0, 0, 5, 0], [-1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 1]])  # axes P, S, R; 1 x 2 x 5 mm
    for side, place in (("truth", 3), ("predictions", 5)):
        data = np.zeros(SHAPE, np.uint8)
        data[2, place, 1] = 1
        save(tmp_path / side / "a.nii.gz", data, affine)
    save(tmp_path / "images" / "a.nii.gz", np.ones(SHAPE, np.float32), affine)
    (overlay,) = drawn(tmp_path, tmp_path / "images").overlays
    assert "axial slice 4 of 12" in overlay.caption
    assert overlay.panel.picture.shape == (6, 10)
    assert overlay.panel.aspect == pytest.approx(1 / 5)


def test_the_worst_region_is_drawn(tmp_path: Path) -> None:
    truth = mask(1, 2, 1)
    truth[1, 3, 2] = 3
    save(tmp_path / "truth" / "P1-seg.nii.gz", truth)
    save(tmp_path / "predictions" / "P1-seg.nii.gz", mask(1, 2, 1))
    save(tmp_path / "images" / "P1-t1c.nii.gz", np.ones(SHAPE, np.float32))
    (overlay,) = drawn(tmp_path, tmp_path / "images", ScoringConfig("voxel", "brats-met-2023")).overlays
    assert overlay.caption.startswith("P1 (ET, axial slice 3")
    assert (overlay.panel.truth.sum(), overlay.panel.prediction.sum()) == (1, 0)


def test_what_cannot_be_drawn_is_named_without_its_path(tmp_path: Path) -> None:
    for case in ("gone", "other", "broken"):
        save(tmp_path / "truth" / f"{case}.nii.gz", mask(1, 1))
        save(tmp_path / "predictions" / f"{case}.nii.gz", mask(4, 1))
    save(tmp_path / "images" / "other.nii.gz", np.ones((5, 5, 5), np.float32))
    (tmp_path / "images" / "broken.nii.gz").write_bytes(b"no volume")
    found = drawn(tmp_path, tmp_path / "images")
    assert found.overlays == ()
    by_case = dict(problem.split(": ", 1) for problem in found.problems)
    assert set(by_case) == {"gone", "other", "broken"}
    assert "no image, or more than one, matches the mask" in by_case["gone"]
    assert "different grids" in by_case["other"]
    assert str(tmp_path) not in " ".join(found.problems)


def test_slices_are_found_by_folder_and_name(tmp_path: Path, tiny_slices: Path) -> None:
    for patient in ("P0", "P1"):
        for path in sorted((tiny_slices / patient).glob("*_mask.png")):
            for side, shift in (("truth", 0), ("predictions", 3 if patient == "P1" else 0)):
                target = tmp_path / side / patient / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.roll(np.asarray(Image.open(path)), shift, axis=1)).save(target)
    found = drawn(tmp_path, tiny_slices)  # the masks beside the images are not taken for images
    assert found.problems == ()
    (overlay,) = found.overlays
    assert overlay.caption.startswith("P1 (slice ")
    number = int(overlay.caption.split("slice ")[1].split(" of")[0]) - 1
    with Image.open(tiny_slices / "P1" / f"P1_{number}.png") as picture:
        expected = np.asarray(picture.convert("L"))
    assert np.abs(overlay.panel.picture.T.astype(int) - expected).max() <= 1
    with Image.open(tmp_path / "truth" / "P1" / f"P1_{number}_mask.png") as truth:
        assert np.array_equal(overlay.panel.truth.T, np.asarray(truth) > 0)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


@pytest.mark.parametrize(
    ("files", "mask_file", "expected"),
    [
        (("A-t1n.nii.gz", "A-t1c.nii.gz", "A-t2f.nii.gz"), "A-seg.nii.gz", "A-t1c.nii.gz"),
        (("sub_0001_0000.nii.gz", "sub_0002_0000.nii.gz"), "sub_0002.nii.gz", "sub_0002_0000.nii.gz"),
        (("sub_0001.nii.gz", "sub_0002.nii.gz"), "sub_0002-seg.nii.gz", "sub_0002.nii.gz"),
        (("A/t1c.nii.gz", "B/t1c.nii.gz"), "B-seg.nii.gz", "B/t1c.nii.gz"),
        (("A_T2_FLAIR.nii.gz", "A_T1_gd.nii.gz", "A_T1.nii.gz"), "A_BraTS-seg.nii.gz", "A_T1_gd.nii.gz"),
        (("A/A_2024-t1c.nii.gz", "A/A_2025-t1c.nii.gz"), "A_2025-seg.nii.gz", "A/A_2025-t1c.nii.gz"),
        (("site/images/P1/P1_3.png",), "masks/P1/P1_3_mask.png", "site/images/P1/P1_3.png"),
        (("P1/3.png", "P2/3.png"), "truth/P2/3_mask.png", "P2/3.png"),
        (("P1/3.png", "P2/3.png"), "3_mask.png", None),  # whose?
        (("A-seg.nii.gz", "A-brain_mask.nii.gz", "A-probability.nii.gz"), "A-seg.nii.gz", None),
    ],
)
def test_an_image_is_found_by_the_name_of_its_mask(
    tmp_path: Path, files: tuple[str, ...], mask_file: str, expected: str | None
) -> None:
    images = Images(touch(tmp_path / "root", *files))
    found = images.of(tmp_path / mask_file)
    assert found == (None if expected is None else (tmp_path / "root" / expected).resolve())


def test_masks_called_like_their_images_are_no_images(tmp_path: Path) -> None:
    root = touch(tmp_path, "images/A.nii.gz", "labels/A.nii.gz")
    mask_file = (root / "labels" / "A.nii.gz").resolve()
    assert Images(root).of(mask_file, masks={mask_file}) == (root / "images" / "A.nii.gz").resolve()


def test_no_such_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        Images(tmp_path / "nowhere")

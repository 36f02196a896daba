"""Files re-read by nibabel and Pillow: names, types, orientation, masks, and the truth beside them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from metseg.simulation import SEQUENCES, NiftiOptions, PhantomOptions, SimulatedPatient, SliceOptions, lesion_truth
from metseg.simulation.output.write import as_bytes, as_picture, brain_slices, write_patient


def test_volumes_read_back(simulated: SimulatedPatient, options: PhantomOptions, tmp_path: Path) -> None:
    write_patient(simulated, tmp_path, options=options, output=NiftiOptions())
    case = simulated.case.case_id
    expected = {f"{case}-{name}.nii.gz" for name in (*SEQUENCES, "seg")} | {f"{case}.json"}
    assert {path.name for path in tmp_path.iterdir()} == expected
    for name in SEQUENCES:
        image = nibabel.load(tmp_path / f"{case}-{name}.nii.gz")
        assert image.get_data_dtype() == np.int16
        assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S")
        assert image.header.get_zooms() == pytest.approx((2.5, 2.5, 2.5))
        np.testing.assert_array_equal(np.asarray(image.dataobj), simulated.case.images[name].data)
    mask = nibabel.load(tmp_path / f"{case}-seg.nii.gz")
    assert mask.get_data_dtype() == np.uint8
    assert int(mask.header["qform_code"]) == int(mask.header["sform_code"]) == 1


def test_the_truth_is_what_lies_in_the_written_mask(
    simulated: SimulatedPatient, options: PhantomOptions, tmp_path: Path
) -> None:
    write_patient(simulated, tmp_path, options=options, output=NiftiOptions())
    truth = json.loads((tmp_path / f"{simulated.case.case_id}.json").read_text())
    mask = nibabel.load(tmp_path / f"{simulated.case.case_id}-seg.nii.gz")
    data = np.asarray(mask.dataobj)
    for value, key in ((1, "netc_mm3"), (2, "snfh_mm3"), (3, "et_mm3")):
        assert sum(lesion[key] for lesion in truth["lesions"]) == pytest.approx((data == value).sum() * 2.5**3, abs=0.1)
    for lesion, found in zip(truth["lesions"], lesion_truth(data, simulated.instances, mask.affine), strict=True):
        assert lesion["lesion_id"] == found.lesion_id
        assert lesion["centre_mm"] == pytest.approx(found.centre_mm, abs=1e-3)
        assert lesion["kind"] == ("ring" if found.netc_mm3 else "solid")
        assert lesion["plan"]["diameter_mm"] == pytest.approx(lesion["equivalent_diameter_mm"], rel=0.03)


@pytest.mark.parametrize(
    ("output", "mode", "region"),
    [
        (SliceOptions(), "RGB", (1, 2, 3)),
        (SliceOptions(mask="core"), "RGB", (1, 3)),
        (SliceOptions(sequence="flair"), "L", (1, 2, 3)),
        (SliceOptions(sequence="t1c"), "L", (1, 3)),
        (SliceOptions(sequence="t1c", mask="whole"), "L", (1, 2, 3)),
    ],
)
def test_pictures_read_back(
    simulated: SimulatedPatient,
    options: PhantomOptions,
    tmp_path: Path,
    output: SliceOptions,
    mode: str,
    region: tuple[int, ...],
) -> None:
    write_patient(simulated, tmp_path, options=options, output=output)
    assert simulated.case.labels is not None
    stems = sorted(path.stem for path in tmp_path.glob("*.png") if not path.stem.endswith("_mask"))
    assert len(stems) == len(brain_slices(simulated.brain, None)) > 30
    truth = np.isin(simulated.case.labels.data, region)
    for stem in stems:
        z = int(stem.rpartition("_")[2])
        picture, mask = Image.open(tmp_path / f"{stem}.png"), Image.open(tmp_path / f"{stem}_mask.png")
        assert (picture.mode, mask.mode) == (mode, "L")
        assert picture.size == mask.size == truth.shape[:2]
        # Column 0 is the patient's right (largest x), row 0 the front (largest y).
        np.testing.assert_array_equal(np.asarray(mask), 255 * np.rot90(truth[:, :, z])[:, ::-1])
    document = json.loads((tmp_path / f"{simulated.case.case_id}.json").read_text())
    assert document["slices"] == len(stems)
    assert document["slices_with_lesion"] == sum(np.asarray(Image.open(p)).any() for p in tmp_path.glob("*_mask.png"))


def test_colours_are_native_flair_and_enhanced(
    simulated: SimulatedPatient, options: PhantomOptions, tmp_path: Path
) -> None:
    write_patient(simulated, tmp_path, options=options, output=SliceOptions(slices_per_patient=3))
    for path in tmp_path.glob("*[0-9].png"):
        z = int(path.stem.rpartition("_")[2])
        picture = np.asarray(Image.open(path)).astype(float)
        for channel, name in enumerate(("t1n", "t2f", "t1c")):
            plane = np.asarray(simulated.case.images[name].data[:, :, z], dtype=float)
            original = np.rot90(plane)[:, ::-1]
            dark = picture[..., channel] < 255
            assert np.corrcoef(picture[..., channel][dark], original[dark])[0, 1] > 0.999


def test_so_many_slices_spread_over_the_brain() -> None:
    brain = np.zeros((3, 3, 20), dtype=bool)
    brain[:, :, 4:16] = True
    assert brain_slices(brain, 3) == [6, 10, 14]
    assert brain_slices(brain, 99) == list(range(4, 16))
    brain[:, :, 0] = [[True, False, False]] * 3
    brain[1:, :, 0] = False
    assert 0 not in brain_slices(brain, None)  # a ninth of a full slice does not count as brain


def test_the_right_of_the_patient_is_left_in_the_picture() -> None:
    plane = np.zeros((4, 6), dtype=np.uint8)
    plane[3, 5] = 7  # rightmost, foremost
    picture = as_picture(plane)
    assert picture.shape == (6, 4)
    assert picture[0, 0] == 7


def test_brightness_is_scaled_by_the_brain() -> None:
    image = np.array([[[0, 100, 200, 5000]]], dtype=np.int16)
    brain = np.array([[[True, True, True, False]]])
    scaled = as_bytes(image, brain).ravel()
    assert scaled[0] == 0
    assert 126 <= scaled[1] <= 129
    assert scaled[2] >= 254
    assert scaled[3] == 255

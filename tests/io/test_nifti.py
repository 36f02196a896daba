"""Masks from NIfTI, whole and damaged."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK

from metseg.errors import GeometryError, InputError, MetsegError
from metseg.io.volumes.nifti import check_nifti_header, read_mask_nifti, read_volume
from metseg.measure import voxel_volume_mm3

AFFINE = np.array([[-0.9, 0.0, 0.1, 30.0], [0.0, 0.9, 0.0, -20.0], [0.1, 0.0, 3.0, 5.0], [0.0, 0.0, 0.0, 1.0]])


def written(path: Path, data: np.ndarray, kind: type = nib.Nifti1Image) -> Path:
    nib.save(kind(data, AFFINE), path)
    return path


@pytest.fixture
def labels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4, (7, 6, 5)).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_values_and_affine(tmp_path: Path, labels: np.ndarray, name: str, kind: type) -> None:
    volume = read_mask_nifti(written(tmp_path / name, labels, kind))
    assert np.array_equal(volume.data, labels)
    assert volume.data.dtype == np.uint8
    assert volume.affine == pytest.approx(AFFINE, abs=1e-6)


def test_trailing_axis_of_one_is_squeezed(tmp_path: Path, labels: np.ndarray) -> None:
    assert read_mask_nifti(written(tmp_path / "a.nii.gz", labels[..., None])).shape == labels.shape


def test_four_axes_are_refused(tmp_path: Path, labels: np.ndarray) -> None:
    path = written(tmp_path / "a.nii.gz", np.stack([labels, labels], axis=-1))
    with pytest.raises(GeometryError, match="three axes"):
        read_mask_nifti(path)


def test_truncated_and_damaged_gzip(tmp_path: Path, labels: np.ndarray) -> None:
    content = written(tmp_path / "a.nii.gz", labels).read_bytes()
    for damaged, code in (
        (content[: len(content) // 2], "input.truncated"),
        (content[:-3], "input.truncated"),
        (content[:-8] + bytes(4) + content[-4:], "input.checksum"),
    ):
        path = tmp_path / "b.nii.gz"
        path.write_bytes(damaged)
        with pytest.raises(InputError) as caught:
            read_mask_nifti(path)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda content: content[:-10], "input.truncated"),
        (lambda content: content[:200], "input.format"),
        (lambda content: content + b"more", "input.trailing_data"),
        (lambda content: b"", "input.format"),
        (lambda content: b"\x89PNG" + content[4:], "input.format"),
    ],
)
def test_wrong_bodies(tmp_path: Path, labels: np.ndarray, change: object, code: str) -> None:
    path = written(tmp_path / "a.nii", labels)
    path.write_bytes(change(path.read_bytes()))  # type: ignore[operator]
    for name in ("a.nii", "a.nii.gz"):
        if name.endswith("gz"):
            (tmp_path / name).write_bytes(gzip.compress(path.read_bytes()))
        with pytest.raises(InputError) as caught:
            read_mask_nifti(tmp_path / name)
        assert caught.value.code == code


def test_a_header_that_announces_too_much_is_refused_before_reading(tmp_path: Path, labels: np.ndarray) -> None:
    path = written(tmp_path / "a.nii", labels)
    content = bytearray(path.read_bytes())
    content[42:48] = np.array([30000, 30000, 30000], dtype="<i2").tobytes()
    path.write_bytes(content)
    with pytest.raises(InputError, match="too large"):
        read_mask_nifti(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MetsegError, match="no such file"):
        read_mask_nifti(tmp_path / "no.nii")


def test_singular_affine_is_named(tmp_path: Path, labels: np.ndarray) -> None:
    image = nib.Nifti1Image(labels, AFFINE)
    image.header["srow_x"] = 0
    image.header["sform_code"] = 1
    path = tmp_path / "a.nii"
    content = bytearray(image.to_bytes())
    content[280:296] = bytes(16)  # srow_x
    path.write_bytes(content)
    with pytest.raises(GeometryError, match=r"a\.nii: the affine is singular"):
        read_mask_nifti(path)


def header_bytes(path: Path, changes: dict[int, bytes]) -> Path:
    """Overwrite bytes of an uncompressed file's header; offsets are those of nifti1.h."""
    content = bytearray(path.read_bytes())
    for offset, new in changes.items():
        content[offset : offset + len(new)] = new
    path.write_bytes(content)
    return path


XYZT_UNITS, PIXDIM, FORM_CODES, QUATERN = 123, 76, 252, 256


@pytest.mark.parametrize(("unit", "factor", "note"), [(1, 0.001, "metres"), (3, 1000.0, "micrometres")])
@pytest.mark.parametrize("form", ["sform", "qform", "neither"])
def test_units_are_converted_to_mm(tmp_path: Path, unit: int, factor: float, note: str, form: str) -> None:
    in_mm = np.diag([1.0, 1.25, 5.0, 1.0])
    in_mm[:3, 3] = (-30, 20, 10)
    in_unit = np.diag([factor, factor, factor, 1.0]) @ in_mm
    image = nib.Nifti1Image(np.ones((4, 5, 6), np.uint8), in_unit)
    image.set_sform(in_unit, code=int(form == "sform"))
    image.set_qform(in_unit, code=int(form == "qform"))
    nib.save(image, tmp_path / "a.nii")
    volume, notes = read_volume(header_bytes(tmp_path / "a.nii", {XYZT_UNITS: bytes([unit])}))
    assert volume.spacing_mm == pytest.approx((1.0, 1.25, 5.0))
    assert voxel_volume_mm3(volume.affine) == pytest.approx(6.25)
    if form != "neither":
        assert volume.affine == pytest.approx(in_mm, abs=1e-4)
    assert any(note in text and "millimetres" in text for text in notes)
    assert read_mask_nifti(tmp_path / "a.nii").spacing_mm == pytest.approx((1.0, 1.25, 5.0))


def test_a_wrong_unit_is_refused_before_anything_is_read(tmp_path: Path, labels: np.ndarray) -> None:
    path = header_bytes(written(tmp_path / "a.nii", labels), {XYZT_UNITS: bytes([1])})  # 0.9 metres
    for read in (read_volume, read_mask_nifti, check_nifti_header):
        with pytest.raises(GeometryError, match=r"implausible .* size for an MR image of a head.*metre.*xyzt_units"):
            read(path)


@pytest.mark.parametrize(
    ("unit", "size_mm", "got"),
    [(3, 0.9, "0.0009 x 0.0009"), (2, 0.008, "0.008 x 0.008"), (2, 0.02, "0.48 x 0.48"), (2, 90.0, "2.16e+03 x")],
)
def test_sizes_of_no_head_are_refused(tmp_path: Path, unit: int, size_mm: float, got: str) -> None:
    image = nib.Nifti1Image(np.ones((24, 24, 24), np.uint8), np.diag([size_mm, size_mm, size_mm, 1.0]))
    nib.save(image, tmp_path / "a.nii")
    path = header_bytes(tmp_path / "a.nii", {XYZT_UNITS: bytes([unit])})
    for read in (read_volume, read_mask_nifti, check_nifti_header):
        with pytest.raises(GeometryError, match="size for an MR image of a head") as refused:
            read(path)
        assert got in str(refused.value)
        assert "xyzt_units" in str(refused.value)


def test_an_unknown_unit_is_said(tmp_path: Path, labels: np.ndarray) -> None:
    path = header_bytes(written(tmp_path / "a.nii", labels), {XYZT_UNITS: bytes([5])})
    assert any("unknown unit (code 5)" in note for note in read_volume(path)[1])


def quaternion_only(path: Path, data: np.ndarray, b: float, c: float, d: float, qfac: float) -> Path:
    """Write a file that only its qform places, with voxels of 1 x 2 x 3 mm."""
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    codes, quaternion = np.array([1, 0], "<i2").tobytes(), np.array([b, c, d, 7, 8, 9], "<f4").tobytes()
    pixdim = np.array([qfac, 1, 2, 3], "<f4").tobytes()
    return header_bytes(path, {PIXDIM: pixdim, FORM_CODES: codes, QUATERN: quaternion})


@pytest.mark.parametrize(("qfac", "z"), [(0.0, 3.0), (1.0, 3.0), (-1.0, -3.0)])
def test_pixdim_0_of_zero_counts_as_one(tmp_path: Path, labels: np.ndarray, qfac: float, z: float) -> None:
    path = quaternion_only(tmp_path / "a.nii", labels, 0, 0, 0, qfac)
    assert read_volume(path)[0].affine == pytest.approx(
        np.array([[1, 0, 0, 7], [0, 2, 0, 8], [0, 0, z, 9], [0, 0, 0, 1]])
    )


@pytest.mark.parametrize("excess", [5e-7, 1e-4])
def test_a_quaternion_longer_than_one_by_rounding_is_read(tmp_path: Path, labels: np.ndarray, excess: float) -> None:
    # Half a turn about z: x and y change sign.
    path = quaternion_only(tmp_path / "a.nii", labels, 0, 0, 1 + excess, 1)
    assert read_volume(path)[0].affine == pytest.approx(
        np.array([[-1, 0, 0, 7], [0, -2, 0, 8], [0, 0, 3, 9], [0, 0, 0, 1]]), abs=1e-6
    )
    itk = SimpleITK.ReadImage(str(path))  # LPS
    assert np.array(itk.GetOrigin()) == pytest.approx((-7, -8, 9))


def test_a_quaternion_that_is_none_is_refused(tmp_path: Path, labels: np.ndarray) -> None:
    with pytest.raises(GeometryError, match="affine is invalid"):
        read_volume(quaternion_only(tmp_path / "a.nii", labels, 1, 1, 0, 1))


@pytest.mark.parametrize("extra", [1, 2, 3, 4])
def test_trailing_axes_of_length_one_are_left_out(tmp_path: Path, labels: np.ndarray, extra: int) -> None:
    data = labels.reshape(*labels.shape, *[1] * extra)
    path = written(tmp_path / "a.nii", data)
    assert nib.load(path).shape == data.shape
    for volume in (read_volume(path)[0], read_mask_nifti(path)):
        assert np.array_equal(volume.data, labels)
    check_nifti_header(path)


def test_channels_before_trailing_axes_of_length_one_are_read(tmp_path: Path, labels: np.ndarray) -> None:
    data = np.stack([labels, labels + 1], axis=-1)[..., None, None]
    path = written(tmp_path / "a.nii.gz", data)
    assert np.array_equal(read_volume(path, channel=1)[0].data, labels + 1)
    with pytest.raises(GeometryError, match="contains 2 images"):
        read_volume(path)


def test_five_axes_stay_refused(tmp_path: Path, labels: np.ndarray) -> None:
    path = written(tmp_path / "a.nii.gz", np.zeros((3, 3, 3, 1, 2), np.uint8))
    for read in (read_volume, check_nifti_header):
        with pytest.raises(GeometryError, match="three axes"):
            read(path)

"""Masks from NIfTI, whole and damaged."""

from __future__ import annotations

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from metseg.errors import GeometryError, InputError, MetsegError
from metseg.io.nifti import read_mask_nifti

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

"""A real oblique T1 series, against SimpleITK's reading of it."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from metseg.errors import InputError
from metseg.io.dicom import SeriesImage, find_studies, read_series

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def series(real_data: Path) -> Path:
    folder = real_data / "dicom_t1w"
    if not folder.is_dir():
        pytest.skip("the real DICOM series is absent")
    return folder


@pytest.fixture(scope="module")
def theirs(series: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return SimpleITK's voxels (z, y, x) and its geometry as a voxel-to-RAS matrix."""
    image = sitk.ReadImage(list(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(series))))
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def shuffled(series: Path) -> list[Path]:
    paths = sorted(series.iterdir())
    return [paths[number] for number in np.random.default_rng(3).permutation(len(paths))]


def from_folder(series: Path, _: Path) -> SeriesImage:
    return read_series(series)


def from_loose_files(series: Path, _: Path) -> SeriesImage:
    return read_series(shuffled(series))


def from_zip(series: Path, folder: Path) -> SeriesImage:
    with zipfile.ZipFile(folder / "study.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number, path in enumerate(shuffled(series)):
            archive.write(path, f"export/{number:03d}")
    return read_series(folder / "study.zip")


def from_renamed_files(series: Path, folder: Path) -> SeriesImage:
    for number, path in enumerate(shuffled(series)):
        (folder / f"{number:03d}.txt").symlink_to(path)
    return read_series(folder)


@pytest.mark.parametrize("read", [from_folder, from_loose_files, from_zip, from_renamed_files])
def test_equal_to_simpleitk(read: object, series: Path, theirs: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    image = read(series, tmp_path)  # type: ignore[operator]
    voxels, affine = theirs
    assert image.volume.shape == (274, 384, 64)
    np.testing.assert_array_equal(image.volume.data.T, voxels)
    assert image.volume.data.dtype == np.int16
    corners = np.array(np.meshgrid([0, 273], [0, 383], [0, 63], [1])).reshape(4, -1)
    np.testing.assert_allclose(image.volume.affine @ corners, affine @ corners, atol=1e-4)
    assert image.warnings == ()


def test_recognised_as_t1_without_names(series: Path) -> None:
    (source,) = find_studies(series)
    case = source.load()
    assert case.modalities == ("t1n",)
    assert case.warnings == (
        'series 401 ("anat T1w") is t1n: the description says T1 and nothing says that contrast agent was given.',
    )
    assert "Jane" not in repr(source.series)


def test_two_series_mixed_are_refused(series: Path, tmp_path: Path) -> None:
    paths = sorted(series.iterdir())
    for path in paths:
        shutil.copyfile(path, tmp_path / path.name)
    for path in paths[::2]:
        dataset = pydicom.dcmread(path)
        dataset.SeriesInstanceUID = "2.25.1"
        dataset.save_as(tmp_path / path.name)
    with pytest.raises(InputError, match="several series are given, but one is needed") as caught:
        read_series(tmp_path)
    assert caught.value.code == "input.several_series"
    assert caught.value.got == "2 series"


def test_a_missing_slice_is_refused(series: Path) -> None:
    paths = sorted(series.iterdir())
    del paths[30]
    with pytest.raises(InputError, match="1 slice is missing"):
        read_series(paths)
    image = read_series(paths, allow_gaps=True)
    assert image.volume.shape == (274, 384, 64)
    assert "interpolated" in image.warnings[0]

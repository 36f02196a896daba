"""Bad volumes: what is refused, with which code and words, and what is repaired and said.

The numbers are those of the list of bad inputs the project keeps; pictures are in `test_bad_inputs.py`.
"""

from __future__ import annotations

import gzip
import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from metseg.errors import GeometryError, InputError
from metseg.io import find_cases, read_volume
from metseg.io.volumes import nifti_file as nifti_file_module

Run = Callable[..., tuple[int, str, str]]

SHAPE = (6, 5, 4)
AFFINE = np.diag([-1.0, -1.0, 2.0, 1.0])
MEGABYTE = 2**20

# Places in a NIfTI-1 header.
DIM, VOX_OFFSET, SLOPE, INTER, SFORM_X, MAGIC = 40, 108, 112, 116, 280, 344


def save(path: Path, data: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def patch(path: Path, place: int, layout: str, *values: float) -> Path:
    content = bytearray(path.read_bytes())
    struct.pack_into("<" + layout, content, place, *values)
    path.write_bytes(content)
    return path


@pytest.fixture
def numbers() -> np.ndarray:
    return np.random.default_rng(0).integers(-50, 500, SHAPE).astype(np.int16)


@pytest.fixture
def plain(tmp_path: Path, numbers: np.ndarray) -> Path:
    return save(tmp_path / "a.nii", numbers)


def refused(path: Path, code: str, *words: str, channel: int | None = None) -> None:
    with pytest.raises(InputError) as caught:
        read_volume(path, channel=channel)
    assert caught.value.code == code
    assert caught.value.exit_status == 3
    message = caught.value.one_line()
    assert message.startswith(f"{path}: ")
    assert not [word for word in words if word not in message], message


# 1, 2, 3, 9. Files cut short, damaged, or longer than they say


@pytest.mark.parametrize("kept", [0.5, 0.9])
def test_1_truncated_gzip(tmp_path: Path, numbers: np.ndarray, kept: float) -> None:
    path = save(tmp_path / "a.nii.gz", numbers)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    refused(path, "input.truncated", "truncated")


def test_2_wrong_gzip_checksum(tmp_path: Path, numbers: np.ndarray) -> None:
    path = save(tmp_path / "a.nii.gz", numbers)
    content = bytearray(path.read_bytes())
    content[-8] ^= 1  # the checksum stands before the length
    path.write_bytes(content)
    refused(path, "input.checksum", "damaged", "copy it again")


@pytest.mark.parametrize("more", [b"x", b"\0" * 700, b"more bytes after the image"])
@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_3_trailing_data(tmp_path: Path, more: bytes, ending: str) -> None:
    tiny = save(tmp_path / "tiny.nii", np.zeros((2, 2, 2), dtype=np.uint8))  # ends within the longest header
    content = tiny.read_bytes() + more
    path = tmp_path / f"a.{ending}"
    path.write_bytes(gzip.compress(content) if ending == "nii.gz" else content)
    refused(path, "input.trailing_data", "after the end")


def test_3_junk_after_the_gzip(tmp_path: Path, numbers: np.ndarray) -> None:
    path = save(tmp_path / "a.nii.gz", numbers)
    path.write_bytes(path.read_bytes() + b"junk")
    refused(path, "input.trailing_data", "after the end")


def test_3_a_gzip_bomb_is_never_unpacked(tmp_path: Path, plain: Path) -> None:
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(gzip.compress(plain.read_bytes() + bytes(24 * MEGABYTE), compresslevel=1))
    tracemalloc.start()
    refused(path, "input.trailing_data")
    assert tracemalloc.get_traced_memory()[1] < 4 * MEGABYTE
    tracemalloc.stop()


@pytest.mark.parametrize("missing", [1, 100])
def test_9_body_shorter_than_the_header_says(plain: Path, missing: int) -> None:
    content = plain.read_bytes()
    plain.write_bytes(content[:-missing])
    refused(plain, "input.truncated", f"expected {len(content)} bytes", f"got {len(content) - missing}")


# 4. Empty, or something else


@pytest.mark.parametrize("content", [b"", b"\x89PNG and so on", b"\x5c\x01\0\0 too short"])
def test_4_no_nifti(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(content)
    refused(path, "input.format", "not a NIfTI file", "copy or export the file again")
    refused(path.rename(tmp_path / "a.csv"), "input.format", "not an image that metseg reads", "DICOM, PNG")


def test_4_a_header_without_its_image_file(plain: Path) -> None:
    refused(patch(plain, MAGIC, "4s", b"ni1\0"), "input.format", "single-file", ".img")


# 5. NaN and infinity


def test_5_a_few_nan_become_zero_and_are_counted(tmp_path: Path) -> None:
    data = np.ones((10, 10, 10), dtype=np.float32)
    data[0, 0, :10] = [np.nan, np.inf, -np.inf, *[np.nan] * 7]  # 1 % exactly
    volume, notes = read_volume(save(tmp_path / "a.nii.gz", data))
    assert notes == ("10 NaN or infinite voxels of 1000 were set to 0",)
    assert volume.data[0, 0].tolist() == [0.0] * 10
    assert volume.data.sum() == 990


def test_5_more_are_refused(tmp_path: Path) -> None:
    data = np.ones((10, 10, 10), dtype=np.float32)
    data[0, 0] = data[0, 1, 0] = np.nan
    refused(save(tmp_path / "a.nii.gz", data), "input.not_finite", "at most 1%", "11 of 1000")


# 6, 7. Axes


@pytest.mark.parametrize("sizes", [(0, 5, 4), (6, -5, 4), (-1, 1, 1)])
def test_6_zero_or_negative_sizes(plain: Path, sizes: tuple[int, ...]) -> None:
    refused(patch(plain, DIM, "4h", 3, *sizes), "input.axes", "without voxels", str(sizes))


@pytest.mark.parametrize("axes", [0, -3, 8])
def test_6_impossible_number_of_axes(plain: Path, axes: int) -> None:
    refused(patch(plain, DIM, "h", axes), "input.axes", f"{axes} axes")


def test_7_a_fourth_axis_of_one_is_squeezed(tmp_path: Path, numbers: np.ndarray) -> None:
    volume, notes = read_volume(save(tmp_path / "a.nii.gz", numbers[..., None]))
    assert np.array_equal(volume.data, numbers)
    assert notes == ()


def test_7_channels_have_to_be_named(tmp_path: Path, numbers: np.ndarray) -> None:
    path = save(tmp_path / "a.nii.gz", np.stack([numbers, numbers + 1], axis=-1))
    refused(path, "input.axes", "2 images", "select a channel")
    refused(path, "input.axes", "no channel 2", "0 to 1", channel=2)
    assert np.array_equal(read_volume(path, channel=1)[0].data, numbers + 1)


@pytest.mark.parametrize("tail", [(1, 3), (2, 2)])
def test_7_five_axes_are_refused(tmp_path: Path, tail: tuple[int, int]) -> None:
    refused(save(tmp_path / "a.nii.gz", np.zeros((*SHAPE, *tail), dtype=np.int16)), "input.axes", "three axes")


# 8. Too large


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_8_too_large_is_said_before_anything_is_allocated(plain: Path, ending: str) -> None:
    patch(plain, DIM, "4h", 3, 32000, 32000, 32000)
    path = plain.with_name(f"b.{ending}")
    content = plain.read_bytes()
    path.write_bytes(gzip.compress(content) if ending == "nii.gz" else content)
    tracemalloc.start()
    refused(path, "input.too_large", "at most 4 GiB")
    assert tracemalloc.get_traced_memory()[1] < MEGABYTE
    tracemalloc.stop()


def test_8_samples_that_begin_far_behind_the_header_count(plain: Path) -> None:
    refused(patch(plain, VOX_OFFSET, "f", 1e30), "input.too_large")
    refused(patch(plain, VOX_OFFSET, "f", 4.0), "input.format", "offset of 352")
    refused(patch(plain, VOX_OFFSET, "f", np.nan), "input.format")


def test_8_the_cap_is_on_what_lies_in_memory(
    tmp_path: Path, numbers: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(tmp_path / "a.nii.gz", numbers)
    whole = 352 + numbers.nbytes
    monkeypatch.setattr(nifti_file_module, "MAX_BYTES", whole - 1)
    refused(path, "input.too_large")
    monkeypatch.setattr(nifti_file_module, "MAX_BYTES", whole)
    assert read_volume(path)[0].shape == SHAPE


# 10. Scaling


def test_10_scaling_is_applied_in_float32(plain: Path, numbers: np.ndarray) -> None:
    patch(plain, SLOPE, "2f", 0.5, -3.0)
    volume, _ = read_volume(plain)
    assert volume.data.dtype == np.float32
    assert np.array_equal(volume.data, (numbers * 0.5 - 3).astype(np.float32))


def test_10_without_scaling_integers_stay_as_they_are(plain: Path, numbers: np.ndarray) -> None:
    for slope in (1.0, 0.0):  # a slope of 0 says that there is none, whatever the intercept
        patch(plain, SLOPE, "2f", slope, 0.0 if slope else 7.0)
        volume, _ = read_volume(plain)
        assert volume.data.dtype == np.int16
        assert np.array_equal(volume.data, numbers)


@pytest.mark.parametrize(("place", "value"), [(SLOPE, np.nan), (SLOPE, np.inf), (INTER, np.nan), (INTER, -np.inf)])
def test_10_impossible_scaling(plain: Path, place: int, value: float) -> None:
    patch(plain, SLOPE, "2f", 2.0, 0.0)
    refused(patch(plain, place, "f", value), "input.scaling", "finite numbers", str(value))


def test_10_overflow(plain: Path, tmp_path: Path) -> None:
    refused(patch(plain, SLOPE, "2f", 3e38, 0.0), "input.scaling", "beyond 3.4e+38")
    huge = np.full(SHAPE, 1e300)
    refused(save(tmp_path / "b.nii", huge), "input.scaling")
    within, _ = read_volume(save(tmp_path / "c.nii", huge / 1e290))
    assert within.data.dtype == np.float32


def test_big_endian_files(tmp_path: Path, numbers: np.ndarray) -> None:
    image = nib.Nifti1Image(numbers, AFFINE, nib.Nifti1Header(endianness=">"))
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "a.nii")
    assert (tmp_path / "a.nii").read_bytes()[:4] == b"\0\0\x01\x5c"
    volume, _ = read_volume(tmp_path / "a.nii")
    assert volume.data.dtype == np.dtype(np.int16)  # in the machine's own byte order
    assert np.array_equal(volume.data, numbers)


def test_colours_are_no_intensities(tmp_path: Path) -> None:
    rgb = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    refused(save(tmp_path / "a.nii", rgb), "input.format", "colours")


# 11, 12. Affines


def test_11_singular_or_nan_affine(plain: Path) -> None:
    refused(patch(plain, SFORM_X, "4f", 0, 0, 0, 0), "input.geometry", "singular", "sform")
    refused(patch(plain, SFORM_X, "4f", np.nan, 0, 0, 0), "input.geometry", "not a finite")


def test_11_shear_is_said(tmp_path: Path, numbers: np.ndarray) -> None:
    sheared = AFFINE.copy()
    sheared[1, 2] = 2 * np.tan(np.radians(10))
    volume, notes = read_volume(save(tmp_path / "a.nii", numbers, sheared))
    assert notes == ("the affine is sheared (10.0 degrees off the right angle): processing uses voxel space",)
    assert volume.affine == pytest.approx(sheared, abs=1e-6)


@pytest.mark.parametrize("signs", [(-1, 1, 1), (1, -1, 1), (-1, -1, -1)])
def test_12_negative_determinant_is_accepted_unchanged(
    tmp_path: Path, numbers: np.ndarray, signs: tuple[int, ...]
) -> None:
    affine = np.diag([*signs, 1.0]) @ np.array([[0, 1.5, 0, 3], [2, 0, 0, -7], [0, 0, 0.5, 11], [0, 0, 0, 1.0]])
    volume, notes = read_volume(save(tmp_path / "a.nii", numbers, affine))
    assert volume.affine is not None
    assert np.array_equal(volume.affine, affine)
    assert np.array_equal(volume.data, numbers)
    assert notes == ()


def test_a_file_that_says_nothing_of_space(tmp_path: Path, numbers: np.ndarray) -> None:
    image = nib.Nifti1Image(numbers, None)
    nib.save(image, tmp_path / "a.nii")
    _, notes = read_volume(tmp_path / "a.nii")
    assert notes == ("the file has no sform or qform: only its voxel sizes are known",)


def test_sform_and_qform_that_differ(tmp_path: Path, numbers: np.ndarray) -> None:
    image = nib.Nifti1Image(numbers, AFFINE)
    moved = AFFINE.copy()
    moved[2, 3] = 4.0
    image.set_sform(AFFINE, code=1)
    image.set_qform(moved, code=1)
    nib.save(image, tmp_path / "a.nii")
    volume, notes = read_volume(tmp_path / "a.nii")
    assert np.array_equal(volume.affine, AFFINE)
    assert notes == ("sform and qform differ (voxels up to 4 mm apart): the sform was used",)


# 19, 20, 23. Studies, and what `metseg inspect` says of all this


def a_study(root: Path, case: str, mask: np.ndarray | None = None, affine: np.ndarray = AFFINE) -> Path:
    image = np.random.default_rng(len(case)).integers(0, 900, SHAPE).astype(np.int16)
    save(root / case / f"{case}-t1c.nii.gz", image)
    save(root / case / f"{case}-t2f.nii.gz", image + 1)
    if mask is not None:
        save(root / case / f"{case}-seg.nii.gz", mask, affine)
    return root


def lesion(*values: float, dtype: type = np.uint8) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=dtype)
    mask.reshape(-1)[: len(values)] = values
    return mask


@pytest.mark.parametrize(
    ("mask", "affine", "code"),
    [
        (lesion(1)[:-1], AFFINE, "input.shape_mismatch"),
        (lesion(1), np.diag([1.0, 1.0, 2.0, 1.0]), "input.affine_mismatch"),
    ],
)
def test_19_mask_and_image_on_two_grids(tmp_path: Path, mask: np.ndarray, affine: np.ndarray, code: str) -> None:
    a_study(tmp_path, "BraTS-MET-00001-000", mask, affine)
    with pytest.raises(GeometryError, match=r"case BraTS-MET-00001-000") as caught:
        find_cases(tmp_path)[0].load()
    assert caught.value.code == code
    assert "never resampled silently" in str(caught.value)


@pytest.mark.parametrize(
    ("mask", "becomes"),
    [
        (lesion(255, 255), [1, 1]),
        (lesion(0.99999997, 0.99999997, dtype=np.float32), [1, 1]),
        (lesion(1, 0), [1, 0]),
    ],
)
def test_20_masks_of_two_values(tmp_path: Path, mask: np.ndarray, becomes: list[int]) -> None:
    save(tmp_path / "p" / "t1c.nii.gz", np.ones(SHAPE, dtype=np.int16))
    save(tmp_path / "p" / "seg.nii.gz", mask)
    labels = find_cases(tmp_path)[0].load().labels
    assert labels is not None
    assert labels.data.reshape(-1)[:2].tolist() == becomes
    assert labels.data.sum() == sum(becomes)


@pytest.mark.parametrize(
    ("mask", "code", "words"),
    [
        (lesion(1, 2, 4), "input.labels", ("unknown label 4", "brats-gli-2021", "--labels")),
        (lesion(1, 0.5, dtype=np.float32), "input.labels", ("0.5", "threshold a probability map")),
        (lesion(1, np.nan, dtype=np.float32), "input.labels", ("NaN",)),
        (lesion(*range(1, 43)), "input.instances", ("lesion numbers", "binarise")),
        (lesion(*range(106, 200)), "input.labels", ("unknown label 106", "looks like an image, not a mask")),
    ],
)
def test_20_values_that_are_no_classes(tmp_path: Path, mask: np.ndarray, code: str, words: tuple[str, ...]) -> None:
    a_study(tmp_path, "BraTS-MET-00001-000", mask)
    with pytest.raises(InputError) as caught:
        find_cases(tmp_path, labels="brats-met-2023")[0].load()
    assert caught.value.code == code
    assert not [word for word in ("seg.nii.gz", *words) if word not in str(caught.value)], str(caught.value)


def test_20_the_declared_scheme_decides(tmp_path: Path) -> None:
    a_study(tmp_path, "BraTS-GLI-00001-000", lesion(1, 2, 4))
    options = {"labels": "brats-gli-2023", "file_labels": "brats-gli-2021"}
    labels = find_cases(tmp_path, **options)[0].load().labels
    assert labels is not None
    assert labels.data.reshape(-1)[:4].tolist() == [1, 2, 3, 0]


def test_23_a_missing_sequence_is_named(tmp_path: Path, run_metseg: Run) -> None:
    a_study(tmp_path, "BraTS-MET-00001-000", lesion(1))
    a_study(tmp_path, "BraTS-MET-00002-000", lesion(1))
    (tmp_path / "BraTS-MET-00002-000" / "BraTS-MET-00002-000-t2f.nii.gz").unlink()
    one, two = find_cases(tmp_path, modalities=("t1c", "t2f"))
    assert one.load().modalities == ("t1c", "t2f")
    with pytest.raises(InputError, match="lacks t2f") as caught:
        two.load()
    assert caught.value.code == "input.missing_sequence"
    status, out, _ = run_metseg("inspect", tmp_path)
    assert status == 0
    assert "missing sequence: 1 study: BraTS-MET-00002-000 (t2f)" in out


def test_inspect_names_every_bad_file_and_goes_on(tmp_path: Path, run_metseg: Run) -> None:
    root = tmp_path / "data"
    for number in range(1, 6):
        a_study(root, f"BraTS-MET-0000{number}-000", lesion(*[1] * number))
    bad = {n: root / f"BraTS-MET-0000{n}-000" / f"BraTS-MET-0000{n}-000-t1c.nii.gz" for n in (1, 2, 3)}
    bad[1].write_bytes(bad[1].read_bytes()[:-20])
    bad[2].write_bytes(bad[2].read_bytes() + b"junk")
    save(bad[3], np.full(SHAPE, np.nan, dtype=np.float32))
    save(root / "BraTS-MET-00004-000" / "BraTS-MET-00004-000-seg.nii.gz", lesion(1)[:-1])
    status, out, err = run_metseg("inspect", root, "--json")
    assert (status, err) == (0, "")
    document = json.loads(out)
    assert (document["cases"], document["masks"], document["lesions"]) == (5, 4, 4)
    codes = [[problem["code"] for problem in line["problems"]] for line in document["case_lines"]]
    assert codes == [
        ["input.truncated"],
        ["input.trailing_data"],
        ["input.not_finite"],
        ["input.shape_mismatch"],
        [],
    ]
    assert str(root) not in json.dumps(document["case_lines"])
    status, out, _ = run_metseg("inspect", root)
    assert status == 0
    assert "wrong: BraTS-MET-00001-000/BraTS-MET-00001-000-t1c.nii.gz: the file is truncated" in out


def test_inspect_refuses_what_is_no_data_set(tmp_path: Path, run_metseg: Run) -> None:
    for name in ("one", "two"):
        save(tmp_path / f"{name}.nii.gz", np.zeros(SHAPE, dtype=np.int16))
    status, _, err = run_metseg("inspect", tmp_path)
    assert status == 3
    assert err.count("\n") == 1
    assert "not recognised from the file names" in err

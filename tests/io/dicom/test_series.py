"""Reading one series: values, order, place, and every way in which they may be stored."""

from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSNearLossless,
    RLELossless,
)

from metseg.errors import InputError
from metseg.io.dicom import find_studies, read_series

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def affine_of(image: sitk.Image) -> np.ndarray:
    """Return SimpleITK's geometry as a voxel-to-RAS matrix."""
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return LPS @ affine


def read_by_simpleitk(folder: Path) -> sitk.Image:
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    return sitk.ReadImage(list(names))


@pytest.mark.parametrize("orientation", ["AXIAL", "OBLIQUE"])
def test_equal_to_an_independent_reader(scanner: SimpleNamespace, tmp_path: Path, orientation: str) -> None:
    stored = scanner.pixels(6)
    scanner.write(tmp_path / "a", scanner.slices(stored, orientation=getattr(scanner, orientation)))
    image = read_series(tmp_path / "a")
    theirs = read_by_simpleitk(tmp_path / "a")
    np.testing.assert_array_equal(image.volume.data.T, sitk.GetArrayFromImage(theirs))
    np.testing.assert_allclose(image.volume.affine, affine_of(theirs), atol=1e-6)
    assert image.volume.data.dtype == np.uint16
    assert image.volume.shape == (scanner.COLUMNS, scanner.ROWS, 6)
    np.testing.assert_array_equal(image.volume.data[:, :, 2].T, stored[2])
    assert image.warnings == ()


def test_order_and_names_of_files_change_nothing(scanner: SimpleNamespace, tmp_path: Path) -> None:
    objects = scanner.slices(scanner.pixels(6), orientation=scanner.OBLIQUE)
    paths = scanner.write(tmp_path / "a", objects)
    first = read_series(tmp_path / "a")
    scanner.write(tmp_path / "b" / "deep", objects[::-1], seed=5, ending=".jpg")
    for again in (read_series(tmp_path / "b"), read_series(paths), read_series(paths[::-1]), read_series(paths * 2)):
        np.testing.assert_array_equal(again.volume.data, first.volume.data)
        np.testing.assert_array_equal(again.volume.affine, first.volume.affine)


def test_instance_numbers_and_negative_steps_do_not_count(scanner: SimpleNamespace, tmp_path: Path) -> None:
    stored = scanner.pixels(4)
    scanner.write(tmp_path, scanner.slices(stored, places=[9.0, 6.0, 3.0, 0.0]))
    volume = read_series(tmp_path).volume
    np.testing.assert_array_equal(volume.data.T, stored[::-1])
    np.testing.assert_allclose(volume.affine[:3, 3], [10, 20, 30])


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [("1", "0", np.uint16), ("1", "-1024", np.int32), ("2", "0", np.int32), ("0.5", "3", np.float32)],
)
def test_rescaling(
    scanner: SimpleNamespace, tmp_path: Path, slope: str, intercept: str, dtype: type[np.generic]
) -> None:
    stored = scanner.pixels(3)
    scanner.write(tmp_path, scanner.slices(stored, RescaleSlope=slope, RescaleIntercept=intercept))
    data = read_series(tmp_path).volume.data
    assert data.dtype == dtype
    np.testing.assert_array_equal(data.T, stored * float(slope) + float(intercept))


def test_rescaling_of_twelve_bits_stays_in_sixteen(scanner: SimpleNamespace, tmp_path: Path) -> None:
    stored = scanner.pixels(3)
    scanner.write(tmp_path, scanner.slices(stored, RescaleSlope="2", RescaleIntercept="-5", BitsStored=12, HighBit=11))
    data = read_series(tmp_path).volume.data
    assert data.dtype == np.int16
    np.testing.assert_array_equal(data.T, stored.astype(int) * 2 - 5)


def test_each_slice_has_a_scale_of_its_own(scanner: SimpleNamespace, tmp_path: Path) -> None:
    stored = scanner.pixels(3)
    objects = scanner.slices(stored, RescaleIntercept="0", RescaleSlope="1")
    for number, item in enumerate(objects):
        item.RescaleSlope = str(number + 0.25)
    scanner.write(tmp_path, objects)
    expected = stored * np.array([0.25, 1.25, 2.25])[:, None, None]
    np.testing.assert_allclose(read_series(tmp_path).volume.data.T, expected, rtol=1e-6)


@pytest.mark.parametrize(("slope", "intercept"), [("0", "0"), ("1e400", "0"), ("2", None)])
def test_rescaling_that_makes_no_sense(
    scanner: SimpleNamespace, tmp_path: Path, slope: str, intercept: str | None
) -> None:
    objects = scanner.slices(scanner.pixels(3))
    for item in objects:
        item.add_new("RescaleSlope", "DS", slope)
        if intercept is not None:
            item.add_new("RescaleIntercept", "DS", intercept)
    scanner.write(tmp_path, objects)
    with pytest.raises(InputError) as caught:
        read_series(tmp_path)
    assert caught.value.code == "input.rescale"


def test_signed_values(scanner: SimpleNamespace, tmp_path: Path) -> None:
    stored = (scanner.pixels(3).astype(int) - 2000).astype(np.int16)
    scanner.write(tmp_path, scanner.slices(stored))
    data = read_series(tmp_path).volume.data
    assert data.dtype == np.int16
    np.testing.assert_array_equal(data.T, stored)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEG2000Lossless])
def test_transfer_syntaxes(scanner: SimpleNamespace, tmp_path: Path, syntax: str) -> None:
    stored = scanner.pixels(2, size=(40, 33))  # JPEG 2000 does not take very small pictures
    objects = scanner.slices(stored)
    for item in objects:
        if syntax in (RLELossless, JPEG2000Lossless):
            item.compress(syntax, generate_instance_uid=False)
        else:
            item.file_meta.TransferSyntaxUID = syntax
            if syntax == ExplicitVRBigEndian:
                item["PixelData"].VR = "OW"
                item.PixelData = np.frombuffer(item.PixelData, "<u2").astype(">u2").tobytes()
                item.set_original_encoding(False, False)
    scanner.write(tmp_path, objects)
    data = read_series(tmp_path).volume.data
    np.testing.assert_array_equal(data.T, stored)
    assert data.dtype.isnative


def test_enhanced_multi_frame(scanner: SimpleNamespace, tmp_path: Path) -> None:
    stored = scanner.pixels(5)
    scanner.write(tmp_path, [scanner.enhanced(stored, order=[3, 0, 4, 1, 2], orientation=scanner.OBLIQUE)])
    image = read_series(tmp_path)
    for z in range(5):  # every frame has its own slope z + 1 and intercept -z
        np.testing.assert_array_equal(image.volume.data[:, :, z].T, stored[z].astype(int) * (z + 1) - z)
    scanner.write(tmp_path / "classic", scanner.slices(stored, orientation=scanner.OBLIQUE))
    np.testing.assert_allclose(image.volume.affine, read_series(tmp_path / "classic").volume.affine, atol=1e-9)


def test_frames_that_are_not_described_are_refused(scanner: SimpleNamespace, tmp_path: Path) -> None:
    whole = scanner.enhanced(scanner.pixels(5))
    del whole.PerFrameFunctionalGroupsSequence[2]
    scanner.write(tmp_path, [whole])
    with pytest.raises(InputError, match="wrong number of frame descriptions"):
        read_series(tmp_path)


def test_a_single_slice_is_read_with_a_warning(scanner: SimpleNamespace, tmp_path: Path) -> None:
    scanner.write(tmp_path, scanner.slices(scanner.pixels(1), step=4.0))
    image = read_series(tmp_path)
    assert image.volume.spacing_mm == pytest.approx((0.4, 0.5, 4.0))
    assert image.warnings == ("series 1: it has only one slice.",)


@pytest.mark.parametrize(
    "name",
    [
        "MR_small_RLE.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_expb.dcm",
        "MR_small_implicit.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_padded.dcm",
    ],
)
def test_files_that_pydicom_ships_hold_the_same_picture(name: str) -> None:
    plain = read_series(SHIPPED / "MR_small.dcm").volume
    theirs = sitk.ReadImage(str(SHIPPED / "MR_small.dcm"))
    np.testing.assert_array_equal(plain.data.T, sitk.GetArrayFromImage(theirs))
    other = read_series(SHIPPED / name).volume
    np.testing.assert_array_equal(other.data, plain.data)
    np.testing.assert_array_equal(other.affine, plain.affine)


def compressed_by_itk(stored: np.ndarray, folder: Path) -> bytes:
    """Return one picture as a JPEG Lossless stream (process 14, selection value 1), made by SimpleITK."""
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetFileName(str(folder / "one.dcm"))
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG")
    writer.Execute(sitk.GetImageFromArray(stored))
    made = pydicom.dcmread(folder / "one.dcm")
    assert made.file_meta.TransferSyntaxUID == JPEGLosslessSV1
    return next(generate_frames(made.PixelData, number_of_frames=1))


def compressed(item: pydicom.Dataset, streams: list[bytes], syntax: str) -> pydicom.Dataset:
    item.file_meta.TransferSyntaxUID = syntax
    item.PixelData = encapsulate(streams)
    item["PixelData"].VR = "OB"
    item["PixelData"].is_undefined_length = True
    return item


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
@pytest.mark.parametrize("syntax", [JPEGLosslessSV1, JPEGLossless])  # the first is a special case of the second
def test_jpeg_lossless(scanner: SimpleNamespace, tmp_path: Path, syntax: str, dtype: type[np.generic]) -> None:
    limits = np.iinfo(dtype)
    stored = np.random.default_rng(0).integers(limits.min, limits.max, (3, 40, 33), dtype=dtype, endpoint=True)
    objects = scanner.slices(stored, RescaleSlope="2", RescaleIntercept="-7")
    for item, picture in zip(objects, stored, strict=True):
        compressed(item, [compressed_by_itk(picture, tmp_path)], syntax)
    scanner.write(tmp_path / "a", objects)
    image = read_series(tmp_path / "a")
    np.testing.assert_array_equal(image.volume.data.T, stored.astype(int) * 2 - 7)
    np.testing.assert_array_equal(image.volume.data.T, sitk.GetArrayFromImage(read_by_simpleitk(tmp_path / "a")))
    assert image.warnings == ()


def compressed_by_predictor(stored: np.ndarray, selection: int) -> bytes:
    """Return one picture of 16 bits as a JPEG Lossless stream (process 14) with selection value 1 to 7.

    Written by ITU-T T.81, annex H; every difference class 0 to 16 has a code of five bits.
    """
    rows, columns = stored.shape
    value = stored.astype(np.int64)
    a, b, c = np.zeros_like(value), np.zeros_like(value), np.zeros_like(value)
    a[:, 1:], b[1:], c[1:, 1:] = value[:, :-1], value[:-1], value[:-1, :-1]
    of_selection = {1: a, 2: b, 3: c, 4: a + b - c, 5: a + ((b - c) >> 1), 6: b + ((a - c) >> 1), 7: (a + b) >> 1}
    predicted = of_selection[selection].copy()
    predicted[0], predicted[:, 0] = (
        a[0],
        b[:, 0],
    )  # first row from the left, first column from above
    predicted[0, 0] = 1 << 15
    bits = []
    for step in ((value - predicted + (1 << 15)) % (1 << 16) - (1 << 15)).ravel().tolist():
        size = 16 if step == -(1 << 15) else abs(step).bit_length()
        bits.append(f"{size:05b}")
        if 0 < size < 16:
            bits.append(f"{step if step > 0 else step + (1 << size) - 1:0{size}b}")
    text = "".join(bits)
    text += "1" * (-len(text) % 8)
    scan = int(text, 2).to_bytes(len(text) // 8, "big").replace(b"\xff", b"\xff\x00")
    frame = struct.pack(">HHBHHBBBB", 0xFFC3, 11, 16, rows, columns, 1, 1, 0x11, 0)
    table = struct.pack(">HHB", 0xFFC4, 2 + 1 + 16 + 17, 0) + bytes([0, 0, 0, 0, 17, *[0] * 11, *range(17)])
    start = struct.pack(">HHBBBBBB", 0xFFDA, 8, 1, 1, 0, selection, 0, 0)
    return b"\xff\xd8" + frame + table + start + scan + b"\xff\xd9"


@pytest.mark.parametrize("selection", range(1, 8))
def test_jpeg_lossless_of_every_predictor(scanner: SimpleNamespace, tmp_path: Path, selection: int) -> None:
    rng = np.random.default_rng(selection)
    stored = np.cumsum(rng.integers(0, 90, (2, 20, 17)), axis=1).astype(np.uint16)
    stored[:, 8:12, 5:9] = rng.integers(0, 65535, (2, 4, 4), endpoint=True)
    objects = scanner.slices(stored)
    for item, picture in zip(objects, stored, strict=True):
        compressed(item, [compressed_by_predictor(picture, selection)], JPEGLossless)
    scanner.write(tmp_path / "a", objects)
    image = read_series(tmp_path / "a")
    np.testing.assert_array_equal(image.volume.data.T, stored)
    np.testing.assert_array_equal(image.volume.data.T, sitk.GetArrayFromImage(read_by_simpleitk(tmp_path / "a")))


def test_jpeg_lossless_of_several_frames(scanner: SimpleNamespace, tmp_path: Path) -> None:
    stored = scanner.pixels(3, size=(40, 33))
    plain = scanner.enhanced(stored, order=[2, 0, 1])
    scanner.write(tmp_path / "plain", [plain])
    streams = [compressed_by_itk(stored[number], tmp_path) for number in (2, 0, 1)]
    scanner.write(tmp_path / "a", [compressed(scanner.enhanced(stored, order=[2, 0, 1]), streams, JPEGLosslessSV1)])
    image = read_series(tmp_path / "a")
    np.testing.assert_array_equal(image.volume.data, read_series(tmp_path / "plain").volume.data)
    scanner.write(tmp_path / "b", [compressed(scanner.enhanced(stored), streams[:2], JPEGLosslessSV1)])
    with pytest.raises(InputError) as caught:
        read_series(tmp_path / "b")
    assert caught.value.code == "input.truncated"


@pytest.mark.parametrize("name", ["JPEGLSNearLossless_08.dcm", "JPEGLSNearLossless_16.dcm"])
def test_jpeg_ls_with_loss_equals_simpleitk(scanner: SimpleNamespace, tmp_path: Path, name: str) -> None:
    shipped = pydicom.dcmread(SHIPPED / name)
    stream = next(generate_frames(shipped.PixelData, number_of_frames=1))
    kind = np.dtype(f"u{shipped.BitsAllocated // 8}")
    objects = scanner.slices(np.zeros((2, shipped.Rows, shipped.Columns), kind))
    scanner.write(tmp_path, [compressed(item, [stream], JPEGLSNearLossless) for item in objects])
    image = read_series(tmp_path)
    theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(SHIPPED / name))).squeeze()
    for z in range(2):
        np.testing.assert_array_equal(image.volume.data[:, :, z].T, theirs)
    assert len(np.unique(theirs)) > 2
    assert image.warnings == ("series 1: it was compressed lossily.",)


@pytest.mark.parametrize("wrong", ["rows", "kind", "no picture", "cut"])
def test_jpeg_that_is_not_what_the_header_says_is_refused_before_it_is_decoded(
    scanner: SimpleNamespace, tmp_path: Path, wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = compressed_by_itk(scanner.pixels(1, size=(40, 33))[0], tmp_path)
    objects = scanner.slices(scanner.pixels(1, size=(41 if wrong == "rows" else 40, 33)))
    if wrong != "cut":

        def decoded(*_: object) -> np.ndarray:
            raise AssertionError("something was decoded")

        monkeypatch.setattr("metseg.io.dicom.pixel_decoding.decode_jpeg", decoded)
    streams = {"no picture": stream[2:], "cut": stream[:60]}
    syntax = JPEGLSNearLossless if wrong == "kind" else JPEGLosslessSV1
    scanner.write(tmp_path / "a", [compressed(objects[0], [streams.get(wrong, stream)], syntax)])
    with pytest.raises(InputError) as caught:
        read_series(tmp_path / "a")
    assert caught.value.code == "input.truncated"


@pytest.mark.parametrize("packing", ["plain", "JPEG 2000", "RLE", "JPEG Lossless"])
@pytest.mark.parametrize("signed", [False, True])
def test_an_overlay_in_unused_bits_is_no_part_of_the_values(
    scanner: SimpleNamespace, tmp_path: Path, packing: str, signed: bool
) -> None:
    """Values of 12 bits, of which some are negative where they may be; bit 15 has the letters of an overlay."""
    values = np.random.default_rng(0).integers(-900 if signed else 0, 900, (2, 40, 33))
    stored = (values & 0x0FFF).astype(np.uint16)
    stored[:, 5:9, 5:20] |= 0x8000
    objects = scanner.slices(stored)
    for item, picture in zip(objects, stored, strict=True):
        if packing in ("JPEG 2000", "RLE"):
            item.compress(JPEG2000Lossless if packing == "JPEG 2000" else RLELossless, generate_instance_uid=False)
        elif packing == "JPEG Lossless":
            compressed(item, [compressed_by_itk(picture, tmp_path)], JPEGLosslessSV1)
        item.BitsStored, item.HighBit, item.PixelRepresentation = 12, 11, int(signed)
    scanner.write(tmp_path / "a", objects)
    image = read_series(tmp_path / "a")
    np.testing.assert_array_equal(image.volume.data.T, values)
    if packing != "JPEG Lossless":  # the decoder has left the bits out already
        assert any("more than the 12 bits of the values in 2 pictures" in warning for warning in image.warnings)


def test_signs_that_are_repeated_in_unused_bits_are_no_overlay(scanner: SimpleNamespace, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-900, 900, (2, 7, 5)).astype(np.int16)
    scanner.write(tmp_path, scanner.slices(values, BitsStored=12, HighBit=11))
    image = read_series(tmp_path)
    np.testing.assert_array_equal(image.volume.data.T, values)
    assert image.warnings == ()


def test_values_that_end_at_a_higher_bit(scanner: SimpleNamespace, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (2, 7, 5)).astype(np.uint16)
    scanner.write(tmp_path / "a", scanner.slices(values << 4, BitsStored=12, HighBit=15))
    np.testing.assert_array_equal(read_series(tmp_path / "a").volume.data.T, values)
    scanner.write(tmp_path / "b", scanner.slices(values, BitsStored=12, HighBit=15))
    with pytest.raises(InputError, match="bits outside the range"):
        read_series(tmp_path / "b")


def in_stacks(scanner: SimpleNamespace, stored: np.ndarray, sizes: list[int], **options: object) -> pydicom.Dataset:
    """Return an enhanced object whose frames belong to stacks of these sizes, one after the other."""
    whole = scanner.enhanced(stored, **options)
    stacks = [number for number, size in enumerate(sizes, start=1) for _ in range(size)]
    for group, stack in zip(whole.PerFrameFunctionalGroupsSequence, stacks, strict=True):
        content = pydicom.Dataset()
        content.StackID = str(stack)
        group.FrameContentSequence = [content]
    return whole


def test_stacks_that_lie_behind_one_another_are_one_image(scanner: SimpleNamespace, tmp_path: Path) -> None:
    stored = scanner.pixels(9)
    scanner.write(tmp_path / "stacks", [in_stacks(scanner, stored, [3, 3, 3])])
    scanner.write(tmp_path / "one", [scanner.enhanced(stored)])
    image, plain = read_series(tmp_path / "stacks"), read_series(tmp_path / "one")
    assert image.volume.shape[2] == 9
    np.testing.assert_array_equal(image.volume.data, plain.volume.data)
    np.testing.assert_array_equal(image.volume.affine, plain.volume.affine)


def test_stacks_with_a_gap_between_them_are_refused(scanner: SimpleNamespace, tmp_path: Path) -> None:
    places = [0.0, 3.0, 6.0, 24.0, 27.0, 30.0]
    scanner.write(tmp_path, [in_stacks(scanner, scanner.pixels(6), [3, 3], places=places)])
    with pytest.raises(InputError) as caught:
        read_series(tmp_path)
    assert caught.value.code == "input.missing_slices"


def test_stacks_that_are_tilted_against_one_another_are_refused(scanner: SimpleNamespace, tmp_path: Path) -> None:
    """Three slabs of a head, each tilted by 20 degrees and turned by 10 against the first: each shows a third."""
    objects = scanner.slices(scanner.pixels(4)) + scanner.slices(scanner.pixels(3), orientation=scanner.OBLIQUE)
    scanner.write(tmp_path, objects)
    (source,) = find_studies(tmp_path, overrides={"t1c": "1.1"})
    with pytest.raises(InputError, match="tilted relative to each other") as caught:
        source.load()
    assert caught.value.code == "input.geometry"


def test_planes_of_a_localiser_stay_stacks_of_their_own(scanner: SimpleNamespace, tmp_path: Path) -> None:
    sagittal = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
    objects = scanner.slices(scanner.pixels(4)) + scanner.slices(scanner.pixels(3), orientation=sagittal)
    scanner.write(tmp_path, objects)
    (source,) = find_studies(tmp_path, overrides={"t1c": "1.1"})
    assert source.load().images["t1c"].shape[2] == 4


@pytest.mark.parametrize("evidence", ["numbers", "spacing", "thickness"])
def test_every_second_slice_missing_is_told(scanner: SimpleNamespace, tmp_path: Path, evidence: str) -> None:
    objects = scanner.slices(scanner.pixels(10))[::2]
    for number, item in enumerate(objects, start=1):
        if evidence != "numbers":
            item.InstanceNumber = number
        if evidence == "spacing":
            item.SpacingBetweenSlices = 3.0
        if evidence != "thickness":
            item.SliceThickness = 6.0
    scanner.write(tmp_path, objects)
    (warning,) = read_series(tmp_path).warnings
    assert "one in 2" in warning


def test_numbers_that_echoes_take_in_turn_miss_nothing(scanner: SimpleNamespace, tmp_path: Path) -> None:
    first, second = (scanner.slices(scanner.pixels(5, seed), series="a", EchoTime=10.0 * seed) for seed in (1, 2))
    for number, (one, two) in enumerate(zip(first, second, strict=True)):
        one.InstanceNumber, two.InstanceNumber = 2 * number + 1, 2 * number + 2
        two.SOPInstanceUID = two.file_meta.MediaStorageSOPInstanceUID = scanner.uid("second", number)
    scanner.write(tmp_path, [*first, *second])
    (source,) = find_studies(tmp_path, overrides={"t1c": "1.1"})
    assert not any("one in 2" in warning for warning in source.load().warnings)

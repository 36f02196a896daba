"""Bad DICOM input, numbers 24 to 33 of the list of bad inputs: what is refused, with which code, what is not said."""

from __future__ import annotations

import io
import runpy
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import JPEG2000Lossless, MediaStorageDirectoryStorage, RLELossless

from metseg.errors import InputError
from metseg.io.dicom import find_studies, read_series
from metseg.io.dicom.dicom_files import DicomLocation
from metseg.io.dicom.elements import read_file_meta
from metseg.io.dicom.instance_reader import read_instance

scanner = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "io" / "dicom" / "scanner.py")))
SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"

#: What no message may hold: patient, dates, UIDs, and names of files, which are made from the patient's name here.
SECRETS = ("4711", "SECRET", "Mustermann", "Erika", "1950", "2024", "2.25.", "1.2.", "/")


def refused(root: object, code: str, **options: object) -> InputError:
    """Check that reading fails with a code, in one line that names nobody, and that nothing else is raised from it."""
    with pytest.raises(InputError) as caught:
        read_series(root, **options)  # type: ignore[arg-type]
    error = caught.value
    assert error.code == code, str(error)
    assert error.exit_status == 3
    assert "\n" not in str(error)
    assert error.where is not None
    assert not [secret for secret in SECRETS if secret in str(error)], str(error)
    return error


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "Mustermann"


def write(folder: Path, objects: list[pydicom.Dataset], seed: int = 0) -> list[Path]:
    return scanner.write(folder, objects, seed=seed)


# 24. Mixed patients, studies or frames of reference in one series


@pytest.mark.parametrize(
    ("keyword", "value", "got"),
    [
        ("PatientID", "0815", "2 patients in 1 studies"),
        ("StudyInstanceUID", "2.25.77", "1 patients in 2 studies"),
        ("FrameOfReferenceUID", "2.25.78", "2 frames of reference"),
    ],
)
def test_24_mixed(folder: Path, keyword: str, value: str, got: str) -> None:
    objects = scanner.slices(scanner.pixels(5), SeriesDescription="T1")
    setattr(objects[2], keyword, value)
    write(folder, objects)
    error = refused(folder, "input.mixed_series")
    assert error.got == got
    assert "0815" not in str(error)
    with pytest.raises(InputError) as caught:
        find_studies(folder)[0].load()
    assert caught.value.code == "input.mixed_series"


def test_24_two_series(folder: Path) -> None:
    write(folder, scanner.slices(scanner.pixels(4), series=1) + scanner.slices(scanner.pixels(4), series=2))
    assert refused(folder, "input.several_series").got == "2 series"


def test_24_two_patients_in_one_study(folder: Path) -> None:
    objects = scanner.slices(scanner.pixels(3), series=1)
    objects += scanner.slices(scanner.pixels(3), series=2, PatientID="0815")
    write(folder, objects)
    refused(folder, "input.mixed_series")


# 25. Missing or uneven slices


def test_25_missing_slices(folder: Path) -> None:
    stored = scanner.pixels(6)
    objects = scanner.slices(stored, SeriesDescription="T1")
    del objects[2]
    write(folder, objects)
    error = refused(folder, "input.missing_slices")
    assert error.got == "5 of 6"
    image = read_series(folder, allow_gaps=True)
    assert image.warnings == (
        "series 1: 1 of 6 slices are missing and were interpolated linearly between their neighbours,"
        " as gaps were allowed.",
    )
    expected = stored.copy()
    expected[2] = np.round((stored[1].astype(float) + stored[3]) / 2)
    np.testing.assert_array_equal(image.volume.data.T, expected)
    assert image.volume.data.dtype == stored.dtype
    case = find_studies(folder, allow_gaps=True)[0].load()
    assert image.warnings[0] in case.warnings


@pytest.mark.parametrize(("stated_share", "told"), [(1.0, "one in 2 may be all"), (2.0, None), (0.77, None)])
def test_25_every_second_slice_missing_is_told_by_the_header(
    folder: Path, stated_share: float, told: str | None
) -> None:
    """Even gaps look like thick slices: what the header says of the distance is all that tells them apart."""
    objects = scanner.slices(scanner.pixels(6), SeriesDescription="T1")
    step = float(objects[0].SliceThickness)
    for each in objects:
        each.SpacingBetweenSlices = round(stated_share * step, 4)
    write(folder, objects[::2])
    warnings = read_series(folder).warnings
    assert (warnings == ()) if told is None else (told in warnings[0])


def test_25_uneven_slices(folder: Path) -> None:
    stored = scanner.pixels(4)
    write(folder, scanner.slices(stored, places=[0.0, 3.0, 6.9, 9.0]))
    assert refused(folder, "input.uneven_slices").got == "distances of 2.10 to 3.90 mm"
    image = read_series(folder, allow_gaps=True)
    assert "4 slices at uneven distances of 2.10 to 3.90 mm were made into 5 slices every 2.25 mm" in image.warnings[0]
    assert image.volume.spacing_mm == pytest.approx((0.4, 0.5, 2.25))
    data, plain = image.volume.data.T.astype(float), stored.astype(float)
    np.testing.assert_array_equal(data[[0, 4]], stored[[0, 3]])
    np.testing.assert_allclose(data[1], plain[0] * 0.25 + plain[1] * 0.75, atol=0.51)  # at 2.25 of 0 and 3
    np.testing.assert_allclose(data[2], (plain[1] * 2.4 + plain[2] * 1.5) / 3.9, atol=0.51)  # at 4.5 of 3 and 6.9


# 26. Duplicate slice position


def test_26_identical_pictures_at_one_place(folder: Path) -> None:
    stored = scanner.pixels(4)
    write(folder, scanner.slices(stored))
    write(folder, scanner.slices(stored)[1:3], seed=9)
    image = read_series(folder)
    np.testing.assert_array_equal(image.volume.data.T, stored)
    assert image.warnings == ("series 1: 2 pictures stored twice; one copy of each was kept.",)


def test_26_different_pictures_at_one_place(folder: Path) -> None:
    stored = scanner.pixels(4)
    write(folder, scanner.slices(stored))
    stored[1, 3, 2] += 1
    write(folder, scanner.slices(stored)[1:2], seed=9)
    assert refused(folder, "input.duplicate_slice").got == "5 images for 4 slices"
    refused(folder, "input.duplicate_slice", allow_gaps=True)


# 27. Deflated transfer syntax


def test_27_deflated_is_refused_from_the_file_meta_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    content = (SHIPPED / "image_dfl.dcm").read_bytes()
    end_of_meta = 144 + struct.unpack_from("<I", content, 140)[0]
    (folder / "bomb").write_bytes(content[:end_of_meta] + zlib.compress(bytes(50_000_000))[2:])

    def inflate(*_: object, **__: object) -> bytes:
        raise AssertionError("something was inflated")

    monkeypatch.setattr(zlib, "decompress", inflate)
    monkeypatch.setattr(zlib, "decompressobj", inflate)
    refused(folder, "input.transfer_syntax")


# 51. DICM and zeros


class CountedStream(io.BytesIO):
    """Counts how often it is read from."""

    reads = 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        return super().read(size)


def with_zeros(place: str) -> bytes:
    """Return a small MR object with a megabyte of zeros in a place; without them the object can be read."""
    good, zeros = (SHIPPED / "MR_small.dcm").read_bytes(), bytes(2**20)
    at = good.index(b"\x08\x00\x08\x00CS")  # the first element behind the file meta
    size = b"(\x00\x10\x00US\x02\x00\x07\x00(\x00\x11\x00US\x02\x00\x07\x00"  # rows and columns
    return {
        "alone": bytes(128) + b"DICM" + zeros,
        "behind the meta": good[:at] + zeros,
        "in the header": good[: at + 60] + zeros,
        "in a sequence": good[:at] + size + b"\x00\x52\x30\x92SQ\x00\x00" + b"\xff" * 4 + zeros,
        "in a sequence of stated length": good[:at] + size + b"\x00\x52\x30\x92SQ\x00\x00\x00\x00\x10\x00" + zeros,
        "elements without end": good[:at] + size + b"\x09\x00\x01\x10UN\x00\x00\x00\x00\x00\x00" * 87_000,
    }[place]


@pytest.mark.parametrize(
    "place",
    [
        "alone",
        "behind the meta",
        "in the header",
        "in a sequence",
        "in a sequence of stated length",
        "elements without end",
    ],
)
def test_51_zeros_are_not_read_as_elements_one_by_one(folder: Path, place: str) -> None:
    content = with_zeros(place)
    stream = CountedStream(content)
    with pytest.raises(InputError) as caught:
        read_instance(stream, DicomLocation(folder), read_file_meta(stream))
    assert caught.value.code == "input.truncated"
    assert stream.reads < (70_000 if place == "elements without end" else 1000)  # the zeros are 131,072 elements
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(content)
    refused(folder, "input.truncated")
    with zipfile.ZipFile(folder.parent / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", content)
    refused(folder.parent / "b.zip", "input.truncated")


def test_51_zeros_behind_the_pixels_are_padding(folder: Path) -> None:
    good = (SHIPPED / "MR_small.dcm").read_bytes()
    folder.mkdir(parents=True)
    (folder / "a").write_bytes(good + bytes(2**20))
    plain = read_series(SHIPPED / "MR_small.dcm").volume.data
    np.testing.assert_array_equal(read_series(folder).volume.data, plain)


# 28. Compressed pixel data


def test_28_decoders_that_are_not_there(folder: Path) -> None:
    item = pydicom.dcmread(SHIPPED / "MR_small_jpeg_ls_lossless.dcm")
    item.file_meta.TransferSyntaxUID = pydicom.uid.JPEGExtended12Bit
    write(folder, [item])
    error = refused(folder, "input.transfer_syntax")
    assert error.got == "JPEG Extended (Process 2 and 4)"
    assert error.expected == "uncompressed, RLE, JPEG 2000, JPEG Lossless, JPEG-LS"


def test_28_sizes_are_capped_before_anything_is_decoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import metseg.io.dicom.instance_reader as instances
    import metseg.io.dicom.pixel_decoding as decode

    def decoded(*_: object, **__: object) -> np.ndarray:
        raise AssertionError("something was decoded")

    monkeypatch.setattr(decode, "pixel_array", decoded)
    monkeypatch.setattr(decode, "read_whole", decoded)
    objects = scanner.slices(scanner.pixels(2))
    for item in objects:
        item.Rows, item.Columns = 60000, 60000
    write(folder / "a", objects)
    refused(folder / "a", "input.too_large")
    whole = scanner.enhanced(scanner.pixels(3))
    whole.Rows, whole.Columns = 4096, 4096
    monkeypatch.setattr(instances, "MAX_OBJECT_BYTES", 2 * 4096**2 * 2)
    write(folder / "b", [whole])
    refused(folder / "b", "input.too_large")
    monkeypatch.setattr(decode, "MAX_SERIES_BYTES", 100)
    write(folder / "c", scanner.slices(scanner.pixels(2)))
    refused(folder / "c", "input.too_large")


@pytest.mark.parametrize(("syntax", "rows"), [(JPEG2000Lossless, 32), (JPEG2000Lossless, 128), (RLELossless, 128)])
def test_28_a_compressed_picture_of_another_size(folder: Path, syntax: str, rows: int) -> None:
    objects = scanner.slices(scanner.pixels(2, size=(64, 48)))
    for item in objects:
        item.compress(syntax, generate_instance_uid=False)
        item.Rows = rows
    write(folder, objects)
    refused(folder, "input.truncated")


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless])
def test_28_a_damaged_compressed_picture_is_named_by_its_file(folder: Path, syntax: str) -> None:
    objects = scanner.slices(scanner.pixels(4, size=(64, 48)))
    for number, item in enumerate(objects):
        item.InstanceNumber = 10 + number
        item.compress(syntax, generate_instance_uid=False)
    bad = objects[2]
    (stream,) = generate_frames(bad.PixelData, number_of_frames=1)
    bad.PixelData = encapsulate([stream[:100]])
    paths = write(folder, objects)
    place = 1 + sorted(paths).index(paths[2])
    error = refused(folder, "input.truncated")
    assert str(error.got).endswith(f": file {place} of 4 in name order, picture number 12")
    with zipfile.ZipFile(folder.parent / "b.zip", "w") as archive:
        for path in paths:
            archive.write(path, path.name)
    error = refused(folder.parent / "b.zip", "input.truncated")
    assert str(error.got).endswith(": file 3 of 4 in name order, picture number 12")


def test_28_colour_is_refused(folder: Path) -> None:
    objects = scanner.slices(scanner.pixels(2))
    for item in objects:
        item.PhotometricInterpretation = "MONOCHROME1"
    write(folder, objects)
    refused(folder, "input.format")


# 29. Not MR, no pixel data, no position or orientation


def test_29_not_mr() -> None:
    refused(SHIPPED / "CT_small.dcm", "input.not_mr")


def test_29_no_pixel_data(folder: Path) -> None:
    objects = scanner.slices(scanner.pixels(3))
    del objects[1].PixelData
    write(folder, objects)
    refused(folder, "input.no_pixels")
    refused(SHIPPED / "rtplan.dcm", "input.no_pixels")


@pytest.mark.parametrize("keyword", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_29_no_place(folder: Path, keyword: str) -> None:
    objects = scanner.slices(scanner.pixels(3))
    for item in objects:
        delattr(item, keyword)
    write(folder, objects)
    refused(folder, "input.no_geometry")


def test_29_positions_that_are_no_numbers(folder: Path) -> None:
    objects = scanner.slices(scanner.pixels(3))
    write(folder, objects)
    content = next(folder.iterdir())
    text = content.read_bytes()
    at = text.index(b"\x20\x00\x32\x00DS") + 8
    length = struct.unpack_from("<H", text, at - 2)[0]
    content.write_bytes(text[:at] + b"Mustermann".ljust(length) + text[at + length :])
    error = refused(folder, "input.no_geometry")
    assert error.got == "1 of 3 without a position"


def test_29_damaged_files(folder: Path) -> None:
    (path,) = write(folder, scanner.slices(scanner.pixels(1)))
    content = path.read_bytes()
    for length in (133, 200, len(content) // 2, len(content) - 20):
        path.write_bytes(content[:length])
        with pytest.raises(InputError) as caught:
            read_series(folder)
        assert caught.value.code in ("input.truncated", "input.no_pixels", "input.no_geometry", "input.transfer_syntax")
        assert not [secret for secret in SECRETS if secret in str(caught.value)]


def test_29_nothing_but_other_files(folder: Path) -> None:
    folder.mkdir()
    (folder / "Mustermann.dcm").write_text("not DICOM at all")
    assert refused(folder, "input.not_dicom").got == "1 other files ignored (1 not DICOM)"
    refused(folder / "absent", "input.missing")


def test_29_equal_positions_of_all_slices_are_called_that(folder: Path) -> None:
    write(folder, scanner.slices(scanner.pixels(5), places=[0.0] * 5))
    error = refused(folder, "input.no_geometry")
    assert error.what == "all slices have the same position"
    assert error.got == "5 slices at one place"


# 30. DICOMDIR: its references are ignored


def test_30_a_dicomdir_leads_nowhere(folder: Path, tmp_path: Path) -> None:
    stored = scanner.pixels(3)
    write(folder, scanner.slices(stored, SeriesDescription="T1"))
    outside = write(tmp_path / "outside", scanner.slices(scanner.pixels(3, 1), series="other", SeriesDescription="T2"))
    directory = scanner.mr_object(stored[0], "directory")
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    record = pydicom.Dataset()
    record.DirectoryRecordType = "IMAGE"
    record.ReferencedFileID = ["..", "outside", outside[0].name]
    directory.DirectoryRecordSequence = [record]
    directory.save_as(folder / "DICOMDIR")
    (source,) = find_studies(folder)
    case = source.load()
    assert case.modalities == ("t1n",)
    assert "1 other files ignored (1 DICOMDIR)." in case.warnings
    assert all(folder in path.parents for path in source.files)


def test_30_the_dicomdir_that_pydicom_ships() -> None:
    refused(SHIPPED / "dicomdirtests" / "DICOMDIR", "input.not_dicom")


# 31. Zip with "..", absolute paths, links


def packed(path: Path, members: list[tuple[zipfile.ZipInfo | str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def one_slice() -> bytes:
    (item,) = scanner.slices(scanner.pixels(1))
    stream = io.BytesIO()
    item.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/tmp/evil", "C:/evil", "C:\\evil", "..\\evil", "\\\\host\\evil", "a/.."]
)
def test_31_names_that_reach_outside(folder: Path, name: str) -> None:
    path = packed(folder / "a.zip", [("good", one_slice()), (name, one_slice())])
    error = refused(path, "input.archive_path")
    assert "evil" not in str(error)
    assert [item.name for item in folder.parent.rglob("*")] == [folder.name, "a.zip"]


def test_31_links(folder: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.create_system = 3
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    refused(packed(folder / "a.zip", [(link, b"/etc/passwd")]), "input.archive_path")


# 32. Nested zip, more than 5,000 members, forged sizes


def test_32_nested_archive(folder: Path) -> None:
    inner = packed(folder / "inner.zip", [("good", one_slice())])
    refused(packed(folder / "a.zip", [("holiday.jpg", inner.read_bytes())]), "input.archive_nested")


def test_32_too_many_members(folder: Path) -> None:
    refused(packed(folder / "a.zip", [(str(number), b"") for number in range(5001)]), "input.too_large")


def forge(path: Path, change: Callable[[bytearray, int], None]) -> Path:
    """Change the central directory's entry of the first member."""
    content = bytearray(path.read_bytes())
    change(content, content.rindex(b"PK\x01\x02"))
    path.write_bytes(bytes(content))
    return path


@pytest.mark.parametrize("size", [500, 100_000_000])
def test_32_forged_sizes(folder: Path, size: int) -> None:
    """The directory says fewer or more bytes than come out; the checksum is that of what comes out."""
    path = packed(folder / "a.zip", [("x", one_slice() + bytes(5_000_000))])
    refused(forge(path, lambda content, at: struct.pack_into("<I", content, at + 24, size)), "input.archive_forged")


def test_32_a_sum_of_sizes_over_the_cap(folder: Path) -> None:
    path = packed(folder / "a.zip", [(str(number), one_slice()) for number in range(3)])
    content = bytearray(path.read_bytes())
    at = -1
    while (at := content.find(b"PK\x01\x02", at + 1)) >= 0:
        struct.pack_into("<I", content, at + 24, 2_000_000_000)
    path.write_bytes(bytes(content))
    refused(path, "input.too_large")


def test_32_a_directory_that_is_too_long(folder: Path) -> None:
    path = packed(folder / "a.zip", [("x", one_slice())])
    content = bytearray(path.read_bytes())
    struct.pack_into("<L", content, content.rindex(b"PK\x05\x06") + 12, 500_000_000)
    path.write_bytes(bytes(content))
    refused(path, "input.too_large")


# 33. Names of files


def test_33_names_are_never_used(folder: Path) -> None:
    names = ["a\r\nb", "x" * 10_000, "same", "same", "nul\0name", "ä/ö"]
    stored = scanner.pixels(len(names))
    members = []
    for name, item in zip(names, scanner.slices(stored), strict=True):
        stream = io.BytesIO()
        item.save_as(stream, enforce_file_format=True)
        members.append((name, stream.getvalue()))
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = packed(folder / "a.zip", members)  # type: ignore[arg-type]
    np.testing.assert_array_equal(read_series(path).volume.data.T, stored)
    assert [item.name for item in folder.iterdir()] == ["a.zip"]

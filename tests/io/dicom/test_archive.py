"""Zip archives: members by number, real bytes counted, nothing unpacked by name."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from metseg.errors import InputError
from metseg.io.dicom import archive as module
from metseg.io.dicom import find_studies, read_series
from metseg.io.dicom.archive import Archive


def test_members_come_back_whole(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(3 * 2**20 + 17)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.mkdir("folder")
        packed.writestr("folder/x", content)
        packed.writestr("y", b"")
    with Archive(tmp_path / "a.zip") as archive:
        assert archive.members == (1, 2)
        assert archive.read(1) == content
        assert archive.head(1, 132) == content[:132]
        assert archive.read(2) == b""


def test_a_series_in_a_zip_equals_the_folder(scanner: SimpleNamespace, tmp_path: Path) -> None:
    paths = scanner.write(tmp_path / "a", scanner.slices(scanner.pixels(5), SeriesDescription="T1"))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for number, path in enumerate(paths):
            # Names that would collide, end a line or reach 10 KB are never used.
            packed.write(path, f"{number}\r\n{'x' * 10_000}")
        packed.writestr("DICOMDIR.txt", "not DICOM")
    packed_image, plain = read_series(tmp_path / "a.zip"), read_series(tmp_path / "a")
    np.testing.assert_array_equal(packed_image.volume.data, plain.volume.data)
    np.testing.assert_array_equal(packed_image.volume.affine, plain.volume.affine)
    (source,) = find_studies(tmp_path / "a.zip")
    assert source.files == (tmp_path / "a.zip",)
    assert source.root == tmp_path
    assert source.load().images["t1n"].shape[2] == 5


def test_archives_in_a_folder(scanner: SimpleNamespace, tmp_path: Path) -> None:
    """A series may lie in several archives and beside them; an archive that is refused is counted."""
    stored = scanner.pixels(6)
    paths = scanner.write(tmp_path / "a", scanner.slices(stored, SeriesDescription="T1"))
    for number in range(2):
        with zipfile.ZipFile(tmp_path / "a" / f"{number}.zip", "w") as packed:
            packed.writestr("notes", b"")
            for path in paths[number:4:2]:
                packed.write(path, path.name)
                path.unlink()
    (tmp_path / "a" / "report.docx").write_bytes(b"PK\x03\x04 and so on")
    with zipfile.ZipFile(tmp_path / "a" / "outside.zip", "w") as packed:
        packed.write(paths[5], "../x")
    (source,) = find_studies(tmp_path / "a")
    np.testing.assert_array_equal(source.load().images["t1n"].data.T, stored)
    assert len(source.files) == 2 + 2
    assert "4 other files ignored (2 not DICOM, 2 zip archives without DICOM, or refused)." in source.notes


def test_more_bytes_than_the_caps_allow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caps hold for what really comes out, whatever the directory says."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("a", bytes(3 * 2**20))
        packed.writestr("b", bytes(3 * 2**20))
    monkeypatch.setattr(module, "MAX_MEMBER_BYTES", 2 * 2**20)
    with Archive(tmp_path / "a.zip") as archive, pytest.raises(InputError) as caught:
        archive.read(0)
    assert caught.value.code == "input.too_large"
    monkeypatch.setattr(module, "MAX_MEMBER_BYTES", 4 * 2**20)
    with Archive(tmp_path / "a.zip") as archive:
        monkeypatch.setattr(module, "MAX_UNPACKED_BYTES", 5 * 2**20)
        archive.read(0)
        with pytest.raises(InputError) as caught:
            archive.read(1)
    assert caught.value.code == "input.too_large"
    with pytest.raises(InputError) as caught:
        Archive(tmp_path / "a.zip")
    assert caught.value.code == "input.too_large"


def test_passwords_and_rare_methods_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_LZMA) as packed:
        packed.writestr("a", b"x")
    with pytest.raises(InputError) as caught:
        Archive(tmp_path / "a.zip")
    assert caught.value.code == "input.archive_damaged"


@pytest.mark.parametrize("damage", ["half", "flipped"])
def test_damaged_archives(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("name of a patient", np.random.default_rng(0).bytes(5000))
    content = bytearray(path.read_bytes())
    if damage == "half":
        content = content[:2000]
    else:
        content[2000] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(InputError) as caught, Archive(path) as archive:
        archive.read(0)
    assert caught.value.code == "input.archive_damaged"
    assert "patient" not in str(caught.value)


def test_inspect_shows_the_series_of_an_archive(
    scanner: SimpleNamespace, tmp_path: Path, run_metseg: Callable[..., tuple[int, str, str]]
) -> None:
    objects = scanner.slices(scanner.pixels(5), SeriesDescription="AX T1 POST", ContrastBolusAgent="GADAVIST")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        for number, path in enumerate(scanner.write(tmp_path / "a", objects)):
            packed.write(path, str(number))
    status, out, err = run_metseg("inspect", tmp_path / "a.zip")
    assert (status, err) == (0, "")
    assert f"data set: {tmp_path / 'a.zip'} (single file)" in out
    assert "sequences: t1c (1)" in out
    assert scanner.PATIENT_ID not in out

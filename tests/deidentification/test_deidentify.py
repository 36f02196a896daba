"""``metseg deidentify``: what stays, what goes, what is set aside."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from metseg.io.dicom import find_studies
from metseg.io.dicom.pseudonyms import KEY_VARIABLE, pseudonym_uid

from .planted import planted


@pytest.fixture(scope="module")
def scanner() -> SimpleNamespace:
    """Return the functions that write MR objects."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "io" / "dicom" / "scanner.py")))


@pytest.fixture(autouse=True)
def _secret_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "a long random text")


@pytest.fixture
def study(scanner: SimpleNamespace, tmp_path: Path) -> Path:
    """Return a study with planted texts, private elements, an overlay and text within sequences."""
    objects = scanner.slices(
        scanner.pixels(4), SeriesDescription="AX T1 MPRAGE Mustermann +C", SeriesNumber=4, **planted()
    )
    for item in objects:
        item.add_new(0x00091001, "LO", "Q900ZWX")
        item.add_new(0x60000010, "US", 8)
        item.add_new(0x60003000, "OW", b"Q901ZWX ")
        inner = Dataset()
        inner.PatientName = "Q902ZWX"
        inner.add_new(0x00111001, "LO", "Q903ZWX")
        inner.ReferencedSOPInstanceUID = scanner.uid("reference")
        inner.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.4"
        item.ReferencedImageSequence = [inner]
        item.SeriesDate = item.StudyDate
    scanner.write(tmp_path / "Q904ZWX", objects, ending=".Q905ZWX.dcm")
    return tmp_path / "Q904ZWX"


def read(folder: Path) -> list[pydicom.FileDataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))]


def test_nothing_that_was_planted_is_left(study: Path, run_metseg: Callable, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert len(planted()) == 100
    answer = run_metseg("deidentify", study, "--out", out)
    assert answer.status == 0, answer.err
    assert "4 images of 1 study" in answer.out
    assert "8 private elements removed" in answer.out
    texts = [path.read_bytes() for path in out.rglob("*.dcm")] + [
        str(path.relative_to(out)).encode() for path in out.rglob("*")
    ]
    marks = [b"Q%03dZWX" % number for number in (*range(100), *range(900, 906))] + [b"Mustermann"]
    assert [mark for mark in marks for text in [*texts, answer.out.encode(), answer.err.encode()] if mark in text] == []
    source = {str(item.SOPInstanceUID) for item in map(pydicom.dcmread, study.iterdir())}
    made = read(out)
    assert {str(item.SOPInstanceUID) for item in made} == {pseudonym_uid(uid) for uid in source}
    for item in made:
        assert not [tag for tag in item.keys() if tag.group == 0x6000]  # noqa: SIM118
        assert item.PatientIdentityRemoved == "YES"
        assert (item.StudyDate, "SeriesDate" in item, item.PatientBirthDate) == ("", False, "")
        assert item.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
        assert item.file_meta.MediaStorageSOPInstanceUID == item.SOPInstanceUID


def test_pixels_and_geometry_stay_and_references_fit_together(
    study: Path, scanner: SimpleNamespace, run_metseg: Callable, tmp_path: Path
) -> None:
    assert run_metseg("deidentify", study, "--out", tmp_path / "out", "--keep-descriptions").status == 0
    (before,), (after,) = find_studies(study), find_studies(tmp_path / "out")
    one, two = before.load(), after.load()
    np.testing.assert_array_equal(one.images["t1c"].data, two.images["t1c"].data)
    np.testing.assert_allclose(one.images["t1c"].affine, two.images["t1c"].affine)
    made = read(tmp_path / "out")[0]
    assert made.SeriesDescription == "AX T1 MPRAGE +C"
    reference = made.ReferencedImageSequence[0]
    assert reference.ReferencedSOPInstanceUID == pseudonym_uid(scanner.uid("reference"))
    assert reference.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.4"


def test_the_key_decides_the_pseudonyms(
    study: Path, run_metseg: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, key in (("a", "one"), ("b", "one"), ("c", "two")):
        monkeypatch.setenv(KEY_VARIABLE, key)
        assert run_metseg("deidentify", study, "--out", tmp_path / name).status == 0
    names = [[path.name for path in sorted((tmp_path / name).rglob("*.dcm"))] for name in "abc"]
    assert names[0] == names[1]
    assert not set(names[0]) & set(names[2])
    monkeypatch.delenv(KEY_VARIABLE)
    answer = run_metseg("deidentify", study, "--out", tmp_path / "d")
    assert (answer.status, KEY_VARIABLE in answer.err) == (2, True)


def test_shifted_dates_keep_the_time_between_examinations(
    scanner: SimpleNamespace, run_metseg: Callable, tmp_path: Path
) -> None:
    for number, day in enumerate(("20230101", "20230301")):
        objects = scanner.slices(
            scanner.pixels(3),
            series=number,
            StudyDate=day,
            StudyInstanceUID=scanner.uid("study", number),
            AcquisitionDateTime=f"{day}101500.25",
        )
        for place, item in enumerate(objects):
            item.SOPInstanceUID = item.file_meta.MediaStorageSOPInstanceUID = scanner.uid(number, place)
        scanner.write(tmp_path / "in" / str(number), objects, seed=number)
    assert run_metseg("deidentify", tmp_path / "in", "--out", tmp_path / "out", "--dates", "shift").status == 0
    made = read(tmp_path / "out")
    days = sorted({np.datetime64(f"{item.StudyDate[:4]}-{item.StudyDate[4:6]}-{item.StudyDate[6:]}") for item in made})
    assert (days[1] - days[0]).astype(int) == 59
    assert days[1] < np.datetime64("2023-01-01")
    assert {item.AcquisitionDateTime[8:] for item in made} == {"101500.25"}
    assert {item.PatientBirthDate for item in made} == {""}
    assert {item.LongitudinalTemporalInformationModified for item in made} == {"MODIFIED"}


def test_what_may_show_a_name_is_set_aside_and_said(
    study: Path, scanner: SimpleNamespace, run_metseg: Callable, tmp_path: Path
) -> None:
    screenshot = scanner.mr_object(scanner.pixels(1)[0], "screen", SOPClassUID=SecondaryCaptureImageStorage)
    burned = scanner.mr_object(scanner.pixels(1)[0], "burned", BurnedInAnnotation="YES")
    report = scanner.mr_object(scanner.pixels(1)[0], "report")
    del report.PixelData
    scanner.write(study / "more", [screenshot, burned, report], seed=3)
    broken = next(path for path in study.iterdir() if path.is_file()).read_bytes()
    (study / "more" / "broken").write_bytes(broken[: len(broken) // 3])
    (study / "more" / "again").write_bytes(broken)
    answer = run_metseg("deidentify", study, "--out", tmp_path / "out", "--json")
    found = json.loads(answer.out)
    assert len(found["files"]) == 4
    assert found["set_aside"]["text may be burned into the pixels"] == 2
    assert found["set_aside"]["another file has the same SOP instance UID"] == 1
    assert sum(found["set_aside"].values()) == 5
    again = json.loads(run_metseg("deidentify", study, "--out", tmp_path / "b", "--keep-burned-in", "--json").out)
    assert len(again["files"]) == 6


def test_a_folder_with_files_is_refused(study: Path, run_metseg: Callable) -> None:
    answer = run_metseg("deidentify", study, "--out", study)
    assert (answer.status, "not empty" in answer.err) == (2, True)

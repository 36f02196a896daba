"""Whom the objects name: no person by default, and the patient of the source where the operator chooses so."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from types import SimpleNamespace

import pydicom
import pytest
from pydicom.datadict import DicomDictionary

from metseg.io.dicom.pseudonyms import pseudonym_uid

FORMATS = "seg,seg-classes,seg-probability,rtstruct,sr,pdf,pages"
#: Value representations that hold text, with the longest text that is planted.
TEXT_VRS = {"LO": 60, "SH": 14, "PN": 60, "LT": 90, "ST": 90, "UT": 90, "UC": 60, "CS": 14, "AE": 14}
#: Elements that the reader needs as they are.
TECHNICAL = frozenset(
    (
        *("Modality", "ImageType", "PhotometricInterpretation", "SpecificCharacterSet", "SeriesDescription"),
        *("LossyImageCompression", "BodyPartExamined", "ScanningSequence", "MRAcquisitionType", "PatientSex"),
        *("ProtocolName", "FrameType", "ContrastBolusAgent", "ContrastBolusRoute", "EchoPulseSequence"),
        *("EchoPlanarPulseSequence", "InversionRecovery", "LossyImageCompressionMethod"),
    )
)
#: Those of the planted elements that belong to the patient and the study, and so to their results.
GIVEN_BACK = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientComments", "StudyID", "AccessionNumber"),
    *("ReferringPhysicianName", "StudyDescription", "PhysiciansOfRecord", "NameOfPhysiciansReadingStudy"),
)


def planted_elements(count: int = 100) -> dict[str, str]:
    """Return keyword to a text that no program writes by itself, for elements of every representation of text."""
    by_kind: dict[str, list[str]] = {vr: [] for vr in TEXT_VRS}
    for tag, (vr, multiplicity, _, retired, keyword) in sorted(DicomDictionary.items()):
        is_usual = multiplicity.startswith("1") and not retired and keyword and keyword not in TECHNICAL
        if vr in by_kind and is_usual and 8 <= tag >> 16 <= 0x40 and tag >> 16 != 0x28:
            by_kind[vr].append(keyword)
    others = [name for names in zip_longest(*by_kind.values()) for name in names if name and name not in GIVEN_BACK]
    chosen = [*GIVEN_BACK, *others][:count]
    return {
        keyword: f"Q{number:03d}ZWX" if TEXT_VRS[of_vr(keyword)] < 20 else f"Q{number:03d}ZWX^Müller"
        for number, keyword in enumerate(chosen)
    }


def of_vr(keyword: str) -> str:
    return DicomDictionary[pydicom.datadict.tag_for_keyword(keyword)][0]


@pytest.fixture(scope="module")
def planted() -> dict[str, str]:
    return planted_elements()


@pytest.fixture(scope="module")
def planted_case(phantom, scanner: SimpleNamespace, study_objects, make_dicom_case, planted, tmp_path_factory):
    """Return a study with a planted text in each of 100 elements, in a character set of Western Europe."""
    root = tmp_path_factory.mktemp("planted")
    objects, labels = study_objects(phantom, scanner, SpecificCharacterSet="ISO_IR 100", **planted)
    for item in objects:
        item.add_new(0x00091001, "LO", "Q777ZWX private")
    scanner.write(root / "Q888ZWX" / "study", objects)
    return make_dicom_case(root, labels, folder=root / "Q888ZWX" / "study")


def marks(planted: dict[str, str]) -> list[bytes]:
    """Return what is looked for: the unique start of each text, and of the private element and the folder."""
    return [text[:7].encode() for text in planted.values()] + [b"Q777ZWX", b"Q888ZWX"]


def test_a_hundred_identifiers_are_planted_in_every_kind_of_text(planted, planted_case) -> None:
    assert len(planted) == 100
    assert {of_vr(keyword) for keyword in planted} == set(TEXT_VRS)
    source = next(path for path in planted_case.folder.iterdir()).read_bytes()
    assert all(mark in source for mark in marks(planted)[:101])


def test_no_identifier_is_in_an_output_a_log_or_a_file_name(
    planted, planted_case, run_metseg: Callable, tmp_path: Path, caplog: pytest.LogCaptureFixture, recwarn
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = run_metseg(
        *("export", planted_case.saved, "--source", planted_case.folder, "--format", FORMATS, "--out", tmp_path)
    )
    assert answer.status == 0, answer.err
    written = sorted(tmp_path.iterdir())
    assert len(written) >= len(FORMATS.split(","))
    texts = [path.read_bytes() for path in written] + [path.name.encode() for path in written]
    texts += [caplog.text.encode(), "".join(str(one.message) for one in recwarn).encode()]
    texts += [(answer.out + answer.err).replace(str(tmp_path), "").encode()]
    assert [mark for mark in marks(planted) for text in texts if mark in text] == []
    source = pydicom.dcmread(next(planted_case.folder.iterdir()), stop_before_pixels=True)
    uids = {str(source[name].value) for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")}
    pictures = {pseudonym_uid(pydicom.dcmread(path).SOPInstanceUID) for path in planted_case.folder.iterdir()}
    (segments,) = tmp_path.glob("*-seg.dcm")
    (series,) = pydicom.dcmread(segments).ReferencedSeriesSequence
    # Those of the images that `metseg deidentify` writes.
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence} == pictures
    for path in written:
        made = pydicom.dcmread(path)
        assert made.PatientIdentityRemoved == "YES"
        assert made.PatientBirthDate == ""
        assert made.StudyDate == ""
        assert not any(uid.encode() in path.read_bytes() for uid in uids)


def test_the_identity_is_given_back_where_it_is_chosen(
    planted, planted_case, run_metseg: Callable, tmp_path: Path, recwarn
) -> None:
    words = ("--identity", "keep", "--out", tmp_path)
    answer = run_metseg("export", planted_case.saved, "--source", planted_case.folder, "--format", FORMATS, *words)
    assert answer.status == 0, answer.err
    source = pydicom.dcmread(next(planted_case.folder.iterdir()), stop_before_pixels=True)
    for path in tmp_path.iterdir():
        made = pydicom.dcmread(path)
        assert {name: str(made[name].value) for name in GIVEN_BACK} == {name: planted[name] for name in GIVEN_BACK}
        assert made.SpecificCharacterSet == "ISO_IR 192"
        assert (made.StudyInstanceUID, made.StudyDate) == (source.StudyInstanceUID, source.StudyDate)
        others = {name for name in planted if name not in GIVEN_BACK}
        assert [name for name in others if planted[name][:7].encode() in path.read_bytes()] == []
    assert [
        mark for mark in marks(planted) if mark in (answer.out + answer.err).replace(str(tmp_path), "").encode()
    ] == []
    assert not any(mark.decode() in str(one.message) for one in recwarn for mark in marks(planted))


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 100", "Müller^Jérôme"),
        ("ISO_IR 144", "Толстой^Лев"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        ("GB18030", "Wang^XiaoDong=王^小东"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小東"),
    ],
)
def test_names_in_every_character_set_are_given_back_in_utf_8(
    scanner: SimpleNamespace, tmp_path: Path, character_set, name: str
) -> None:
    from metseg.dicom_export import read_source_headers
    from metseg.io.dicom.series_scan import scan

    objects = scanner.slices(scanner.pixels(3), PatientName=name, SpecificCharacterSet=character_set)
    scanner.write(tmp_path, objects)
    (series,) = scan(tmp_path).series
    kept = read_source_headers(series, identity="keep")
    assert str(kept.patient.PatientName) == name
    assert kept.patient.SpecificCharacterSet == "ISO_IR 192"


def test_a_name_that_does_not_fit_its_character_set_is_refused(scanner: SimpleNamespace, tmp_path: Path) -> None:
    from metseg.dicom_export import read_source_headers
    from metseg.errors import InputError
    from metseg.io.dicom.series_scan import scan

    objects = scanner.slices(scanner.pixels(3), PatientName="Müller^Jérôme", SpecificCharacterSet="ISO_IR 100")
    for path in scanner.write(tmp_path, objects):
        path.write_bytes(path.read_bytes().replace(b"ISO_IR 100", b"ISO_IR 192"))
    (series,) = scan(tmp_path).series
    with pytest.raises(InputError) as error:
        read_source_headers(series, identity="keep")
    assert error.value.code == "export.character_set"
    assert "ller" not in str(error.value)
    assert str(read_source_headers(series).patient.PatientName).startswith("patient-")

"""A study: sequences, choices between series, pseudonyms, overrides."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from metseg.errors import InputError, UsageError
from metseg.io import find_inputs
from metseg.io.dicom import find_studies, looks_like_dicom
from metseg.io.dicom.pseudonyms import KEY_VARIABLE
from metseg.io.volumes.study_source import study_from_files
from metseg.recipe import DataPart


@pytest.fixture
def study(scanner: SimpleNamespace, tmp_path: Path) -> Path:
    """Return a study of five series on four grids: T1, T1 with contrast agent thin and thick, FLAIR and a localiser."""
    root = tmp_path / "Mustermann Erika"
    make = scanner.slices
    objects = [
        *make(scanner.pixels(4, 1), series=1, SeriesNumber=1, SeriesDescription="localizer"),
        *make(scanner.pixels(4, 2), series=2, SeriesNumber=5, SeriesDescription="AX T1 PRE", step=5.0),
        *make(scanner.pixels(5, 3), series=3, SeriesNumber=7, SeriesDescription="AX T1 +C", step=4.0),
        *make(
            scanner.pixels(20, 4),
            series=4,
            SeriesNumber=9,
            SeriesDescription="T1 MPRAGE Mustermann",
            ContrastBolusAgent="Gadavist",
            MRAcquisitionType="3D",
            step=1.0,
            orientation=scanner.OBLIQUE,
        ),
        *make(scanner.pixels(6, 5), series=5, SeriesNumber=11, SeriesDescription="AX T2 FLAIR", spacing=(0.7, 0.7)),
    ]
    scanner.write(root / "a" / "b", objects)
    (root / "notes.txt").write_text("not DICOM")
    return root


def test_one_volume_for_each_sequence_on_its_own_grid(scanner: SimpleNamespace, study: Path) -> None:
    (source,) = find_studies(study)
    assert source.modalities == ("t1n", "t1c", "t2f")
    assert len(source.files) == 4 + 20 + 6
    case = pickle.loads(pickle.dumps(source)).load()
    assert case.modalities == ("t1n", "t1c", "t2f")
    assert {name: image.shape[2] for name, image in case.images.items()} == {"t1n": 4, "t1c": 20, "t2f": 6}
    np.testing.assert_array_equal(case.images["t1c"].data.T, scanner.pixels(20, 4))
    assert case.images["t2f"].spacing_mm == pytest.approx((0.7, 0.7, 3.0))


def test_why_each_series_was_taken_is_said_once(study: Path) -> None:
    (source,) = find_studies(study)
    assert sorted(source.load().warnings) == sorted(
        [
            'series 1 ("localizer") left aside: a localiser, says the description.',
            'series 5 ("AX T1 PRE") is t1n: the description says T1 without contrast agent.',
            'series 9 ("T1 MPRAGE …") is t1c: the description says T1 and the header names a contrast agent.',
            'series 7 ("AX T1 +C") left aside: t1c too, but series 9 ("T1 MPRAGE …") is taken as it was acquired as a'
            " volume.",
            'series 11 ("AX T2 FLAIR") is t2f: the description says FLAIR.',
            "1 other files ignored (1 not DICOM).",
        ]
    )


def test_nothing_that_names_the_patient_comes_out(scanner: SimpleNamespace, study: Path) -> None:
    (source,) = find_studies(study)
    case = source.load()
    shown = " ".join((case.case_id, case.patient, repr(case.attributes), *case.warnings, repr(source.series)))
    for secret in ("4711", "Mustermann", "Erika", "1950", "2024", scanner.uid("study")):
        assert secret not in shown


def test_two_studies_of_one_patient_are_two_timepoints(scanner: SimpleNamespace, tmp_path: Path) -> None:
    for number, (date, patient) in enumerate([("20240301", "A"), ("20231224", "A"), ("20240101", "B")]):
        objects = scanner.slices(
            scanner.pixels(3, number),
            series=number,
            StudyInstanceUID=scanner.uid("study", number),
            StudyDate=date,
            PatientID=patient,
            SeriesDescription="T1",
        )
        scanner.write(tmp_path, objects, seed=number)
    sources = find_studies(tmp_path)
    by_first_pixel = {int(source.load().images["t1n"].data[0, 0, 0]): source for source in sources}
    late, early, other = (by_first_pixel[int(scanner.pixels(3, number)[0, 0, 0])] for number in range(3))
    assert early.patient == late.patient != other.patient
    assert (early.timepoint, late.timepoint, other.timepoint) == ("1", "2", None)
    assert len({source.case_id for source in sources}) == 3


def test_the_issuer_tells_equal_patient_ids_apart(scanner: SimpleNamespace, tmp_path: Path) -> None:
    for number, issuer in enumerate(["North", "South"]):
        objects = scanner.slices(
            scanner.pixels(2), series=number, StudyInstanceUID=scanner.uid(number), IssuerOfPatientID=issuer
        )
        scanner.write(tmp_path, objects, seed=number)
    assert len({source.patient for source in find_studies(tmp_path)}) == 2


def test_a_key_changes_pseudonyms(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (plain,) = find_studies(study)
    monkeypatch.setenv(KEY_VARIABLE, "secret of this hospital")
    (keyed,) = find_studies(study)
    assert keyed.patient != plain.patient
    assert keyed.case_id != plain.case_id
    assert find_studies(study)[0].patient == keyed.patient


def test_no_patient_id(scanner: SimpleNamespace, tmp_path: Path) -> None:
    for number in range(2):
        objects = scanner.slices(scanner.pixels(2), series=number, StudyInstanceUID=scanner.uid(number), PatientID=None)
        scanner.write(tmp_path, objects, seed=number)
    one, two = find_studies(tmp_path)
    assert one.patient != two.patient
    assert "The files have no patient id, so the study counts as a separate patient." in one.notes


def test_overrides_by_number_and_by_path(scanner: SimpleNamespace, study: Path, tmp_path: Path) -> None:
    (source,) = find_studies(study, overrides={"T1ce": 7, "t2": "1", "FLAIR": None})
    case = source.load()
    assert case.modalities == ("t1n", "t1c", "t2w")
    np.testing.assert_array_equal(case.images["t1c"].data.T, scanner.pixels(5, 3))
    assert any(text.startswith('series 7 ("AX T1 +C") is t1c: named by hand') for text in case.warnings)
    assert 'series 9 ("T1 MPRAGE …") left aside: t1c was named by hand.' in case.warnings
    elsewhere = tmp_path / "elsewhere"
    scanner.write(elsewhere, scanner.slices(scanner.pixels(3, 8), series=8, SeriesDescription="unclear"))
    (source,) = find_studies(study, overrides={"t2w": elsewhere})
    np.testing.assert_array_equal(source.load().images["t2w"].data.T, scanner.pixels(3, 8))


@pytest.mark.parametrize(
    ("description", "mark"),
    [
        ("T1 without contrast", "against its header, which says t1n"),
        ("FLAIR axial", "against its header, which says t2f"),
        ("T1 axial", "its header does not say whether contrast agent was given"),
        ("T1 post contrast", None),
        ("unclear", None),
    ],
)
def test_a_series_declared_against_its_header_is_marked(
    scanner: SimpleNamespace, tmp_path: Path, description: str, mark: str | None
) -> None:
    objects = scanner.slices(scanner.pixels(3), series=7, SeriesNumber=7, SeriesDescription=description)
    scanner.write(tmp_path / "dicom", objects)
    (label,) = {text.split()[1] for text in find_studies(tmp_path / "dicom")[0].notes if text.startswith("series ")}
    (study,) = find_studies(tmp_path / "dicom", overrides={"t1c": label})
    by_folder = study_from_files({"t1c": tmp_path / "dicom"}, DataPart(modalities=("t1c",)))
    for text in (study.load().warnings[0], " ".join(by_folder.load().warnings)):
        assert (mark in text) if mark else ("header" not in text)


def test_overrides_that_name_nothing(scanner: SimpleNamespace, study: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Unknown series '99'"):
        find_studies(study, overrides={"t1c": "99"})
    with pytest.raises(UsageError, match="Unknown sequence 'adc'"):
        find_studies(study, overrides={"adc": 1})
    foreign = scanner.slices(scanner.pixels(3), StudyInstanceUID=scanner.uid("another"), PatientID="another")
    scanner.write(tmp_path / "foreign", foreign)
    with pytest.raises(UsageError, match="belongs to another study"):
        find_studies(study, overrides={"t1c": tmp_path / "foreign"})


def test_a_series_that_cannot_be_read_gives_way_to_one_that_can(scanner: SimpleNamespace, tmp_path: Path) -> None:
    thin = scanner.slices(scanner.pixels(9), series=1, SeriesNumber=1, SeriesDescription="T2", step=1.0)
    del thin[4]
    thick = scanner.slices(scanner.pixels(4, 2), series=2, SeriesNumber=2, SeriesDescription="T2")
    scanner.write(tmp_path / "a", thin)
    with pytest.raises(InputError, match=r"series 1: 1 slice is missing") as caught:
        find_studies(tmp_path / "a")[0].load()
    assert caught.value.code == "input.missing_slices"
    scanner.write(tmp_path / "a", thick, seed=1)
    (source,) = find_studies(tmp_path / "a")
    np.testing.assert_array_equal(source.load().images["t2w"].data.T, scanner.pixels(4, 2))
    assert 'series 1 ("T2") left aside: t2w too, but 1 slice is missing.' in source.notes


def test_a_thin_part_does_not_stand_for_the_whole(scanner: SimpleNamespace, tmp_path: Path) -> None:
    part = scanner.slices(scanner.pixels(5), series=1, SeriesNumber=1, SeriesDescription="T2", step=1.0)
    whole = scanner.slices(scanner.pixels(8), series=2, SeriesNumber=2, SeriesDescription="T2", step=5.0)
    scanner.write(tmp_path, part + whole)
    (source,) = find_studies(tmp_path)
    assert source.load().images["t2w"].shape[2] == 8
    assert 'series 1 ("T2") left aside: t2w too, but series 2 ("T2") is taken as it reaches over more.' in source.notes


def test_dixon_images_in_one_series_are_divided(scanner: SimpleNamespace, tmp_path: Path) -> None:
    kinds = [["ORIGINAL", "PRIMARY", "W"], ["ORIGINAL", "PRIMARY", "IN_PHASE"], ["ORIGINAL", "PRIMARY", "FAT"]]
    for seed, kind in enumerate(kinds):
        objects = scanner.slices(scanner.pixels(3, seed), SeriesDescription="T1 +C DIXON", ImageType=kind)
        for item in objects:
            item.SOPInstanceUID = item.file_meta.MediaStorageSOPInstanceUID = scanner.uid(item.SOPInstanceUID, seed)
        scanner.write(tmp_path, objects, seed=seed)
    (source,) = find_studies(tmp_path)
    case = source.load()
    np.testing.assert_array_equal(case.images["t1c"].data.T, scanner.pixels(3, 0))
    assert sum("one of several Dixon images" in note for note in source.notes) == 2
    assert any(note.startswith("Series 1 holds 3 stacks") for note in source.notes)


def test_an_unrecognised_study_says_why(scanner: SimpleNamespace, tmp_path: Path) -> None:
    scanner.write(tmp_path, scanner.slices(scanner.pixels(3), SeriesDescription="Erika ADC"))
    with pytest.raises(InputError) as caught:
        find_studies(tmp_path)[0].load()
    assert caught.value.code == "input.missing_sequence"
    assert 'series 1 ("… ADC") left aside: a diffusion image' in str(caught.value)
    assert "Erika" not in str(caught.value)


def test_what_looks_like_dicom(scanner: SimpleNamespace, study: Path, tmp_path: Path) -> None:
    files = [path for path in study.rglob("Mustermann*") if path.is_file()]
    assert looks_like_dicom(files)
    assert not looks_like_dicom([study / "notes.txt", study / "absent", study])
    packed = tmp_path / "packed.bin"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(files[0], "x")
    assert looks_like_dicom([packed])


def test_a_series_can_be_named_when_predicting(scanner: SimpleNamespace, study: Path) -> None:
    (found,) = find_inputs(study, modalities=("t1c", "t2f"))
    assert [len(found.series[name].frames) for name in ("t1c", "t2f")] == [20, 6]
    (named,) = find_inputs(study, modalities=("t1c", "t2f"), named={"t1ce": "7", "flair": "none"}, optional=("t2f",))
    assert {name: len(series.frames) for name, series in named.series.items()} == {"t1c": 5}
    assert any("named by hand" in note for note in named.notes)


def test_each_sequence_is_recorded_with_its_series_and_the_reason(study: Path) -> None:
    (source,) = find_studies(study, overrides={"t1n": "7"})
    records = {record.sequence: (record.source, record.reason) for record in source.load().sequence_records}
    assert records == {
        "t1n": ("series 7", "the user named it, and its header says t1c"),
        "t1c": ("series 9", "the description says T1 and the header names a contrast agent"),
        "t2f": ("series 11", "the description says FLAIR"),
    }


def test_a_series_that_is_not_plain_is_named_with_the_option(scanner: SimpleNamespace, tmp_path: Path) -> None:
    objects = scanner.slices(scanner.pixels(4, 2), SeriesNumber=5, SeriesDescription="AX T1 POST")
    scanner.write(tmp_path / "d", objects)
    (source,) = find_inputs(tmp_path / "d", modalities=("t1c",))
    with pytest.raises(InputError, match=r"series 5 .*left aside: .*'post'.*names no contrast agent.*--modality t1c=5"):
        source.load()

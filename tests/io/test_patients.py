"""Whose a file is: folders above and below the patients, dates in names, and questions whose answers work."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from metseg.errors import InputError
from metseg.io import find_cases, find_inputs, make_split
from metseg.io.case_discovery import find
from metseg.recipe import SplitPart

GREY = np.arange(35, dtype=np.uint8).reshape(5, 7)


def volumes(root: Path, places: Iterable[str]) -> None:
    """Write FLAIR and T1c of each study: into a folder, or with a beginning where the place ends in "_"."""
    for place in places:
        for name in ("flair", "t1c"):
            path = root / (f"{place}{name}.nii.gz" if place.endswith("_") else f"{place}/{name}.nii.gz")
            path.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.Nifti1Image(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4)), path)


def pictures(root: Path, places: Iterable[str]) -> None:
    for place in places:
        for name, pixels in ((f"{place}.png", GREY), (f"{place}_mask.png", GREY * 0)):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(root / name)


def whose(root: Path, **options: object) -> dict[str, tuple[str, str | None]]:
    return {source.case_id: (source.patient, source.timepoint) for source in find_cases(root, **options)}


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        (
            ["patient01/study1_", "patient01/study2_", "patient02/study1_"],
            {
                "patient01_study1": ("patient01", "study1"),
                "patient01_study2": ("patient01", "study2"),
                "patient02": ("patient02", None),
            },
        ),
        (
            ["P01/P01_2019_", "P01/P01_2020_", "P02/P02_2019_"],
            {"P01_2019": ("P01", "2019"), "P01_2020": ("P01", "2020"), "P02": ("P02", None)},
        ),
        (
            ["siteA/patient01", "siteA/patient02", "siteB/patient03"],
            {
                "siteA_patient01": ("patient01", None),
                "siteA_patient02": ("patient02", None),
                "siteB_patient03": ("patient03", None),
            },
        ),
        (
            ["siteA/patient01/2019-03-01", "siteA/patient01/2020-03-01", "siteB/patient01/2019-03-01"],
            {
                "siteA_patient01_2019-03-01": ("siteA_patient01", "2019-03-01"),
                "siteA_patient01_2020-03-01": ("siteA_patient01", "2020-03-01"),
                "siteB_patient01_2019-03-01": ("siteB_patient01", "2019-03-01"),
            },
        ),
        (
            ["Patient-001/week-000-1", "Patient-001/week-044", "Patient-002/week-000"],
            {
                "Patient-001_week-000-1": ("Patient-001", "week-000-1"),
                "Patient-001_week-044": ("Patient-001", "week-044"),
                "Patient-002_week-000": ("Patient-002", "week-000"),
            },
        ),
        (
            ["PatientID_0003/Timepoint_1", "PatientID_0003/Timepoint_2"],
            {
                "PatientID_0003_Timepoint_1": ("PatientID_0003", "Timepoint_1"),
                "PatientID_0003_Timepoint_2": ("PatientID_0003", "Timepoint_2"),
            },
        ),
        (["ann/anat", "ben/anat"], {"ann_anat": ("ann", "anat"), "ben_anat": ("ben", "anat")}),
        (
            ["TCGA_CS_4943_20000902", "TCGA_CS_4943_20050101", "TCGA_CS_4944_20010208"],
            {
                "TCGA_CS_4943_20000902": ("TCGA_CS_4943", "20000902"),
                "TCGA_CS_4943_20050101": ("TCGA_CS_4943", "20050101"),
                "TCGA_CS_4944_20010208": ("TCGA_CS_4944_20010208", None),
            },
        ),
        (
            ["P7_ses-1", "P7_ses-2", "P8_ses-1"],
            {"P7_ses-1": ("P7", "ses-1"), "P7_ses-2": ("P7", "ses-2"), "P8_ses-1": ("P8_ses-1", None)},
        ),
    ],
    ids=(
        "studies in one folder",
        "patient in both",
        "sites",
        "sites, dates",
        "weeks",
        "time points",
        "anat",
        "dates",
        "ses",
    ),
)
def test_patients_and_time_points_of_volumes(
    tmp_path: Path, places: list[str], expected: dict[str, tuple[str, str | None]]
) -> None:
    volumes(tmp_path, places)
    assert whose(tmp_path) == expected
    sources = find_cases(tmp_path)
    if len({source.patient for source in sources}) > 1:
        parts = make_split(sources, SplitPart(validation=0, test=0.5)).select(sources)
        train, _, test = ({chosen.source.patient for chosen in part} for part in parts)
        assert not train & test


def test_folders_that_may_be_either_are_asked_about_with_patterns_that_work(tmp_path: Path) -> None:
    volumes(tmp_path, ["ann/A", "ann/B", "ben/C"])
    with pytest.raises(InputError, match="cannot tell whether a folder is one patient") as caught:
        find_cases(tmp_path)
    assert caught.value.code == "input.no_patient"
    first, last = re.findall(r"'(\S+)'", str(caught.value.cure))
    assert {patient for patient, _ in whose(tmp_path, patient_pattern=first).values()} == {"ann", "ben"}
    assert {patient for patient, _ in whose(tmp_path, patient_pattern=last).values()} == {"A", "B", "C"}
    assert len(find_inputs(tmp_path)) == 3  # for predictions it does not matter


TIMES = [
    ("2020-01-01", "2020-02-02"),
    ("01-02-2020-NA-MRI", "02-02-2020-NA-MRI"),
    ("01.02.2020", "02.02.2020"),
    ("MRI_20200101", "MRI_20200202"),
    ("visit1", "visit2"),
    ("MR1", "MR2"),
    ("1", "2"),
    ("scan_a", "scan_b"),
    ("01_2020", "02_2020"),
    ("20200100", "20200200"),  # dates that do not exist
]


@pytest.mark.parametrize("above", ["", "siteA", "cohort1/siteA"])
@pytest.mark.parametrize("times", TIMES, ids=[first for first, _ in TIMES])
def test_examinations_of_a_patient_below_any_number_of_sites(
    tmp_path: Path, above: str, times: tuple[str, str]
) -> None:
    patients = ("patient00", "patient01")
    volumes(tmp_path, [f"{above}/{patient}/{time}".lstrip("/") for patient in patients for time in times])
    assert sorted(whose(tmp_path).values()) == [(patient, time) for patient in patients for time in times]


@pytest.mark.parametrize("times", TIMES[:5], ids=[first for first, _ in TIMES[:5]])
def test_folders_that_say_when_are_examinations_of_a_patient_of_any_name(
    tmp_path: Path, times: tuple[str, str]
) -> None:
    volumes(tmp_path, [f"siteA/{patient}/{time}" for patient in ("ann", "ben") for time in times])
    assert sorted(whose(tmp_path).values()) == [(patient, time) for patient in ("ann", "ben") for time in times]


@pytest.mark.parametrize("order", ["", "train/"])
def test_below_a_site_unclear_folders_are_asked_about_with_patterns_that_work(tmp_path: Path, order: str) -> None:
    places = ["siteA/ann/MR1", "siteA/ann/MR2", "siteA/ben/MR1/2020-01-01", "siteB/cem"]
    volumes(tmp_path, [f"{order}{place}" for place in places])
    with pytest.raises(InputError, match="cannot tell whether a folder is one patient") as caught:
        find_cases(tmp_path)
    first, last = re.findall(r"'(\S+)'", str(caught.value.cure))
    assert {patient for patient, _ in whose(tmp_path, patient_pattern=first).values()} == {"ann", "ben", "cem"}
    assert {patient for patient, _ in whose(tmp_path, patient_pattern=last).values()} == {"MR1", "MR2", "cem"}


@pytest.mark.parametrize("dates", [("20200101", "20200202"), ("20200100", "20200200")])
def test_dates_below_a_site_are_no_patients(tmp_path: Path, dates: tuple[str, str]) -> None:
    volumes(tmp_path, [f"siteA/{date}" for date in dates])
    with pytest.raises(InputError, match="cannot tell whether a folder is one patient") as caught:
        find_cases(tmp_path)
    one, each = re.findall(r"'(\S+)'", str(caught.value.cure))
    assert {patient for patient, _ in whose(tmp_path, patient_pattern=one).values()} == {"siteA"}
    assert {patient for patient, _ in whose(tmp_path, patient_pattern=each).values()} == set(dates)


def test_studies_of_unclear_names_in_one_folder_are_asked_about_with_patterns_that_work(tmp_path: Path) -> None:
    volumes(tmp_path, ["batch7/anna_", "batch7/ben_"])
    with pytest.raises(InputError, match="2 studies in one folder: anna, ben") as caught:
        find_cases(tmp_path)
    each, one = re.findall(r"'(\S+)'", str(caught.value.cure))
    assert {patient for patient, _ in whose(tmp_path, patient_pattern=each).values()} == {"anna", "ben"}
    assert {patient for patient, _ in whose(tmp_path, patient_pattern=one).values()} == {"batch7"}
    assert [source.case_id for source in find_inputs(tmp_path)] == ["anna", "ben"]


def test_a_folder_of_pictures_that_says_when_is_no_patient(tmp_path: Path) -> None:
    pictures(tmp_path, ["ann/2019/1", "ann/2020/1", "train/ben/2019/1"])
    assert {case: patient for case, (patient, _) in whose(tmp_path).items()} == {
        "ann_2019": "ann",
        "ann_2020": "ann",
        "ben": "ben",
    }


def test_examinations_of_pictures_below_a_site_are_one_patients(tmp_path: Path) -> None:
    """A split of them by folder would put one patient on both sides."""
    pictures(tmp_path, [f"siteA/patient0{n}/MR{time}/{z}" for n in (0, 1) for time in (1, 2) for z in (1, 2)])
    found = whose(tmp_path)
    assert len(found) == 4
    assert sorted({patient for patient, _ in found.values()}) == ["patient00", "patient01"]
    pictures(tmp_path, ["siteB/patient02/1"])
    assert sorted({patient for patient, _ in whose(tmp_path).values()}) == ["patient00", "patient01", "patient02"]


def test_two_dates_of_one_patient_stay_together(tmp_path: Path) -> None:
    folders = ["TCGA_CS_4943_20000902", "TCGA_CS_4943_20050101", "TCGA_CS_4944_20010208"]
    pictures(tmp_path, [f"{folder}/{folder}_{number}" for folder in folders for number in (1, 2)])
    found = find(tmp_path)
    assert {source.case_id: source.patient for source in found.sources} == {
        "TCGA_CS_4943_20000902": "TCGA_CS_4943",
        "TCGA_CS_4943_20050101": "TCGA_CS_4943",
        "TCGA_CS_4944_20010208": "TCGA_CS_4944_20010208",
    }
    (note,) = found.notes
    assert "TCGA_CS_4943_20000902, TCGA_CS_4943_20050101 are 'TCGA_CS_4943'" in note


def test_the_patterns_for_two_folders_of_one_name_reach_over_dates(tmp_path: Path) -> None:
    pictures(tmp_path, ["x/p/2019/1", "x/p/2020/1", "y/p/2019/1"])
    with pytest.raises(InputError, match="two folders have the name 'p'") as caught:
        find_cases(tmp_path)
    different, one = re.findall(r"'(\S+)'", str(caught.value.cure))
    assert {patient for patient, _ in whose(tmp_path, patient_pattern=different).values()} == {"x/p", "y/p"}
    assert {patient for patient, _ in whose(tmp_path, patient_pattern=one).values()} == {"p"}


#: Three patients with three slices each, one patient with two, and names that say nothing.
DIGITS = [f"img{patient}{number}" for patient in (1, 2, 3) for number in (1, 2, 3)]


@pytest.mark.parametrize("names", [DIGITS, ["scan_1", "scan_2"], ["only"]])
def test_the_advice_for_a_flat_folder_never_makes_all_pictures_one_patient(tmp_path: Path, names: list[str]) -> None:
    pictures(tmp_path, names)
    with pytest.raises(InputError) as caught:
        find_cases(tmp_path)
    cure = str(caught.value.cure)
    assert "'" not in cure  # no pattern is proposed
    assert "--patients FILE, CSV with the columns file and patient" in cure
    assert "data.patients" in str(caught.value.cure_among(["--data"]))


def test_the_advice_without_a_pattern_works(tmp_path: Path) -> None:
    pictures(tmp_path / "flat", DIGITS)
    table = tmp_path / "table.csv"
    table.write_text("file,patient\n" + "".join(f"{name},{name[:4]}\n" for name in DIGITS), "utf-8")
    read = whose(tmp_path / "flat", patients=str(table))
    assert {patient for patient, _ in read.values()} == {"img1", "img2", "img3"}


@pytest.mark.parametrize("names", [["1", "2", "30"], ["ann", "ben", "zoe"], ["a1x", "b2y", "c3z"]])
def test_the_advice_for_a_flat_folder_never_makes_each_picture_a_patient(tmp_path: Path, names: list[str]) -> None:
    pictures(tmp_path, names)
    with pytest.raises(InputError) as caught:
        find_cases(tmp_path)
    assert caught.value.code == "input.no_patient"
    for pattern in re.findall(r"'(\S+)'", str(caught.value.cure)):
        assert len({patient for patient, _ in whose(tmp_path, patient_pattern=pattern).values()}) < len(names)
    assert "patient table" in str(caught.value.cure)

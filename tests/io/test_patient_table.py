"""A table of patients, of folds or of both, given instead of folders."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from metseg.errors import InputError, UsageError
from metseg.io import Split, find_cases, make_split
from metseg.io.case_discovery import find
from metseg.recipe import SplitPart

GREY = np.arange(35, dtype=np.uint8).reshape(5, 7)


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """Return twelve pictures in ``images`` with their masks, all in one folder."""
    root = tmp_path / "data"
    for number in range(1, 13):
        for folder in ("images", "masks"):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(GREY + number if folder == "images" else GREY * 0).save(root / folder / f"{number}.png")
    return root


def table(folder: Path, head: str, *rows: str) -> str:
    (folder / "table.csv").write_text("\n".join([head, *rows]) + "\n")
    return str(folder / "table.csv")


def test_a_table_of_patients(flat: Path, tmp_path: Path) -> None:
    given = table(tmp_path, "file,Patient,tumour", *(f"images/{n}.png,p{n % 3},t{n % 3}" for n in range(1, 13)))
    sources = find_cases(flat, patients=given)
    assert {source.patient: source.slice_names for source in sources} == {
        "p0": ("images/3", "images/6", "images/9", "images/12"),
        "p1": ("images/1", "images/4", "images/7", "images/10"),
        "p2": ("images/2", "images/5", "images/8", "images/11"),
    }
    assert {source.patient: dict(source.attributes) for source in sources} == {
        f"p{n}": {"tumour": f"t{n}"} for n in range(3)
    }


def test_folds_without_patients_are_kept_whole(flat: Path, tmp_path: Path, run_metseg) -> None:
    fold_of = {str(n): str(n % 4 + 1) for n in range(1, 13)}
    given = table(tmp_path, "slice,tumour,fold", *(f"{n},glioma,{fold}" for n, fold in fold_of.items()))
    found = find(flat, patients=given)
    assert len(found.sources) == 12
    assert any("has no patients" in note and "intervals are too narrow" in note for note in found.notes)
    out = tmp_path / "split.json"
    options = ("--patients", given, "--out", out)
    result = run_metseg("split", flat, *options, "--folds", 4, "--test", 0)
    assert result.status == 0
    assert "has no patients" in result.err
    split = Split.load(out)
    assert not split.leaks_patients
    members = [sorted(n for n in fold_of if fold_of[n] == str(fold)) for fold in (1, 2, 3, 4)]
    assert [sorted(fold) for fold in split.folds] == members  # in the order of the table's names
    assert run_metseg("split", flat, *options, "--overwrite").status == 0
    split = Split.load(out)
    for part in (split.train, split.validation, split.test):
        folds = {fold_of[unit] for unit in part}
        assert part
        assert sorted(part) == sorted(n for n in fold_of if fold_of[n] in folds)
    assert sum(map(len, (split.train, split.validation, split.test))) == 12


def test_patients_and_folds(flat: Path, tmp_path: Path) -> None:
    given = table(tmp_path, "image,patient,fold", *(f"{n},p{n % 6},{n % 6 // 2}" for n in range(1, 13)))
    split = make_split(find_cases(flat, patients=given), SplitPart(test=0, folds=3))
    assert split.folds == (("p0", "p1"), ("p2", "p3"), ("p4", "p5"))


def test_what_would_divide_a_fold_is_refused(flat: Path, tmp_path: Path) -> None:
    given = table(tmp_path, "file,kind,fold", *(f"{n},a,{n % 4}" for n in range(1, 13)))
    sources = find_cases(flat, patients=given)
    for part in (SplitPart(by="slice"), SplitPart(stratify="kind")):
        with pytest.raises(UsageError, match="a table of folds cannot be split by slice or stratified"):
            make_split(sources, part)
    with pytest.raises(InputError, match="too few folds of the table") as caught:
        make_split(sources, SplitPart(test=0.25, folds=4))
    assert caught.value.code == "input.too_few"


@pytest.mark.parametrize(
    ("head", "rows", "what"),
    [
        ("file,patient", [f"{n},p" for n in range(1, 12)], "1 file without a row"),
        ("file,patient", [*(f"{n},p" for n in range(1, 13)), "3,q"], "line 14 of the patient table is invalid.*twice"),
        ("file,patient", ["1,"], "line 2 of the patient table is invalid.*empty"),
        ("name,grade", ["1,II"], "lacks a required column"),
        ("patient,grade", ["1,II"], "lacks a required column"),
        ("file,patient,fold", ["1,p,1", "2,p,2"], "patient 'p' is in fold 1 and in fold 2"),
    ],
)
def test_wrong_tables(flat: Path, tmp_path: Path, head: str, rows: list[str], what: str) -> None:
    with pytest.raises(InputError, match=what):
        find_cases(flat, patients=table(tmp_path, head, *rows))


def test_a_name_that_stands_for_two_files_is_refused(tmp_path: Path) -> None:
    for patient in ("a", "b"):
        (tmp_path / patient).mkdir()
        Image.fromarray(GREY).save(tmp_path / patient / "1.png")
    with pytest.raises(InputError, match=r"'1' matches several files.*a/1, b/1"):
        find_cases(tmp_path, patients=table(tmp_path, "file,patient", "1,p"))
    sources = find_cases(tmp_path, patients=table(tmp_path, "file,patient", "a/1.png,p", "b/1,p"))
    assert {source.patient for source in sources} == {"p"}


def test_a_table_or_a_pattern(flat: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="give one of them"):
        find_cases(flat, patients="table.csv", patient_pattern="(.*)")
    with pytest.raises(InputError, match="no such patient table"):
        find_cases(flat, patients="absent.csv")


def test_a_table_of_studies_in_one_folder(tmp_path: Path, run_metseg) -> None:
    root = tmp_path / "data"
    root.mkdir()
    for study in ("x1", "x2", "y1"):
        for name in ("t1c", "flair"):
            data = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
            nib.save(nib.Nifti1Image(data, np.eye(4)), root / f"{study}_{name}.nii.gz")
    given = table(root, "case,patient", "x1,X", "x2,X", "y1,Y")
    assert {s.case_id: s.patient for s in find_cases(root, patients="table.csv")} == {"x1": "X", "x2": "X", "y1": "Y"}
    document = json.loads(run_metseg("inspect", root, "--patients", given, "--json").out)
    assert (document["patients"], document["cases"]) == (2, 3)


@pytest.mark.real
def test_the_table_of_a_public_data_set_is_understood(real_data: Path, tmp_path: Path) -> None:
    """Cheng et al. 2015: 2,400 slices, the authors' folds 1 to 4, no patients; the pictures are made up here."""
    lines = (real_data / "more" / "cheng_t1c.csv").read_text().splitlines()
    fold_of = {line.split(",")[0]: line.split(",")[2] for line in lines[1:]}
    assert len(fold_of) == 2400
    chosen = list(fold_of)[:: 2400 // 40]
    for number in chosen:
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir(exist_ok=True)
            Image.fromarray(GREY).save(tmp_path / folder / f"{number}.png")
    found = find(tmp_path, patients=str(real_data / "more" / "cheng_t1c.csv"))
    assert any(f"{2400 - len(chosen):,} rows for files that do not exist" in note for note in found.notes)
    split = make_split(found.sources, SplitPart(test=0, folds=4))
    assert [{fold_of[unit] for unit in fold} for fold in split.folds] == [{"1"}, {"2"}, {"3"}, {"4"}]

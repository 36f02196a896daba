"""`metseg inspect` and `metseg split`: what is printed and written."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from metseg.io import Split


@pytest.fixture
def data_set(tmp_path: Path) -> Path:
    """Return ten patients of two slices, one with lesion, and their grades."""
    root = tmp_path / "data"
    for patient in range(10):
        for number in (1, 2):
            picture = np.full((6, 8), 10 * patient + number, dtype=np.uint8)
            picture[0, 0] = 255
            mask = np.zeros((6, 8), dtype=np.uint8)
            mask[2:4, 2:4] = 255 * (number - 1)
            folder = root / f"p{patient}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(folder / f"{number}.png")
            Image.fromarray(mask).save(folder / f"{number}_mask.png")
    lines = [f"p{patient},{'II' if patient < 5 else 'III'}" for patient in range(10)]
    (root / "patients.csv").write_text("\n".join(["patient,grade", *lines]))
    return root


def test_inspect_prints_one_json_document(data_set, run_metseg):
    result = run_metseg("inspect", data_set, "--json")
    assert (result.status, result.err) == (0, "")
    document = json.loads(result.out)
    assert (document["patients"], document["slices"], document["lesion_slices"]) == (10, 20, 10)


def test_inspect_prints_a_line_for_each_fact_and_fault(data_set, run_metseg):
    (data_set / "p3" / "2_mask.png").unlink()
    (data_set / "p4" / "1.png").write_bytes(b"GIF89a")
    result = run_metseg("inspect", data_set)
    assert result.status == 0
    assert "holds: 10 patients, 20 slices, 9 with lesion" in result.out
    assert "image, no mask: 1 picture: p3/2" in result.out
    assert "bad file: p4/1.png: not a supported image format (expected PNG" in result.out
    assert "mask, no image" not in result.out


def test_inspect_writes_a_contact_sheet(data_set, tmp_path, run_metseg):
    sheet = tmp_path / "new" / "sheet.png"
    result = run_metseg("inspect", data_set, "--contact-sheet", sheet)
    assert str(sheet) in result.out
    with Image.open(sheet) as image:
        assert image.format == "PNG"
        assert min(image.size) > 300


def test_inspect_of_two_roots_and_a_pattern(data_set, tmp_path, run_metseg):
    flat = tmp_path / "flat"
    for kind, ending in (("images", ""), ("masks", "_mask")):
        for number in (1, 2):
            target = flat / kind / f"ann_{number}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((data_set / "p1" / f"{number}{ending}.png").read_bytes())
    pattern = r"^(.*)_\d+$"
    for arguments in (
        (f"{flat / 'images'}::{flat / 'masks'}",),
        (flat / "images", "--masks", flat / "masks"),
        (flat, "--layout", "images_masks"),
    ):
        document = json.loads(run_metseg("inspect", *arguments, "--patient-pattern", pattern, "--json").out)
        assert (document["patients"], document["lesion_slices"]) == (1, 1)


def test_inspect_refuses_what_it_cannot_understand(tmp_path, run_metseg):
    status, out, err = run_metseg("inspect", tmp_path / "absent")
    assert (status, out) == (3, "")
    assert err.startswith(f"metseg: {tmp_path / 'absent'}: ")
    assert err.count("\n") == 1


def test_inspect_takes_a_single_picture_or_volume(data_set, tmp_path, run_metseg):
    document = json.loads(run_metseg("inspect", data_set / "p1" / "2.png", "--json").out)
    assert (document["layout"], document["slices"], document["root"]) == (
        "single file",
        1,
        str(data_set / "p1" / "2.png"),
    )
    volume = tmp_path / "t1c.nii.gz"
    nib.save(nib.Nifti1Image(np.arange(64, dtype=np.int16).reshape(4, 4, 4), np.diag([40, 40, 40, 1])), volume)
    status, out, err = run_metseg("inspect", volume)
    assert (status, err) == (0, "")
    assert f"data set: {volume} (single file)" in out
    assert "sequences: t1c (1)" in out
    volume.write_bytes(volume.read_bytes()[:40])
    status, out, err = run_metseg("inspect", volume)
    assert (status, out, err.count("\n")) == (3, "", 1)
    assert "t1c.nii.gz: " in err


@pytest.mark.parametrize(
    ("option", "value"),
    [("--layout", "images_masks"), ("--labels", "binary"), ("--masks", "masks"), ("--patients", "patients.csv")],
)
def test_options_for_folders_are_refused_with_a_single_file(data_set, run_metseg, option, value):
    status, out, err = run_metseg("inspect", data_set / "p1" / "2.png", option, value)
    assert (status, out) == (2, "")
    assert f"{option} cannot be used with a single file" in err


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "lines"])
@pytest.mark.parametrize("kind", ["pictures", "volumes"])
def test_inspect_fails_where_every_case_is_wrong(tmp_path, run_metseg, kind, as_json):
    name = {"pictures": "p{}/1.png", "volumes": "BraTS-MET-0000{}-000/BraTS-MET-0000{}-000-t1c.nii.gz"}[kind]
    for patient in (1, 2):
        path = tmp_path / name.replace("{}", str(patient))
        path.parent.mkdir(parents=True)
        path.write_bytes(b"nothing that could be read")
    result = run_metseg("inspect", tmp_path, *(["--json"] if as_json else []))
    assert result.status == 3
    assert result.err.startswith(f"metseg: {tmp_path}: no case is usable (got 2 cases of 2 with errors)")
    if as_json:
        assert json.loads(result.out)["cases"] == 2


def test_split_writes_what_it_prints(data_set, tmp_path, run_metseg):
    out = tmp_path / "split.json"
    result = run_metseg(
        "split", data_set, "--out", out, "--test", 0.2, "--validation", 0.2, "--stratify", "grade", "--json"
    )
    assert result.status == 0
    assert json.loads(result.out) == json.loads(out.read_text())
    split = Split.load(out)
    assert [len(split.train), len(split.validation), len(split.test)] == [6, 2, 2]
    assert {int(unit[1:]) // 5 for unit in split.test} == {0, 1}  # one patient of each grade


def test_split_replaces_a_file_only_where_that_is_asked_for(data_set, tmp_path, run_metseg):
    out = tmp_path / "split.json"
    out.write_text("somebody's own")
    result = run_metseg("split", data_set, "--out", out)
    assert (result.status, result.out) == (2, "")
    assert "--overwrite" in result.err
    assert out.read_text() == "somebody's own"
    assert run_metseg("split", data_set, "--out", out, "--overwrite").status == 0
    assert Split.load(out).test


def test_split_defaults_are_the_recipes(data_set, tmp_path, run_metseg):
    from metseg.io import find_cases, make_split
    from metseg.recipe import SplitPart

    run_metseg("split", data_set, "--out", tmp_path / "split.json")
    assert Split.load(tmp_path / "split.json") == make_split(find_cases(data_set), SplitPart())


def test_split_shows_folds(data_set, tmp_path, run_metseg):
    result = run_metseg("split", data_set, "--out", tmp_path / "split.json", "--folds", 4, "--stratify", "grade")
    for name in ("fold 0", "fold 3", "test", "grade II", "grade III"):
        assert name in result.out
    assert "leaks" not in result.out


def test_split_counts_slices_where_there_are_any(data_set, tmp_path, run_metseg):
    result = run_metseg("split", data_set, "--out", tmp_path / "split.json", "--test", 0.2, "--validation", 0.2)
    assert rows_of(result.out) == {
        "part": ["patients", "cases", "slices"],
        "train": ["6", "6", "12"],
        "validation": ["2", "2", "4"],
        "test": ["2", "2", "4"],
    }


def test_split_counts_the_examinations_of_volumes_without_reading_them(tmp_path, run_metseg):
    for patient in range(10):
        for time in range(1 + patient % 2):
            case = f"BraTS-MET-{patient:05}-{time:03}"
            (tmp_path / "data" / case).mkdir(parents=True)
            (tmp_path / "data" / case / f"{case}-t1c.nii.gz").touch()  # nothing that could be read
    options = ("--test", 0.2, "--validation", 0.2)
    result = run_metseg("split", tmp_path / "data", "--out", tmp_path / "split.json", *options)
    assert (result.status, result.err) == (0, "")
    rows = rows_of(result.out)
    assert rows.pop("part") == ["patients", "cases"]
    assert [patients for patients, _ in rows.values()] == ["6", "2", "2"]
    assert sum(int(cases) for _, cases in rows.values()) == 15
    split = Split.load(tmp_path / "split.json")
    twice = sum(int(patient[-1]) % 2 for patient in split.train)
    assert rows["train"][1] == str(6 + twice)


def rows_of(table: str) -> dict[str, list[str]]:
    """Return the cells of each row of a printed table by the row's first cell."""
    cells = [[cell for cell in re.split(r"[│┃┆|\s]+", line) if cell] for line in table.splitlines()]
    return {row[0]: row[1:] for row in cells if row and row[0] in ("part", "train", "validation", "test")}


def test_split_by_slice_says_that_it_leaks(data_set, tmp_path, run_metseg):
    result = run_metseg("split", data_set, "--out", tmp_path / "split.json", "--by", "slice")
    assert "leaks patients" in result.err
    assert Split.load(tmp_path / "split.json").leaks_patients


@pytest.mark.parametrize("options", [("--by", "lesion"), ("--test", "1.5"), ("--stratify", "grad"), ("--folds", "-1")])
def test_split_refuses_bad_options_and_writes_nothing(data_set, tmp_path, options, run_metseg):
    result = run_metseg("split", data_set, "--out", tmp_path / "split.json", *options)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("metseg: ")
    assert result.err.count("\n") == 1
    assert not (tmp_path / "split.json").exists()

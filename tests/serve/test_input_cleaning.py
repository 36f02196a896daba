"""Uploads that an operator keeps become de-identified copies when their study has ended."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydicom import dcmread

from metseg.errors import ResourceError, UsageError
from metseg.io.dicom.pseudonyms import KEY_VARIABLE
from metseg.serve.settings import load_settings
from metseg.serve.storage import input_cleaning
from metseg.serve.storage.folders import Folders, StudyFolder
from metseg.serve.storage.retention import discard_scratch

STUDY = "a" * 32


@pytest.fixture(autouse=True)
def _secret_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "a long random text")


@pytest.fixture
def folder(home: Path, scanner: SimpleNamespace, make: SimpleNamespace) -> StudyFolder:
    """Return the folder of a study with four DICOM images that have a hundred identifiers, and a NIfTI file."""
    planted = runpy.run_path(str(Path(__file__).parents[1] / "deidentification" / "planted.py"))["planted"]()
    found = Folders(home).study(STUDY)
    for number, item in enumerate(scanner.slices(scanner.pixels(4), **planted), start=1):
        found.inputs.mkdir(parents=True, exist_ok=True)
        item.save_as(found.inputs / f"{number:04d}.dcm", enforce_file_format=True)
    (found.inputs / "0005.nii.gz").write_bytes(make.nifti(descrip=b"Q000ZWX"))
    found.work.mkdir()
    return found


def test_copies_have_no_identifier_and_all_else_is_removed(home: Path, folder: StudyFolder) -> None:
    settings = load_settings(discard_inputs=False, deidentify_inputs=True)
    pixels = sorted(dcmread(path).PixelData for path in folder.inputs.glob("*.dcm"))
    discard_scratch(Folders(home), STUDY, settings)
    assert [path.name for path in folder.root.iterdir()] == ["deidentified"]
    copies = sorted(folder.deidentified.rglob("*.dcm"))
    assert sorted(dcmread(path).PixelData for path in copies) == pixels
    for path in copies:
        assert b"ZWX" not in path.read_bytes()
        assert "ZWX" not in str(path)
    before = {path: path.stat().st_mtime_ns for path in copies}
    discard_scratch(Folders(home), STUDY, settings)  # the sweeper does it again
    assert {path: path.stat().st_mtime_ns for path in folder.deidentified.rglob("*.dcm")} == before


def test_a_killed_process_leaves_nothing_half_done(folder: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException): ...

    def killed(*_: object) -> None:
        raise Killed

    monkeypatch.setattr(input_cleaning, "flush_renames", killed)
    with pytest.raises(Killed):
        input_cleaning.deidentify_inputs(folder)
    assert folder.inputs.exists()
    monkeypatch.undo()
    monkeypatch.setenv(KEY_VARIABLE, "a long random text")
    input_cleaning.deidentify_inputs(folder)
    assert [path.name for path in folder.root.iterdir() if path.name != "work"] == ["deidentified"]
    assert len(list(folder.deidentified.rglob("*.dcm"))) == 4


def test_copies_stay_complete_if_a_process_was_killed_while_it_removed_the_uploads(folder: StudyFolder) -> None:
    some = folder.inputs / "0001.dcm"
    content = some.read_bytes()
    input_cleaning.deidentify_inputs(folder)
    folder.inputs.mkdir()
    some.write_bytes(content)
    input_cleaning.deidentify_inputs(folder)
    assert len(list(folder.deidentified.rglob("*.dcm"))) == 4
    assert not folder.inputs.exists()


def test_of_two_processes_the_first_one_keeps_its_copies(folder: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweeper and the worker that ended the study can copy at the same time."""
    copy = input_cleaning._copies

    def overtaken(inputs: Path, out: Path) -> int:
        monkeypatch.setattr(input_cleaning, "_copies", copy)
        (inputs / "0001.dcm").rename(folder.root / "not copied")
        copies = copy(inputs, out)
        (folder.root / "not copied").rename(inputs / "0001.dcm")
        input_cleaning.deidentify_inputs(folder)
        return copies

    monkeypatch.setattr(input_cleaning, "_copies", overtaken)
    with pytest.raises(OSError, match="deidentified"):
        input_cleaning.deidentify_inputs(folder)
    assert len(list(folder.deidentified.rglob("*.dcm"))) == 4


def test_a_full_disk_keeps_the_uploads_until_the_next_sweep(
    home: Path, folder: StudyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise ResourceError("the disk is full", code="resources.disk")

    monkeypatch.setattr(input_cleaning, "_copies", full)
    settings = load_settings(discard_inputs=False, deidentify_inputs=True)
    discard_scratch(Folders(home), STUDY, settings)
    assert len(list(folder.inputs.iterdir())) == 5
    monkeypatch.undo()
    monkeypatch.setenv(KEY_VARIABLE, "a long random text")
    discard_scratch(Folders(home), STUDY, settings)
    assert not folder.inputs.exists()


def test_studies_without_dicom_keep_nothing(folder: StudyFolder) -> None:
    for path in folder.inputs.glob("*.dcm"):
        path.unlink()
    input_cleaning.deidentify_inputs(folder)
    assert not folder.inputs.exists()
    assert not folder.deidentified.exists()


def test_settings_that_contradict_each_other_are_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="discard_inputs=false"):
        load_settings(deidentify_inputs=True)
    monkeypatch.delenv(KEY_VARIABLE)
    with pytest.raises(UsageError, match=KEY_VARIABLE):
        load_settings(deidentify_inputs=True, discard_inputs=False)

"""DICOM objects of the service: written for DICOM studies, where the settings ask for them."""

from __future__ import annotations

import hashlib
import runpy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest

from metseg.schemas import ARTIFACTS, Kind, Options, Phase
from metseg.serve.jobs.phases.job import Job, JobCache, artifacts_in
from metseg.serve.jobs.phases.model_cache import Models
from metseg.serve.jobs.phases.phase_table import run_phase
from metseg.serve.settings import Settings, load_settings
from metseg.serve.storage.folders import StudyFolder
from metseg.serve.storage.job_repository import WorkInput
from metseg.serve.storage.patient_identity import patient_hash

STUDY = "0123456789abcdef0123456789abcdef"
EXPORTS = ("seg", "rtstruct", "sr", "pdf")


@pytest.fixture
def dicom_job(tmp_path: Path, home: Path) -> Callable[..., Job]:
    """Return a function that makes a job of an uploaded DICOM series with one bright box."""
    scanner = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[2] / "io" / "dicom" / "scanner.py")))

    def make(**settings: object) -> Job:
        stored = np.zeros((10, 24, 20), dtype=np.uint16)
        stored[1:9, 2:22, 2:18] = 100
        stored[3:6, 5:8, 4:7] = 300
        described = {"SeriesDescription": "T1 MPRAGE", "ContrastBolusAgent": "Gadavist", "SeriesNumber": 4}
        folder = StudyFolder(tmp_path / "study")
        folder.work.mkdir(parents=True)
        paths = scanner.write(folder.inputs, scanner.slices(stored, StudyID="1", **described))
        uploads = tuple(
            WorkInput(
                path, number, Kind.DICOM, None, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()
            )
            for number, path in enumerate(paths, start=1)
        )
        models = Models(kept=2, device="cpu")
        artifacts = artifacts_in(folder.artifacts)
        hashed = partial(patient_hash, home)
        return Job(STUDY, folder, uploads, "bright-t1c", Options(), models, JobCache(), artifacts, hashed, **settings)

    return make


def outputs(job: Job) -> list[pydicom.FileDataset]:
    """Run every phase and return the DICOM objects."""
    for phase in Phase:
        run_phase(phase, job)
    return [pydicom.dcmread(path) for path in sorted(job.folder.artifacts.glob("*.dcm"))]


def test_without_the_setting_there_are_none(dicom_job: Callable[..., Job]) -> None:
    assert outputs(dicom_job()) == []


def test_objects_of_a_study_name_no_person(dicom_job: Callable[..., Job]) -> None:
    job = dicom_job(dicom_exports=EXPORTS)
    made = outputs(job)
    assert [item.Modality for item in made] == ["DOC", "RTSTRUCT", "SEG", "SR"]
    assert all(str(item.PatientName).startswith("patient-") for item in made)
    assert made[2].pixel_array.sum() == 27
    for path in job.folder.artifacts.iterdir():
        assert b"4711-SECRET" not in path.read_bytes()
        assert b"Mustermann" not in path.read_bytes()
        assert path.name in ARTIFACTS
    before = {path.name: path.read_bytes() for path in job.folder.artifacts.glob("*.dcm")}
    (job.folder.work / "render.json").unlink()
    run_phase(Phase.RENDER, job)
    assert before == {path.name: path.read_bytes() for path in job.folder.artifacts.glob("*.dcm")}


def test_the_operator_gives_the_patient_back(dicom_job: Callable[..., Job]) -> None:
    made = outputs(dicom_job(dicom_exports=("sr",), dicom_identity="keep"))
    assert [str(item.PatientName) for item in made] == ["Mustermann^Erika"] * 2


def test_what_cannot_be_written_is_a_warning(dicom_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    from metseg.errors import InputError
    from metseg.serve.jobs.phases import dicom_artifacts

    def refuse(*_: object, **__: object) -> None:
        raise InputError("slices were interpolated", code="export.interpolated")

    monkeypatch.setattr(dicom_artifacts, "read_source_headers", refuse)
    job = dicom_job(dicom_exports=EXPORTS)
    assert outputs(job) == []
    assert job.outcome(Phase.RENDER).warnings == ("No DICOM objects were written: slices were interpolated.",)


@pytest.mark.parametrize("failing", ["build_exports", "encoded"])
def test_an_error_of_the_dicom_libraries_is_a_warning_without_values_of_headers(
    dicom_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failing: str
) -> None:
    from metseg.serve.jobs.phases import dicom_artifacts

    original, calls = getattr(dicom_artifacts, failing), []

    def refuse(*given: object, **named: object) -> object:
        calls.append(given)
        if failing == "encoded" and len(calls) == 1:
            return original(*given, **named)  # the first object is fine, so that only a later one fails
        raise ValueError("not a person name: 'Mustermann^Erika'")

    monkeypatch.setattr(dicom_artifacts, failing, refuse)
    job = dicom_job(dicom_exports=EXPORTS)
    assert outputs(job) == []
    warnings = job.outcome(Phase.RENDER).warnings
    assert warnings == ("No DICOM objects were written: the headers of the images do not allow it.",)
    assert "ValueError" in caplog.text
    assert "Mustermann" not in caplog.text


def test_the_settings_are_read_from_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("METSEG_DICOM_EXPORTS", "seg, sr")
    monkeypatch.setenv("METSEG_DICOM_IDENTITY", "keep")
    settings: Settings = load_settings(home=tmp_path)
    assert (settings.dicom_exports, settings.dicom_identity) == (("seg", "sr"), "keep")

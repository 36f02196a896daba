"""Studies that name different patients are not compared; the service keeps keyed hashes and no ids."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from metseg.client.study_client import Client
from metseg.serve.service_context import Service
from metseg.serve.storage.db_models import StudyRecord
from metseg.serve.storage.patient_identity import KEY_FILE, differ, patient_hash

from .finished_study import finish
from .test_follow_ups import AFFINE, GROWING, follow, head, quick_reports  # noqa: F401 - a fixture

Examine = Callable[..., str]


@pytest.fixture
def examine(client: TestClient, service: Service, make: SimpleNamespace) -> Examine:
    """Return a function that makes a finished study of a patient id; None: its files name no patient."""

    def run(patient_id: str | None, radius: int) -> str:
        image = head((GROWING, radius))
        files = {"t1c": ("a.nii.gz", make.nifti(image, AFFINE))}
        study = str(client.post("/studies", files=files, data={"model": "bright-t1c"}).json()["id"])
        finish(service, study, image, AFFINE, ("t1c",))
        if patient_id is not None:
            with service.database.write() as session:
                session.get_one(StudyRecord, study).patient_hash = patient_hash(service.settings.home, patient_id)
        return study

    return run


@pytest.mark.usefixtures("quick_reports")
def test_studies_of_different_patients_are_refused_unless_the_caller_knows_better(
    client: TestClient, service: Service, examine: Examine
) -> None:
    first, same, other, unknown = (examine(name, 3 + n) for n, name in enumerate(("4711", "4711", "4712", None)))
    refused = follow(client, first, other)
    assert (refused.status_code, refused.json()["code"]) == (409, "request.different_patients")
    assert "allow_different_ids" in refused.json()["cure"]
    assert follow(client, first, unknown, other).status_code == 409
    assert list(service.folders.follow_ups.iterdir()) == []
    for studies in ((first, same), (first, unknown)):
        answer = follow(client, *studies)
        assert answer.status_code == 201
        assert not any("different patients" in doubt for doubt in answer.json()["document"]["doubts"])
    allowed = follow(client, first, unknown, other, allow_different_ids=True)
    assert allowed.status_code == 201
    doubt = allowed.json()["document"]["doubts"][0]
    assert "examination 1: patient 1, examination 2: not known, examination 3: patient 2" in doubt
    with Client("http://127.0.0.1:8000", transport=client._transport) as caller:
        assert caller.follow([first, other], allow_different_ids=True).document.doubts[0].startswith("The examinations")
    key = (service.settings.home / KEY_FILE).read_bytes().hex()
    assert not any(text in allowed.text for text in ("4711", key, *_hashes(service).values()))


def test_hashes_by_another_key_say_nothing(tmp_path: Path) -> None:
    one, two = patient_hash(tmp_path, "4711"), patient_hash(tmp_path, "4712")
    assert one == patient_hash(tmp_path, "4711")
    assert differ([one, two])
    (tmp_path / KEY_FILE).unlink()  # lost, and made anew
    again = patient_hash(tmp_path, "4711")
    assert again != one
    assert not differ([one, again])
    assert differ([one, again, two])


def test_the_key_is_private_and_made_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: patient_hash(tmp_path, "4711"), range(32)))
    assert len(found) == 1
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]
    if os.name == "posix":
        assert (tmp_path / KEY_FILE).stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_a_worker_stores_the_hash_of_dicom_studies_and_no_id(
    client: TestClient, service: Service, scanner: SimpleNamespace, make: SimpleNamespace, work_off: Any, home: Path
) -> None:
    """As files and as an archive; without a patient id, and for NIfTI, nothing is known."""
    ids = {"files": "4711-SECRET", "archive": "4711-SECRET", "other": "4712-SECRET", "none": ""}
    studies = {}
    for name, patient_id in ids.items():
        content = _dicom(scanner, name, patient_id)
        files = [("files", ("study.zip", _archive(content)))] if name == "archive" else []
        files = files or [("files", (f"{number}.dcm", one)) for number, one in enumerate(content)]
        answer = client.post("/studies", files=files, data={"model": "bright-t1c"})
        studies[name] = str(answer.json()["id"])
    nifti = client.post("/studies", files={"t1c": ("a.nii.gz", make.nifti())}, data={"model": "bright-t1c"})
    studies["nifti"] = str(nifti.json()["id"])
    for study in studies.values():
        work_off(service, study)
        assert client.get(f"/studies/{study}").json()["state"] == "done"
    found = _hashes(service)
    assert set(found) == {studies[name] for name in ("files", "archive", "other")}
    assert found[studies["files"]] == found[studies["archive"]] == patient_hash(home, "4711-SECRET")
    assert follow(client, studies["files"], studies["other"]).json()["code"] == "request.different_patients"
    shown = "".join(client.get(f"/studies/{study}").text for study in studies.values())
    assert not any(value in shown for value in found.values())
    service.database.close()
    left = [path for path in home.rglob("*") if path.is_file() and "inputs" not in path.parts]
    assert [path.name for path in left if b"SECRET" in path.read_bytes()] == []


def _dicom(scanner: SimpleNamespace, name: str, patient_id: str) -> list[bytes]:
    from pydicom import dcmwrite

    stored = np.zeros((10, 24, 20), dtype=np.uint16)
    stored[1:9, 2:22, 2:18], stored[3:6, 5:8, 4:7] = 100, 300
    described = {"SeriesDescription": "T1 MPRAGE", "ContrastBolusAgent": "Gadavist", "SeriesNumber": 4, "StudyID": "1"}
    uid = scanner.uid("study", name)
    found = []
    for dataset in scanner.slices(stored, PatientID=patient_id, StudyInstanceUID=uid, series=name, **described):
        stream = io.BytesIO()
        dcmwrite(stream, dataset)
        found.append(stream.getvalue())
    return found


def _archive(content: list[bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for number, one in enumerate(content):
            archive.writestr(f"{number}.dcm", one)
    return stream.getvalue()


def _hashes(service: Service) -> dict[str, str]:
    with service.database.read() as session:
        return {study.id: study.patient_hash for study in session.query(StudyRecord) if study.patient_hash}

"""Results of a study are stored in a PACS: what is sent, what is refused, and what the audit log says of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import BasicTextSRStorage, ExplicitVRLittleEndian, generate_uid

from metseg.dicom_export.source_headers import PSEUDONYM_METHOD
from metseg.pacs.pacs_errors import PacsError
from metseg.pacs.study_records import InstanceReference, OutgoingObject
from metseg.serve import pacs_access
from metseg.serve.pacs_access import DICOM
from metseg.serve.service_context import Service
from metseg.serve.storage.db_models import ArtifactRecord, AuditRecord
from metseg.serve.versions import version_report

from .finished_study import finished


@dataclass
class Archive:
    """A PACS that stores every object, or ends the connection after some of them."""

    ends_after: int | None = None
    stored: list[str] = field(default_factory=list)

    def find_instances(self, study_uid: str) -> tuple[InstanceReference, ...]:
        return ()

    def store(self, objects: Sequence[OutgoingObject]) -> Iterator[tuple[OutgoingObject, str]]:
        for place, item in enumerate(objects):
            if place == self.ends_after:
                raise PacsError("the connection ended", code="pacs.interrupted")
            self.stored.append(item.path.name)
            yield item, ""


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Archive:
    made = Archive()
    monkeypatch.setattr(pacs_access, "connect", lambda *_args, **_options: made)
    for name in ("write_study_html", "write_study_pdf"):  # they take seconds
        monkeypatch.setattr(version_report, name, lambda _report, path: path.write_text("report"))
    return made


@pytest.fixture
def client(make_client: Any, archive: Archive) -> TestClient:
    return make_client(pacs={"archive": "dimse://ORTHANC@127.0.0.1:1"})  # type: ignore[no-any-return]


def write_dicom(path: Path, **elements: str) -> None:
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = BasicTextSRStorage, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)


def with_results(client: TestClient, service: Service, make: SimpleNamespace, **elements: str) -> str:
    """Return a finished study with two DICOM results."""
    study = finished(client, service, make)
    folder = service.folders.study(study).artifacts
    with service.database.write() as session:
        for name in ("seg.dcm", "sr.dcm"):
            write_dicom(folder / name, **elements)
            session.add(
                ArtifactRecord(
                    study_id=study,
                    name=name,
                    media_type=DICOM,
                    bytes=(folder / name).stat().st_size,
                    sha256="0" * 64,
                    created_at=datetime.now(UTC),
                )
            )
    return study


def send(client: TestClient, study: str, **more: Any) -> Any:
    return client.post("/pacs/archive/send", json={"study": study, **more})


def sent_entries(service: Service) -> list[Any]:
    with service.database.read() as session:
        query = sa.select(AuditRecord).where(AuditRecord.action == "pacs.sent").order_by(AuditRecord.number)
        return [json.loads(entry.detail) for entry in session.scalars(query)]


def test_results_of_a_corrected_study_are_sent_only_on_demand(
    client: TestClient, service: Service, make: SimpleNamespace, archive: Archive
) -> None:
    study = with_results(client, service, make)
    body = {"parent": 0, "edits": [{"action": "reject", "lesion": 1}]}
    assert client.post(f"/studies/{study}/versions", json=body).status_code == 201
    refused = send(client, study)
    assert (refused.status_code, refused.json()["code"]) == (409, "request.corrected")
    assert (archive.stored, sent_entries(service)) == ([], [])
    assert send(client, study, without_corrections=True).json()["stored"] == ["seg.dcm", "sr.dcm"]
    assert archive.stored == ["seg.dcm", "sr.dcm"]


def test_results_of_a_source_without_identity_are_sent_and_pseudonyms_are_not(
    client: TestClient, service: Service, make: SimpleNamespace, archive: Archive
) -> None:
    study = with_results(
        client, service, make, PatientIdentityRemoved="YES", DeidentificationMethod="the hospital's research archive"
    )
    assert send(client, study).json()["stored"] == ["seg.dcm", "sr.dcm"]
    other = with_results(client, service, make, PatientIdentityRemoved="YES", DeidentificationMethod=PSEUDONYM_METHOD)
    assert send(client, other).json()["code"] == "request.pseudonym"


def test_a_study_without_dicom_results_has_a_code_of_its_own(
    client: TestClient, service: Service, make: SimpleNamespace
) -> None:
    assert send(client, finished(client, service, make)).json()["code"] == "request.no_dicom"


def test_objects_stored_before_the_connection_ended_are_in_the_audit_log(
    client: TestClient, service: Service, make: SimpleNamespace, archive: Archive
) -> None:
    study = with_results(client, service, make)
    archive.ends_after = 1
    answer = send(client, study)
    assert (answer.status_code, answer.json()["code"]) == (503, "pacs.interrupted")
    assert archive.stored == ["seg.dcm"]
    assert sent_entries(service) == [
        {"pacs": "archive", "stored": 1, "present": 0, "failed": 1, "error": "pacs.interrupted"}
    ]
    archive.ends_after = None
    send(client, study)
    assert sent_entries(service)[1:] == [{"pacs": "archive", "stored": 2, "present": 0, "failed": 0}]

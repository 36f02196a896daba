"""STOW-RS: objects of real clients reach the receiver once, and nonsense gets a clear answer."""

from __future__ import annotations

import errno
import io
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pynetdicom")

from dicomweb_client.web import DICOMwebClient
from fastapi.testclient import TestClient
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, EncapsulatedPDFStorage, MRImageStorage

from metseg.client.study_client import Client
from metseg.pacs import connect, send_files
from metseg.pacs.receiver_state import JobState, ReceiverState
from metseg.pacs.routing_rules import RoutingRules
from metseg.pacs.study_processing import StudyProcessor

from .running import served

RULES = RoutingRules.model_validate({"rule": [{"modality": "MR", "model": "bright-t1c"}]})
BOUNDARY = "part"
RELATED = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
STUDIES = "/dicom-web/studies"
#: Tags of the answer.
STORED, FAILED, UNIDENTIFIED, SOP_UID, REASON = "00081199", "00081198", "0008119A", "00081155", "00081197"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of the receiver."""
    return tmp_path / "received"


@pytest.fixture
def client(make_client: Callable[..., TestClient], folder: Path) -> TestClient:
    return make_client(receiver_folder=folder)


@pytest.fixture
def state(folder: Path) -> Iterator[ReceiverState]:
    """Return the state of the receiver, opened a second time as its own process does."""
    state = ReceiverState(folder / "receiver.sqlite")
    yield state
    state.close()


@pytest.fixture
def slices(scanner: SimpleNamespace) -> list[Dataset]:
    """Return a study of three images."""
    found: list[Dataset] = scanner.slices(scanner.pixels(3))
    return found


def encoded(dataset: Dataset, **options: Any) -> bytes:
    """Return an object as the bytes of a file."""
    stream = io.BytesIO()
    dcmwrite(stream, dataset, **options)
    return stream.getvalue()


def related(*parts: bytes, part_type: str = "application/dicom", end: bytes = b"--\r\n") -> bytes:
    """Return the body of a request."""
    head = f"--{BOUNDARY}\r\nContent-Type: {part_type}\r\n\r\n".encode()
    return b"".join(head + part + b"\r\n" for part in parts) + f"--{BOUNDARY}".encode() + end


def post(client: TestClient, body: bytes, path: str = STUDIES, content_type: str = RELATED, **headers: str) -> Any:
    return client.post(path, content=body, headers={"Content-Type": content_type, **headers})


def files_below(folder: Path) -> dict[str, bytes]:
    """Return the stored objects by their UIDs."""
    return {path.stem: path.read_bytes() for path in (folder / "studies").rglob("*") if path.is_file()}


def reasons(answer: Any) -> list[int]:
    items = [*answer.get(FAILED, {}).get("Value", ()), *answer.get(UNIDENTIFIED, {}).get("Value", ())]
    return [item[REASON]["Value"][0] for item in items]


def test_a_real_client_stores_a_study_once(
    client: TestClient, folder: Path, slices: list[Dataset], state: ReceiverState, audited: Any
) -> None:
    uid = slices[0].StudyInstanceUID
    with served(client.app) as url:
        stow = DICOMwebClient(f"{url}/dicom-web")
        for study_uid in (None, uid):  # the second request changes nothing
            answer = stow.store_instances(slices, study_instance_uid=study_uid)
            found = {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence}
            assert found == {dataset.SOPInstanceUID for dataset in slices}
            assert {item.ReferencedSOPClassUID for item in answer.ReferencedSOPSequence} == {MRImageStorage}
            assert "FailedSOPSequence" not in answer
    stored = files_below(folder)
    assert set(stored) == {dataset.SOPInstanceUID for dataset in slices}
    for dataset in slices:
        assert dcmread(io.BytesIO(stored[dataset.SOPInstanceUID])).PixelData == dataset.PixelData
    assert state.quiet_studies(time.time()) == [uid]
    assert state.quiet_studies(time.time() - 60) == []
    assert audited(client.app.state.service).count("local stow.received") == 2  # type: ignore[attr-defined]
    if os.name == "posix":
        assert {path.stat().st_mode & 0o077 for path in folder.rglob("*") if path.suffix == ".sqlite"} == {0}


def test_our_own_client_stores_with_a_key(
    client: TestClient, folder: Path, slices: list[Dataset], scanner: SimpleNamespace, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    service = client.app.state.service  # type: ignore[attr-defined]
    paths = scanner.write(tmp_path / "study", slices)
    with served(client.app) as url:
        monkeypatch.setenv("METSEG_PACS_TOKEN", service.keys.add("scanner", ["store"]))
        assert len(send_files(connect(f"{url}/dicom-web"), paths).stored) == 3
        monkeypatch.setenv("METSEG_PACS_TOKEN", service.keys.add("ward-7"))  # the usual scopes do not allow it
        refused = send_files(connect(f"{url}/dicom-web"), paths).error
        assert refused is not None
        assert refused.code == "pacs.unauthorised"
    assert len(files_below(folder)) == 3


def test_some_objects_fail_and_the_others_are_stored(
    client: TestClient, folder: Path, slices: list[Dataset], scanner: SimpleNamespace
) -> None:
    good, other = slices[:2]
    other.StudyInstanceUID = "1.2.3"
    answer = post(client, related(encoded(good), encoded(other)), f"{STUDIES}/{good.StudyInstanceUID}")
    assert (answer.status_code, answer.headers["content-type"]) == (202, "application/dicom+json")
    document = answer.json()
    assert [item[SOP_UID]["Value"] for item in document[STORED]["Value"]] == [[good.SOPInstanceUID]]
    assert [item[SOP_UID]["Value"] for item in document[FAILED]["Value"]] == [[other.SOPInstanceUID]]
    assert reasons(document) == [0xA901]
    assert set(files_below(folder)) == {good.SOPInstanceUID}
    assert scanner.PATIENT_ID not in answer.text


def _damaged(slices: list[Dataset]) -> Iterator[tuple[str, bytes, int]]:
    """Yield objects that cannot be stored: what is wrong, the file, and the reason of the failure."""
    one = slices[0]
    whole = encoded(one)
    yield "nonsense", b"no object at all", 0xC000
    yield "nothing", b"", 0xC000
    yield "zeros behind the letters DICM", bytes(128) + b"DICM" + bytes(5000), 0xC000
    yield "half an object", whole[: len(whole) - one.Rows * one.Columns], 0xC000
    yield "half a header", whole[:400], 0xC000
    for uid in ("../../../../tmp/x", "1..2", "1." * 40 + "1", ""):
        wrong = dcmread(io.BytesIO(whole))
        wrong.StudyInstanceUID = uid
        yield f"UID {uid!r}", encoded(wrong), 0xC000
    syntax = one.file_meta.TransferSyntaxUID.encode()
    yield "unknown transfer syntax", whole.replace(syntax, syntax[:-1] + b"9", 1), 0xC122
    deflated = dcmread(io.BytesIO(whole))
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    yield "deflated", encoded(deflated), 0xC122
    unknown = dcmread(io.BytesIO(whole))
    unknown.SOPClassUID = unknown.file_meta.MediaStorageSOPClassUID = UID("1.2.3.4")
    yield "unknown SOP class", encoded(unknown), 0x0122
    unlike = dcmread(io.BytesIO(whole))
    unlike.file_meta.MediaStorageSOPClassUID = EncapsulatedPDFStorage
    yield "another class in the file meta", encoded(unlike), 0xA900


@pytest.mark.filterwarnings("ignore:.*UI:UserWarning", "ignore:.*UID")
def test_objects_that_cannot_be_stored_have_a_reason(
    client: TestClient, folder: Path, slices: list[Dataset], tmp_path: Path, scanner: SimpleNamespace
) -> None:
    before = sorted(tmp_path.iterdir())
    for what, content, reason in _damaged(slices):
        answer = post(client, related(content))
        assert (answer.status_code, reasons(answer.json())) == (409, [reason]), what
        assert STORED not in answer.json(), what
        assert scanner.PATIENT_ID not in answer.text
    assert files_below(folder) == {}
    assert sorted(tmp_path.iterdir()) == sorted({*before, folder})
    incoming = client.app.state.service.folders.incoming  # type: ignore[attr-defined]
    assert list(incoming.iterdir()) == []
    # The same UIDs, sent correctly, are stored afterwards.
    assert post(client, related(encoded(slices[0]))).status_code == 200


def test_bodies_that_are_refused(client: TestClient, folder: Path, slices: list[Dataset]) -> None:
    whole = encoded(slices[0])
    body = related(whole)
    wrong: list[tuple[bytes, str, int, str]] = [
        (body[: len(body) // 2], RELATED, 400, "request.malformed"),
        (related(whole, end=b""), RELATED, 400, "request.malformed"),
        (b"", RELATED, 400, "request.malformed"),
        (b"nonsense", RELATED, 400, "request.malformed"),
        (f"--{BOUNDARY}--\r\n".encode(), RELATED, 400, "request.malformed"),
        (body, 'multipart/related; type="application/dicom"', 400, "request.malformed"),
        (body, RELATED.replace("=part", "=other"), 400, "request.malformed"),
        (body, "application/dicom", 415, "request.media_type"),
        (whole, "application/octet-stream", 415, "request.media_type"),
        (body, f"multipart/form-data; boundary={BOUNDARY}", 415, "request.media_type"),
        (body, RELATED.replace("application/dicom", "application/dicom+json"), 415, "request.media_type"),
        (related(whole, b"{}", part_type="application/dicom+json"), RELATED, 415, "request.media_type"),
        (body, "", 415, "request.media_type"),
    ]
    for content, content_type, status, code in wrong:
        answer = post(client, content, content_type=content_type)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (content_type, answer.text)
    for path, status in (("..%2F..%2Fetc", 404), ("abc", 422), ("1..2", 422), ("1" * 65, 422), ("a/series/b", 404)):
        assert post(client, body, f"{STUDIES}/{path}").status_code == status
    assert post(client, body, Accept="application/dicom+xml").status_code == 406
    assert client.get(STUDIES).status_code == 405
    assert not folder.exists()
    for variant in (
        f"multipart/related; type=application/dicom; boundary={BOUNDARY}",
        f"Multipart/Related;boundary={BOUNDARY}",
    ):
        assert post(client, body, content_type=variant).status_code == 200
    accepted = post(client, b"\r\n" + body + b"an epilogue", Accept="application/json")
    assert (accepted.status_code, len(files_below(folder))) == (200, 1)


def test_limits_are_those_of_an_upload(
    make_client: Callable[..., TestClient], folder: Path, slices: list[Dataset]
) -> None:
    body = related(*map(encoded, slices))
    for limit in ({"upload_max_files": 2}, {"upload_max_bytes": len(body) - 1}):
        answer = post(make_client(receiver_folder=folder, **limit), body)
        assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")
    assert not folder.exists()
    client = make_client(receiver_folder=folder, upload_max_files=3, upload_max_bytes=len(body))
    assert post(client, body).status_code == 200


def test_without_a_receiver_nothing_is_taken(
    make_client: Callable[..., TestClient], slices: list[Dataset], tmp_path: Path
) -> None:
    answer = post(make_client(), related(encoded(slices[0])))
    assert (answer.status_code, answer.json()["code"]) == (404, "request.unknown")
    assert "METSEG_RECEIVER_FOLDER" in answer.json()["cure"]
    (tmp_path / "file").write_text("no folder")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        answer = post(make_client(receiver_folder=place), related(encoded(slices[0])))
        assert (answer.status_code, answer.json()["code"]) == (507, "resources.disk")


def test_a_full_disk_is_no_refusal_of_the_object(
    client: TestClient, folder: Path, slices: list[Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, calls = shutil.copyfileobj, []

    def fails_once(*files: Any) -> None:
        calls.append(files)
        if len(calls) == 1:
            raise OSError(errno.ENOSPC, "no space left")
        copy(*files)

    monkeypatch.setattr(shutil, "copyfileobj", fails_once)
    answer = post(client, related(*map(encoded, slices[:2])))
    assert (answer.status_code, reasons(answer.json())) == (202, [0xA700])
    calls.clear()
    answer = post(client, related(encoded(slices[2])))
    assert (answer.status_code, answer.json()["code"]) == (507, "resources.disk")
    assert set(files_below(folder)) == {slices[1].SOPInstanceUID}


@pytest.mark.slow
def test_a_study_by_stow_goes_through_the_receiver_to_the_pacs_once(
    make_client: Callable[..., TestClient], folder: Path, state: ReceiverState, scanner: SimpleNamespace, work_off: Any,
    tmp_path: Path,
) -> None:  # fmt: skip
    """Sent twice and by both doors of the folder: one job, one study of the service, results in one PACS."""
    settings = {"dicom_exports": ("seg", "sr"), "dicom_identity": "keep", "volume_model": "bright-t1c"}
    client = make_client(receiver_folder=folder, **settings)
    archive = make_client(receiver_folder=tmp_path / "archive")  # a PACS for the results that speaks STOW-RS: our own
    stored = np.zeros((10, 24, 20), dtype=np.uint16)
    stored[1:9, 2:22, 2:18], stored[3:6, 5:8, 4:7] = 100, 300
    described = {"SeriesDescription": "T1 MPRAGE", "ContrastBolusAgent": "Gadavist", "SeriesNumber": 4, "StudyID": "1"}
    study = scanner.slices(stored, **described)
    service = client.app.state.service  # type: ignore[attr-defined]
    with served(client.app) as url, served(archive.app) as pacs, Client(url) as caller:
        stow = DICOMwebClient(f"{url}/dicom-web")
        stow.store_instances(study[:6])
        stow.store_instances(study[4:])
        events: list[str] = []
        processor = StudyProcessor(
            folder, state, RULES, caller, connect(f"{pacs}/dicom-web"), quiet_s=60,
            audit=lambda event, **_: events.append(event),
        )  # fmt: skip
        processor.step(time.time())
        assert events == []  # not quiet for long enough
        later = iter(time.time() + 100 * number for number in range(1, 100))
        processor.step(next(later))
        (job,) = state.jobs()
        assert (len(job.files), job.model) == (10, "bright-t1c")
        assert job.state == JobState.SUBMITTED
        work_off(service, job.service_study)
        for _ in range(3):
            processor.step(next(later))
        assert [job.state for job in state.jobs()] == [JobState.DONE]
        stow.store_instances(study)  # again: nothing new
        for _ in range(3):
            processor.step(next(later))
        assert [job.state for job in state.jobs()] == [JobState.DONE]
        assert len(caller.list()) == 1
    assert events == ["complete", "submitted", "fetched", "sent"]
    results = [dcmread(io.BytesIO(content)) for content in files_below(tmp_path / "archive").values()]
    assert sorted(result.Modality for result in results) == ["SEG", "SR"]
    assert {result.StudyInstanceUID for result in results} == {study[0].StudyInstanceUID}

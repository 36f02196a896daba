"""An operator searches a real Orthanc through the service, takes a study, and stores its results; wrong requests."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

pytest.importorskip("pynetdicom")

from metseg.errors import UsageError
from metseg.pacs import StudyQuery, connect, send_files
from metseg.schemas import Scope
from metseg.serve.settings import load_settings
from metseg.serve.storage.api_keys import Keys

TESTS = Path(__file__).parents[1]
DOWN = "dimse://ORTHANC@127.0.0.1:1"
#: Words of the study that must stay in the answers of the PACS.
NAMES = ("4711", "Doppler", "Ada", "A/17")


@pytest.fixture(scope="module")
def scanner() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(TESTS / "io" / "dicom" / "scanner.py")))


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory, scanner: SimpleNamespace) -> Iterator[Any]:
    """Return an Orthanc with one study, and another that has no MR images."""
    module = runpy.run_path(str(TESTS / "pacs" / "orthanc.py"))
    if reason := module["missing_programs"]():
        pytest.skip(reason)
    server = module["Orthanc"](tmp_path_factory.mktemp("orthanc"))
    server.start()
    stored = np.zeros((6, 24, 20), dtype=np.uint16)
    stored[:, 2:22, 2:18], stored[2:5, 5:8, 4:7] = 100, 300
    described = {
        "SeriesDescription": "T1 MPRAGE", "ContrastBolusAgent": "Gadavist", "SeriesNumber": 4, "StudyID": "1",
        "PatientName": "Doppler^Ada", "AccessionNumber": "A/17", "StudyDescription": "Brain",
    }  # fmt: skip
    folder = tmp_path_factory.mktemp("study")
    scanner.write(folder / "mr", scanner.slices(stored, **described))
    other = {"StudyInstanceUID": scanner.uid("ct"), "Modality": "CT", "PatientID": "4712"}
    scanner.write(folder / "ct", scanner.slices(stored[:1], series="ct", **other))
    send_files(connect(server.web), [folder])
    yield server
    server.kill()


@pytest.fixture
def client(make_client: Callable[..., TestClient], orthanc: Any) -> TestClient:
    """Return a client of a service with three PACS: by DIMSE, by DICOMweb, and one that is down."""
    return make_client(
        pacs={"dimse": orthanc.dimse, "web": orthanc.web, "down": DOWN},
        pacs_timeout_s=10,
        dicom_exports=("seg", "sr"),
        dicom_identity="keep",
        volume_model="bright-t1c",
    )


def ask(client: TestClient, action: str, body: dict[str, Any], pacs: str = "dimse", **headers: str) -> Any:
    return client.post(f"/pacs/{pacs}/{action}", json=body, headers=headers)


@pytest.mark.parametrize("pacs", ["dimse", "web"])
def test_studies_are_found_by_patient_and_date(client: TestClient, scanner: SimpleNamespace, pacs: str) -> None:
    assert client.get("/pacs").json() == {"pacs": ["dimse", "web", "down"]}
    for conditions in (
        {"patient_id": "4711*"},
        {"patient_name": "Doppler*"},
        {"dates": "20240101-20240131", "modality": "MR"},
        {"accession": "A/17", "description": "Brain"},
    ):
        answer = ask(client, "search", conditions, pacs)
        assert answer.status_code == 200, answer.text
        (found,) = answer.json()["studies"]
        assert (found["study_uid"], found["patient_name"], found["instances"]) == (
            scanner.uid("study"), "Doppler^Ada", 6,
        )  # fmt: skip
    assert ask(client, "search", {"patient_name": "Nobody"}, pacs).json() == {"studies": [], "truncated": False}


@pytest.mark.slow
def test_a_study_is_taken_analysed_and_its_results_are_stored_once(
    client: TestClient, service: Any, orthanc: Any, scanner: SimpleNamespace, work_off: Any,
    audited: Callable[..., list[str]],
) -> None:  # fmt: skip
    uid = scanner.uid("study")
    answer = ask(client, "fetch", {"study_uid": uid, "label": "visit 2"})
    assert answer.status_code == 202, answer.text
    study = answer.json()
    assert answer.headers["Location"] == f"/studies/{study['id']}"
    assert (study["kind"], study["label"], len(study["inputs"])) == ("dicom", "visit 2", 6)
    again = ask(client, "fetch", {"study_uid": uid, "label": "visit 2"}, "web")
    assert (again.json()["id"], again.headers["Idempotent-Replayed"]) == (study["id"], "true")
    assert ask(client, "send", {"study": study["id"]}).json()["code"] == "request.state"  # not done yet

    work_off(service, study["id"])
    done = client.get(f"/studies/{study['id']}").json()
    assert (done["state"], len(done["lesions"])) == ("done", 1)
    names = {item["name"] for item in done["artifacts"] if item["name"].endswith(".dcm")}
    sent = ask(client, "send", {"study": study["id"]}).json()
    assert (set(sent["stored"]), sent["present"], sent["failed"]) == (names, [], [])
    assert set(ask(client, "send", {"study": study["id"]}, "web").json()["present"]) == names
    (found,) = connect(orthanc.web).find_studies(StudyQuery(study_uid=uid))
    assert (set(found.modalities), found.instances) == ({"MR", "SEG", "SR"}, 8)
    # With its own results in the PACS, the study is still the same images.
    assert ask(client, "fetch", {"study_uid": uid, "label": "visit 2"}).json()["id"] == study["id"]
    entries = audited(service)
    assert [entry for entry in entries if "pacs" in entry] == [
        *["local pacs.fetched"] * 2, *["local pacs.sent"] * 2, "local pacs.fetched",
    ]  # fmt: skip
    assert list(service.folders.incoming.iterdir()) == []


def test_only_operators_reach_a_pacs(client: TestClient, service: Any, scanner: SimpleNamespace) -> None:
    keys = Keys(service.database)
    usual, operator = (
        {"Authorization": f"Bearer {keys.add(name, scopes)}"}
        for name, scopes in (("one", (Scope.READ, Scope.WRITE)), ("two", tuple(Scope)))
    )
    viewer = {"Authorization": f"Bearer {keys.add('two', (Scope.READ, Scope.OPERATE))}"}
    assert client.get("/pacs", headers=usual).json() == {"pacs": []}
    assert client.get("/pacs", headers=operator).json()["pacs"] == ["dimse", "web", "down"]
    fetch = {"study_uid": scanner.uid("study")}
    for action, body in (("search", {"patient_id": "4711"}), ("fetch", fetch), ("send", {"study": "0" * 32})):
        assert ask(client, action, body, **usual).json()["code"] == "request.forbidden"
        assert ask(client, action, body).status_code == 401
    assert ask(client, "fetch", fetch, **viewer).json()["code"] == "request.forbidden"  # may not write
    study = ask(client, "fetch", fetch, **operator).json()["id"]
    stranger = {"Authorization": f"Bearer {keys.add('three', tuple(Scope))}"}
    answer = ask(client, "send", {"study": study}, **stranger)
    assert (answer.status_code, answer.json()["code"]) == (404, "request.unknown")


def test_wrong_requests_are_refused_and_leave_nothing(
    client: TestClient, service: Any, scanner: SimpleNamespace
) -> None:
    known = scanner.uid("study")
    wrong: list[tuple[str, dict[str, Any], str, int, str]] = [
        ("search", {"patient_id": "4711"}, "absent", 404, "request.unknown"),
        ("search", {}, "dimse", 422, "request.invalid"),
        ("search", {"patient_id": "a\\b"}, "dimse", 422, "request.invalid"),
        ("search", {"patient_id": "a\nb"}, "dimse", 422, "request.invalid"),
        ("search", {"dates": "yesterday"}, "dimse", 422, "usage.date"),
        ("search", {"modality": "mr"}, "dimse", 422, "request.invalid"),
        ("search", {"patient_id": "4711"}, "down", 503, "pacs.unreachable"),
        ("fetch", {"study_uid": "1.2.3"}, "dimse", 404, "pacs.not_found"),
        ("fetch", {"study_uid": "1.2.3"}, "web", 404, "pacs.not_found"),
        ("fetch", {"study_uid": "../../etc"}, "dimse", 400, "request.url"),
        ("fetch", {"study_uid": "1" * 65}, "dimse", 422, "request.invalid"),
        ("fetch", {"study_uid": known}, "down", 503, "pacs.unreachable"),
        ("fetch", {"study_uid": scanner.uid("ct")}, "dimse", 422, "input.no_images"),
        ("fetch", {"study_uid": known, "options": {"model": "absent"}}, "dimse", 422, "request.invalid"),
        ("send", {"study": "0" * 32}, "dimse", 404, "request.unknown"),
        ("send", {"study": "x"}, "dimse", 422, "request.invalid"),
    ]
    for action, body, pacs, status, code in wrong:
        answer = ask(client, action, body, pacs)
        assert (answer.status_code, answer.json()["code"]) == (status, code), (action, body, answer.text)
        assert not any(name in answer.text for name in NAMES if name not in str(body))
    assert client.get("/studies").json()["studies"] == []
    assert list(service.folders.incoming.iterdir()) == []


def test_a_study_that_is_too_large_is_not_taken(
    make_client: Callable[..., TestClient], orthanc: Any, scanner: SimpleNamespace
) -> None:
    for limit in ({"upload_max_files": 3}, {"upload_max_bytes": 3000}):
        client = make_client(pacs={"dimse": orthanc.dimse}, **limit)
        answer = ask(client, "fetch", {"study_uid": scanner.uid("study")})
        assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")
        assert list(client.app.state.service.folders.incoming.iterdir()) == []  # type: ignore[attr-defined]


@pytest.mark.slow
def test_results_with_a_pseudonym_are_not_sent(
    make_client: Callable[..., TestClient], orthanc: Any, scanner: SimpleNamespace, work_off: Any
) -> None:
    client = make_client(pacs={"dimse": orthanc.dimse}, dicom_exports=("seg",), volume_model="bright-t1c")
    before = orthanc.count()
    study = ask(client, "fetch", {"study_uid": scanner.uid("study")}).json()["id"]
    work_off(client.app.state.service, study)  # type: ignore[attr-defined]
    answer = ask(client, "send", {"study": study})
    assert (answer.status_code, answer.json()["code"]) == (409, "request.pseudonym")
    assert "pseudonym" in answer.json()["detail"]
    assert orthanc.count() == before


def test_the_table_of_pacs_is_checked_at_the_start(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "metseg.toml").write_text('[pacs]\narchive = "dimse://ORTHANC@pacs.example.org:4242"\n')
    assert load_settings().pacs == {"archive": "dimse://ORTHANC@pacs.example.org:4242"}
    monkeypatch.setenv("METSEG_PACS", '{"other": "https://pacs.example.org/dicom-web"}')
    assert set(load_settings().pacs) == {"archive", "other"}
    for wrong in ('{"a": "ftp://pacs"}', '{"a b": "https://pacs.example.org"}', '{"a": "https://me:secret@pacs"}', "x"):
        monkeypatch.setenv("METSEG_PACS", wrong)
        with pytest.raises(UsageError) as refused:
            load_settings()
        assert "secret" not in str(refused.value)

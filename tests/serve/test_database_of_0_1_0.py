"""The home of a service that 0.1.0 left (``tests/fixtures/0.1.0/README.md``), opened by today's service."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient

from metseg.serve.app import create_app
from metseg.serve.diagnostics import examine
from metseg.serve.settings import load_settings
from metseg.serve.storage import audit
from metseg.serve.storage.api_keys import Keys
from metseg.serve.storage.database import Database, open_database
from metseg.serve.storage.db_models import StudyRecord

from . import running

OLD = Path(__file__).parents[1] / "fixtures" / "0.1.0" / "service-home"
KEY = "msk_501aa392642e_UBpCIlWWSNXWIbvnJRCAIJUuhOq6Qj8GiNSKl5Qe5JY"
BEARER = {"Authorization": f"Bearer {KEY}"}
DONE, FAILED = "d938317243264481a14528f34c57c335", "68f92bfaacfe421f9ab4eb2f2f0937fc"
CANCELLED, WAITING = "6506cb325f924fe3a54597cfea1f2f9a", "407111b17bb54067bee4f7973896cdca"
#: Newest first.
STATES = {WAITING: "queued", CANCELLED: "cancelled", FAILED: "failed", DONE: "done"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the home of 0.1.0."""
    folder = shutil.copytree(OLD, tmp_path / "home")
    monkeypatch.setenv("METSEG_HOME", str(folder))
    monkeypatch.setenv("METSEG_DISK_RESERVE_BYTES", "1")
    return folder


@pytest.fixture
def client(home: Path) -> Iterator[TestClient]:
    app = create_app(load_settings())
    yield TestClient(app, base_url="http://127.0.0.1:8000", headers=BEARER)
    app.state.service.database.close()


@pytest.fixture
def database(home: Path) -> Iterator[Database]:
    database = open_database(load_settings())
    yield database
    database.close()


def test_the_doctor_finds_nothing_wrong(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METSEG_PORT", str(running.free_port()))
    found = {finding.name: finding for finding in examine()}
    assert {name: finding.error for name, finding in found.items() if finding.error is not None} == {}
    assert found["database"].text == "sqlite, tables will be migrated at the next start"
    assert found["keys"].text == "required for requests"
    assert "bright-t1c" in found["models"].text


def test_the_audit_log_is_unbroken_and_the_key_still_opens(database: Database) -> None:
    assert audit.verify(database).broken_at is None
    holder = Keys(database).holder(KEY)
    assert holder is not None
    assert holder.owner == "local"


def test_the_studies_are_listed_with_their_states(client: TestClient) -> None:
    listed = client.get("/studies").json()["studies"]
    assert {study["id"]: study["state"] for study in listed} == STATES
    assert [study["id"] for study in listed] == list(STATES)


def test_a_finished_study_is_shown_whole(client: TestClient) -> None:
    study = client.get(f"/studies/{DONE}").json()
    (lesion,) = study["lesions"]
    assert (lesion["id"], lesion["volume_ml"]) == (1, pytest.approx(0.054))
    assert "report.pdf" in [artifact["name"] for artifact in study["artifacts"]]
    table = client.get(f"/studies/{DONE}/artifacts/lesions.csv")
    assert table.status_code == 200
    assert len(table.text.splitlines()) == 2


def test_the_result_of_a_finished_study_is_version_0(client: TestClient) -> None:
    """The fixture keeps the mask and no probabilities, which corrections need: the service says so."""
    (version,) = client.get(f"/studies/{DONE}/versions").json()["versions"]
    assert (version["number"], version["lesions"], version["source"]) == (0, 1, "model")
    answer = client.get(f"/studies/{DONE}/versions/0/artifacts/mask.nii.gz")
    assert answer.content == client.get(f"/studies/{DONE}/artifacts/mask.nii.gz").content
    body = {"parent": 0, "edits": [{"action": "accept", "lesion": 1}]}
    refused = client.post(f"/studies/{DONE}/versions", json=body)
    assert (refused.status_code, refused.json()["code"]) == (409, "request.results_missing")
    assert "probability.nii.gz" in refused.json()["detail"]


def test_a_finished_study_with_its_files_can_be_corrected(client: TestClient, home: Path) -> None:
    """0.1.0 wrote no instance map: the lesions get the numbers of the stored table."""
    import gzip

    import nibabel
    import numpy as np

    folder = home / "studies" / DONE[:2] / DONE / "artifacts"
    mask = nibabel.Nifti1Image.from_bytes(gzip.decompress((folder / "mask.nii.gz").read_bytes()))
    labels = np.asanyarray(mask.dataobj)
    image = np.full(labels.shape, 100, np.int16)
    for name, data in (("image", image), ("probability", labels.astype(np.uint16) * 60000)):
        content = nibabel.Nifti1Image(data, mask.affine).to_bytes()
        (folder / f"{name}.nii.gz").write_bytes(gzip.compress(content))
    body = {"parent": 0, "edits": [{"action": "accept", "lesion": 1}]}
    made = client.post(f"/studies/{DONE}/versions", json=body)
    assert made.status_code == 201, made.text
    (lesion,) = made.json()["table"]
    assert (lesion["state"], lesion["was"], lesion["changed"]) == ("accepted", [1], False)


def test_of_its_studies_no_patient_is_known(database: Database) -> None:
    """0.1.0 stored no hashes of patient ids; a follow-up of its studies is not refused for that."""
    with database.read() as session:
        found = {study.id: study.patient_hash for study in session.query(StudyRecord)}
    assert found == dict.fromkeys(STATES)


def test_a_failed_study_says_why(client: TestClient) -> None:
    failure = client.get(f"/studies/{FAILED}").json()["failure"]
    assert (failure["code"], failure["phase"]) == ("input.truncated", "read")


@pytest.mark.slow
def test_a_worker_finishes_what_waited_and_takes_new_studies(home: Path, make: SimpleNamespace) -> None:
    """API and worker of today, with the workflows of 0.1.0 in ``jobs.sqlite``."""
    import httpx

    with running.metseg_up(home, METSEG_DISK_RESERVE_BYTES="1") as service:
        assert service.wait_until_over(f"/studies/{WAITING}", **BEARER)["state"] == "done"
        files = {"t1c": ("a.nii.gz", make.nifti())}
        answer = httpx.post(
            f"{service.url}/studies", files=files, data={"model": "bright-t1c"}, headers=BEARER, timeout=100
        )
        assert answer.status_code == 202, answer.text
        assert service.wait_until_over(f"/studies/{answer.json()['id']}", **BEARER)["state"] == "done"

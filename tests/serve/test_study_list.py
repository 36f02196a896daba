"""The list of studies: labels, search, pages and thumbnails."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from alembic import command
from fastapi.testclient import TestClient
from PIL import Image

from metseg.schemas import Scope, State
from metseg.serve.service_context import Service
from metseg.serve.storage.database import Database
from metseg.serve.storage.db_models import StudyRecord
from metseg.serve.storage.engine import migration_config

WorkOff = Callable[[Service, str], None]


def submit(client: TestClient, make: SimpleNamespace, **data: str) -> Any:
    fields = {"model": "bright-t1c", **data}
    return client.post("/studies", files={"t1c": ("a.nii.gz", make.nifti())}, data=fields).json()


def listed(client: TestClient, **query: Any) -> list[str]:
    answer = client.get("/studies", params=query)
    assert answer.status_code == 200, answer.text
    return [study["id"] for study in answer.json()["studies"]]


def test_a_label_is_set_at_the_upload_and_changed_later(
    client: TestClient, service: Service, make: SimpleNamespace, audited: Any
) -> None:
    study = submit(client, make, label="  Visit  2, after surgery ")
    assert study["label"] == "Visit 2, after surgery"
    etag = client.get(f"/studies/{study['id']}").headers["etag"]
    changed = client.patch(f"/studies/{study['id']}", json={"label": " Visit 3 "})
    assert (changed.status_code, changed.json()["label"]) == (200, "Visit 3")
    assert changed.headers["etag"] != etag
    assert client.get("/studies").json()["studies"][0]["label"] == "Visit 3"
    assert client.patch(f"/studies/{study['id']}", json={"label": "Visit 3"}).headers["etag"] == changed.headers["etag"]
    assert audited(service) == ["local study.accepted", "local study.labelled"]


@pytest.mark.parametrize("label", ["x" * 61, "a/b", "<b>", "http://a"])
def test_other_labels_are_refused(client: TestClient, make: SimpleNamespace, label: str) -> None:
    study = submit(client, make)
    assert client.patch(f"/studies/{study['id']}", json={"label": label}).status_code in (400, 422)
    assert submit(client, make, label=label)["status"] in (400, 422)
    assert client.patch(f"/studies/{study['id']}", json={"label": "a", "model": "b"}).status_code == 422
    assert client.get(f"/studies/{study['id']}").json()["label"] == ""


def test_the_body_of_a_label_is_read_with_limits(client: TestClient, service: Service, make: SimpleNamespace) -> None:
    study = submit(client, make)
    body = b'{"label": "' + b"a" * 300_000 + b'"}'
    headers = {"Content-Type": "application/json"}
    answer = client.patch(f"/studies/{study['id']}", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "request.too_large")
    service.keys.add("other")
    assert client.patch(f"/studies/{study['id']}", content=b"{", headers=headers).status_code == 401  # not read


def test_only_the_owner_labels(client: TestClient, service: Service, make: SimpleNamespace) -> None:
    study = submit(client, make)
    reader, other = service.keys.add("local", [Scope.READ]), service.keys.add("other")
    for key, status in ((reader, 403), (other, 404)):
        headers = {"Authorization": f"Bearer {key}"}
        answer = client.patch(f"/studies/{study['id']}", json={"label": "a"}, headers=headers)
        assert answer.status_code == status


def test_studies_are_searched_in_the_database(client: TestClient, service: Service, make: SimpleNamespace) -> None:
    first = submit(client, make, label="Visit_1")["id"]
    second = submit(client, make, label="control")["id"]
    third = submit(client, make, label="VISIT 2")["id"]
    moments = {first: datetime(2026, 1, 5, 12, tzinfo=UTC), second: datetime(2026, 2, 5, tzinfo=UTC)}
    with service.database.write() as session:
        for study_id, moment in moments.items():
            session.get_one(StudyRecord, study_id).created_at = moment
        session.get_one(StudyRecord, second).options = {"model": "bright-two"}
        session.get_one(StudyRecord, second).state = State.FAILED
    assert listed(client) == [third, second, first]
    assert listed(client, label="visit") == [third, first]
    assert listed(client, label="Visit_1") == [first]
    assert listed(client, label="_") == [first]  # no wildcard
    assert listed(client, model="bright-two") == [second]
    assert listed(client, state="failed") == [second]
    assert listed(client, begin="2026-01-05T12:00:00Z", end="2026-02-05T00:00:00Z") == [first]
    assert listed(client, begin="2026-01-05T12:00:01+00:00", end="2026-12-31T00:00:00Z", label="c") == [second]
    assert client.get("/studies", params={"begin": "2026-01-05T12:00:00"}).status_code == 422


@pytest.mark.parametrize("searched", ["après", "APRÈS", "Après"])
def test_labels_are_searched_in_every_alphabet(client: TestClient, make: SimpleNamespace, searched: str) -> None:
    study = submit(client, make, label="APRÈS")["id"]
    assert listed(client, label=searched) == [study]


@pytest.mark.parametrize(
    "query",
    [
        {"begin": "0001-01-01T00:00:00+14:00"},
        {"end": "9999-12-31T23:59:59-14:00"},
        {"label": "visit\x00"},  # PostgreSQL refuses it; SQLite would not
        {"model": "bright\x00"},
    ],
)
def test_a_search_that_no_database_can_answer_is_refused(client: TestClient, query: dict[str, str]) -> None:
    answer = client.get("/studies", params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid")


def test_a_search_reaches_the_ends_of_the_calendar(client: TestClient, make: SimpleNamespace) -> None:
    study = submit(client, make)["id"]
    assert listed(client, begin="0001-01-01T00:00:00Z", end="9999-12-31T23:59:59Z") == [study]


def test_a_search_has_pages(client: TestClient, make: SimpleNamespace) -> None:
    wanted = [submit(client, make, label=f"visit {number}")["id"] for number in range(3)]
    submit(client, make)
    page = client.get("/studies", params={"label": "visit", "limit": 2}).json()
    assert [study["id"] for study in page["studies"]] == wanted[:0:-1]
    assert listed(client, label="visit", limit=2, after=page["next"]) == wanted[:1]


@pytest.mark.parametrize("kind", ["volume", "pictures"])
def test_a_study_that_is_done_has_a_thumbnail(
    bright: Path, client: TestClient, service: Service, work_off: WorkOff, make: SimpleNamespace, kind: str
) -> None:
    pictures = {"files": [("files", (f"{n}.png", make.png(make.square(side)))) for n, side in ((1, 2), (2, 5))]}
    study = submit(client, make) if kind == "volume" else client.post("/studies", **pictures).json()
    assert client.get("/studies").json()["studies"][0]["thumbnail"] is None
    work_off(service, study["id"])
    url = client.get("/studies").json()["studies"][0]["thumbnail"]
    assert url == f"/studies/{study['id']}/artifacts/thumbnail.png"
    shown = Image.open(io.BytesIO(client.get(url).content))
    assert shown.size == (128, 128)
    # The lesion is drawn in colour on the grey image.
    assert any(max(pixel) - min(pixel) > 40 for pixel in shown.convert("RGB").get_flattened_data())


def test_the_migration_of_the_label_goes_back_and_forth(database: Database) -> None:
    moment = datetime.now(UTC) - timedelta(hours=1)
    row = {"id": "a" * 32, "owner": "local", "kind": "nifti", "request_digest": "", "created_at": moment}
    with database.write() as session:
        session.add(StudyRecord(**row, updated_at=moment, label="Visit 1"))
    with database.engine.execution_options(metseg_writes=True).connect() as connection, connection.begin():
        command.downgrade(migration_config(connection), "0001")
    database.migrate()
    with database.read() as session:
        assert session.get_one(StudyRecord, "a" * 32).label == ""

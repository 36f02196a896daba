"""What has to go, goes, and nothing else does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from metseg.schemas import State
from metseg.serve.service_context import Service
from metseg.serve.storage import retention
from metseg.serve.storage.db_models import VersionRecord
from metseg.serve.storage.job_repository import Store
from metseg.serve.storage.retention import ROW_STAYS, Sweeper

NOW = datetime.now(UTC)


@pytest.fixture
def sweeper_at(service: Service) -> Callable[[timedelta], Sweeper]:
    """Return a function that gives a sweeper so much later."""
    return lambda later: Sweeper(service.database, service.settings, clock=lambda: datetime.now(UTC) + later)


@pytest.fixture
def study(client: TestClient, make: SimpleNamespace) -> str:
    return str(client.post("/studies", files={"t1c": ("a.nii.gz", make.nifti())}).json()["id"])


def finish(service: Service, study_id: str) -> None:
    store = Store(service.database, service.settings)
    work = store.claim(study_id, "a")
    with store.artifact(work, "lesions.csv") as path:
        path.write_text("number\n")
    store.finish(work)


def test_a_finished_study_goes_when_its_time_is_over(
    client: TestClient,
    service: Service,
    study: str,
    sweeper_at: Callable[..., Sweeper],
    audited: Callable[..., list[str]],
) -> None:
    finish(service, study)
    sweeper_at(timedelta(days=29)).sweep()
    assert client.get(f"/studies/{study}").json()["state"] == State.DONE
    sweeper_at(timedelta(days=31)).sweep()
    assert client.get(f"/studies/{study}").status_code == 404
    assert not service.folders.study(study).root.exists()
    assert audited(service)[-1] == "retention study.expired"


def test_a_cancelled_study_goes_too(client: TestClient, study: str, sweeper_at: Callable[..., Sweeper]) -> None:
    client.post(f"/studies/{study}/cancel")
    sweeper_at(timedelta(days=31)).sweep()
    assert client.get(f"/studies/{study}").status_code == 404


def test_nothing_goes_where_nothing_shall(
    make_client: Callable[..., TestClient], make: SimpleNamespace, audited: Callable[..., list[str]]
) -> None:
    client = make_client(retention_days=None)
    study = client.post("/studies", files={"t1c": ("a.nii.gz", make.nifti())}).json()["id"]
    service: Service = client.app.state.service  # type: ignore[attr-defined]
    finish(service, study)
    assert client.get(f"/studies/{study}").json()["expires_at"] is None
    later = datetime.now(UTC) + timedelta(days=5000)
    Sweeper(service.database, service.settings, clock=lambda: later).sweep()
    assert client.get(f"/studies/{study}").status_code == 200


def test_open_studies_stay_however_long_they_take(
    client: TestClient, service: Service, study: str, sweeper_at: Callable[..., Sweeper]
) -> None:
    sweeper_at(timedelta(days=1000)).sweep()
    assert client.get(f"/studies/{study}").json()["state"] == State.QUEUED
    assert (service.folders.study(study).inputs / "0001.nii.gz").is_file()


def test_what_a_late_step_wrote_of_a_deleted_study_goes(
    client: TestClient, service: Service, study: str, sweeper_at: Callable[..., Sweeper]
) -> None:
    client.delete(f"/studies/{study}")
    late = service.folders.study(study).work
    late.mkdir(parents=True)
    sweeper_at(timedelta(0)).sweep()
    assert not late.exists()
    late.mkdir(parents=True)
    sweeper_at(ROW_STAYS + timedelta(minutes=1)).sweep()
    assert not late.exists()
    assert not service.folders.study(study).root.exists()
    with service.database.read() as session:
        assert session.connection().exec_driver_sql("SELECT count(*) FROM studies").scalar() == 0
        assert session.connection().exec_driver_sql("SELECT count(*) FROM study_inputs").scalar() == 0
        assert session.connection().exec_driver_sql("SELECT count(*) FROM audit_log").scalar() == 2


def test_uploads_and_scratch_of_what_ended_go(service: Service, study: str, sweeper_at: Callable[..., Sweeper]) -> None:
    folder = service.folders.study(study)
    sweeper_at(timedelta(0)).sweep()
    assert folder.inputs.is_dir()
    finish(service, study)
    sweeper_at(timedelta(0)).sweep()
    assert {path.name for path in folder.root.iterdir()} == {"artifacts"}


def test_files_are_tidied_outside_of_a_transaction(
    service: Service, study: str, sweeper_at: Callable[..., Sweeper], monkeypatch: pytest.MonkeyPatch
) -> None:
    """De-identified copies of a large study take minutes, for which a database should not keep old rows."""
    finish(service, study)
    tidied: list[str] = []
    open_reads: list[str] = []

    @contextmanager
    def read() -> Iterator[Session]:
        with read_really() as session:
            open_reads.append("read")
            yield session
            open_reads.pop()

    def note(_: object, study_id: str, __: object) -> None:
        assert not open_reads
        tidied.append(study_id)

    read_really = service.database.read
    monkeypatch.setattr(service.database, "read", read)
    monkeypatch.setattr(retention, "discard_scratch", note)
    sweeper_at(timedelta(0)).tidy()
    assert tidied == [study]


@pytest.mark.parametrize("at_once", [retention.AT_ONCE, 1])
def test_leftovers_of_killed_processes_go_and_new_ones_stay(
    service: Service, study: str, sweeper_at: Callable[..., Sweeper], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(retention, "AT_ONCE", at_once)
    incoming, studies = service.folders.incoming, service.folders.studies
    old = [incoming / "a", studies / "ab" / ("ab" + "0" * 30), studies / "ff" / ("ff" + "0" * 30)]
    new = [incoming / "b", studies / "cd" / ("cd" + "0" * 30)]
    for folder in (*old, *new):
        folder.mkdir(parents=True)
    long_ago = time.time() - 2 * service.settings.upload_deadline_s - 3600
    for folder in (*old, service.folders.study(study).root):
        os.utime(folder, (long_ago, long_ago))
    sweeper_at(timedelta(0)).sweep()
    assert not any(folder.exists() for folder in old)
    assert all(folder.exists() for folder in new)
    assert service.folders.study(study).inputs.is_dir()


def test_files_of_a_version_that_was_never_stored_go(
    service: Service, study: str, sweeper_at: Callable[..., Sweeper]
) -> None:
    """A process that is killed between the move of the files and the commit of the row leaves them."""
    versions = service.folders.study(study).versions
    stored, orphan, new = (versions / (name * 16) for name in ("aa", "bb", "cc"))
    for folder in (stored, orphan, new):
        folder.mkdir(parents=True)
    with service.database.write() as session:
        row = {"parent": 0, "source": "edits", "created_at": NOW, "actor": "local", "author": "", "note": ""}
        content = {"edits": [], "content": {}, "artifacts": []}
        session.add(VersionRecord(study_id=study, number=1, folder=stored.name, **row, **content))
    long_ago = time.time() - 2 * retention.ORPHAN_AGE_S
    for folder in (stored, orphan):
        os.utime(folder, (long_ago, long_ago))
    sweeper_at(timedelta(0)).sweep()
    assert {folder.name for folder in versions.iterdir()} == {stored.name, new.name}

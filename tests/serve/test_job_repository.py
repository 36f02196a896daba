"""What a worker may do with a study, and what it may no longer do when the study is not its own."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from metseg.errors import InputError, UsageError
from metseg.lesion import Lesion
from metseg.runtime.atomic_io import write_bytes
from metseg.schemas import Failure, Kind, Options, Phase, State
from metseg.serve.http.upload_reader import ReceivedFile
from metseg.serve.settings import Settings
from metseg.serve.storage.api_keys import LOCAL_PRINCIPAL
from metseg.serve.storage.database import Database
from metseg.serve.storage.db_models import StudyRecord
from metseg.serve.storage.job_repository import Store, StudyWithdrawn, Work
from metseg.serve.storage.study_service import CheckedFile, NewStudy, Studies
from metseg.serve.storage.worker_registry import Workers

START = datetime(2025, 3, 14, 9, 26, tzinfo=UTC)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time

    def move(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(database: Database, settings: Settings, clock: Clock) -> Store:
    return Store(database, settings, clock=clock)


@pytest.fixture
def study(store: Store, clock: Clock) -> str:
    return accept(store)


def accept(store: Store) -> str:
    folder = store.folders.incoming / "upload"
    folder.mkdir()
    (folder / "0001").write_bytes(b"abc")
    file = CheckedFile(ReceivedFile(1, folder / "0001", "t1c", 3, "0" * 64), Kind.NIFTI, ".nii")
    new = NewStudy(folder, Kind.NIFTI, [file], Options(model="m"), "d" * 64)
    studies = Studies(store.database, store.settings, clock=store.clock)
    return studies.accept(LOCAL_PRINCIPAL, new)[0].id


def record(store: Store, study_id: str) -> StudyRecord:
    return Studies(store.database, store.settings).find(LOCAL_PRINCIPAL, study_id)


def lesion(number: int, voxels: int = 5) -> Lesion:
    return Lesion(id=number, label="lesion", voxels=voxels, centre_voxel=(1, 2, 3), confidence=0.5)


def test_waiting_studies_oldest_first_until_dispatched(store: Store, clock: Clock) -> None:
    first = accept(store)
    clock.move(1)
    second = accept(store)
    assert store.waiting() == [first, second]
    store.mark_dispatched(first)
    assert store.waiting() == [second]
    store.fail(store.claim(second, "a"), InputError("x"))
    assert store.waiting() == []


def test_a_claim_gives_the_work(store: Store, study: str) -> None:
    work = store.claim(study, "a")
    assert (work.study_id, work.kind, work.options.model) == (study, Kind.NIFTI, "m")
    (file,) = work.inputs
    assert (file.path, file.sequence, file.bytes) == (store.folders.study(study).inputs / "0001.nii", "t1c", 3)
    assert file.path.read_bytes() == b"abc"
    assert work.folder.work.is_dir()
    assert record(store, study).state == State.RUNNING


def writes(store: Store, work: Work) -> dict[str, object]:
    """Return everything that changes a study."""

    def write_artifact() -> None:
        with store.artifact(work, "lesions.csv") as path:
            path.write_text("late")

    return {
        "progress": lambda: store.progress(work, Phase.PREDICT),
        "warnings": lambda: store.set_warnings(work, Phase.READ, ["late"]),
        "lesions": lambda: store.set_lesions(work, []),
        "facts": lambda: store.add_facts(work, model="late"),
        "artifact": write_artifact,
        "finish": lambda: store.finish(work),
        "fail": lambda: store.fail(work, InputError("late")),
        "require": lambda: store.require(work),
    }


@pytest.mark.parametrize("how", ["claimed by another", "cancelled", "deleted", "finished"])
def test_who_lost_a_study_changes_nothing(store: Store, study: str, how: str) -> None:
    work = store.claim(study, "a")
    studies = Studies(store.database, store.settings)
    if how == "claimed by another":
        store.claim(study, "b")
    elif how == "finished":
        store.finish(work)
    else:
        (studies.cancel if how == "cancelled" else studies.delete)(LOCAL_PRINCIPAL, study)
    before = None if how == "deleted" else record(store, study).version
    for name, write in writes(store, work).items():
        with pytest.raises(StudyWithdrawn, match=how):
            write()  # type: ignore[operator]
        if before is not None:
            assert record(store, study).version == before, name
    assert not (work.folder.artifacts / "lesions.csv").exists()
    if how in ("cancelled", "deleted", "finished"):
        with pytest.raises(StudyWithdrawn):
            store.claim(study, "a")


def test_a_claim_may_be_repeated(store: Store, study: str) -> None:
    work = store.claim(study, "a")
    assert store.claim(study, "a") == work
    store.require(work)


def test_progress_never_falls(store: Store, study: str) -> None:
    work = store.claim(study, "a")
    store.progress(work, Phase.PREDICT, 0.5)
    assert record(store, study).progress == 0.55
    store.progress(work, Phase.READ, 0.1)
    assert (record(store, study).progress, record(store, study).phase) == (0.55, Phase.READ)


def test_what_is_set_twice_is_there_once(store: Store, study: str) -> None:
    work = store.claim(study, "a")
    for _ in range(2):
        store.set_warnings(work, Phase.READ, ["one", "two", "one"])
        store.set_warnings(work, Phase.PREDICT, ["three"])
        store.set_lesions(work, [lesion(1), lesion(2)])
        store.add_facts(work, model="m", timings_s={"read": 1.0})
    store.set_warnings(work, Phase.READ, ["two"])
    store.set_lesions(work, [lesion(1, voxels=7)])
    store.add_facts(work, timings_s={"predict": 2.0})
    found = record(store, study)
    assert [(warning.phase, warning.text) for warning in found.warnings] == [
        (Phase.READ, "two"),
        (Phase.PREDICT, "three"),
    ]
    assert [(row.number, row.content["voxels"]) for row in found.lesions] == [(1, 7)]
    assert found.lesion_count == 1
    assert found.facts["timings_s"] == {"read": 1.0, "predict": 2.0}
    assert found.facts["model"] == "m"


def test_facts_are_those_of_the_wire(store: Store, study: str) -> None:
    with pytest.raises(ValueError, match="patient_name"):
        store.add_facts(store.claim(study, "a"), patient_name="Doe")


def test_an_artifact_is_whole_or_not_there(store: Store, study: str) -> None:
    work = store.claim(study, "a")
    with suppress(RuntimeError), store.artifact(work, "report.html") as path:
        path.write_text("half")
        raise RuntimeError
    assert not (work.folder.artifacts / "report.html").exists()
    for content in ("first", "second"):
        with store.artifact(work, "report.html") as path:
            write_bytes(path, content.encode())
    (artifact,) = record(store, study).artifacts
    assert (artifact.name, artifact.bytes) == ("report.html", 6)
    assert (work.folder.artifacts / "report.html").read_text() == "second"
    with pytest.raises(UsageError), store.artifact(work, "../x"):
        pass


def test_the_end(store: Store, study: str, clock: Clock) -> None:
    work = store.claim(study, "a")
    clock.move(5)
    store.finish(work)
    found = record(store, study)
    assert (found.state, found.progress, found.worker) == (State.DONE, 1.0, None)
    assert found.finished_at == START + timedelta(seconds=5)
    assert found.expires_at == START + timedelta(days=30, seconds=5)


def test_a_failure_names_no_path(store: Store, study: str) -> None:
    work = store.claim(study, "a")
    error = InputError(
        "bad", where=work.inputs[0].path, got=work.folder.root, cure="see /var/log/x", code="input.truncated"
    )
    store.fail(work, error, Phase.READ)
    failure = Failure.model_validate(record(store, study).failure)
    assert (failure.code, failure.where, failure.phase) == ("input.truncated", "file 1", Phase.READ)
    assert "/" not in failure.model_dump_json()


def test_nobody_can_work_on_it(store: Store, study: str) -> None:
    store.claim(study, "a")
    failure = Failure(code="resources.time", detail="too long")
    assert store.give_up(study, failure)
    assert not store.give_up(study, failure)
    assert not store.give_up("0" * 32, failure)
    assert record(store, study).state == State.FAILED


def test_running_studies_by_worker(store: Store, clock: Clock) -> None:
    first = accept(store)
    clock.move(1)
    second = accept(store)
    store.claim(first, "worker-1:x")
    store.claim(second, "worker-2:x")
    assert store.running() == [first, second]
    assert store.running(token_prefix="worker-2:") == [second]


def test_heartbeats(database: Database, settings: Settings, clock: Clock) -> None:
    workers = Workers(database, settings, clock=clock)
    assert workers.enter("one", "life-1")
    assert not workers.enter("one", "life-2")  # a worker of that name is alive
    assert workers.beat("one", "life-1", {"models": ["m"]})
    assert workers.alive() == ["one"]
    clock.move(settings.dead_after_s + 1)
    assert (workers.alive(), workers.silent()) == ([], ["one"])
    assert workers.enter("one", "life-2")
    assert not workers.beat("one", "life-1")  # its place was taken
    workers.leave("one", "life-1")
    assert workers.alive() == ["one"]
    workers.leave("one", "life-2")
    assert (workers.alive(), workers.silent()) == ([], [])


def test_a_folder_that_is_gone_is_gone(store: Store, study: str, tmp_path: Path) -> None:
    assert store.folders.remove(study)
    assert store.folders.remove(study)
    assert not store.folders.study(study).root.exists()

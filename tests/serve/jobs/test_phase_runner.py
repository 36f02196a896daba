"""A phase as a worker does it: what the records say before, meanwhile and after, and who may still write."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from metseg.errors import InputError
from metseg.schemas import Phase, State
from metseg.serve.http.serializers import study_of
from metseg.serve.jobs import phase_runner as work_module
from metseg.serve.jobs.claim import Interrupted
from metseg.serve.jobs.heartbeat import Lease
from metseg.serve.jobs.phase_runner import GO_ON, OVER, PhaseRunner, Tools
from metseg.serve.jobs.phases import phase_table as phases_module
from metseg.serve.jobs.phases.job import Job, Outcome
from metseg.serve.jobs.phases.model_cache import Models
from metseg.serve.settings import load_settings
from metseg.serve.storage.api_keys import LOCAL_PRINCIPAL
from metseg.serve.storage.database import open_database
from metseg.serve.storage.db_models import AuditRecord, StudyRecord
from metseg.serve.storage.job_repository import Store
from metseg.serve.storage.study_service import Studies


@pytest.fixture
def tools(home: Path) -> Iterator[Tools]:
    """Return the tools of a worker on SQLite; DBOS says that every workflow is its own."""
    settings = load_settings()
    database = open_database(settings)
    yield Tools(
        store=Store(database, settings),
        token="worker-1:life-1",
        models=Models(kept=2, device="cpu"),
        is_given=lambda _study_id: True,
        lease=Lease(3600),
        stop=threading.Event(),
    )
    database.close()


@pytest.fixture
def study(accept: Callable[..., str], volume_files: list[Any]) -> str:
    """Return the id of an accepted study."""
    return accept(volume_files, "bright-two")


def work_off(bench: PhaseRunner, study_id: str) -> list[str]:
    """Do what the workflow does, and return what each step answered."""
    answers = []
    with bench.opened(study_id) as hold:
        for phase in Phase:
            answers.append(bench.do(hold, phase))
            if answers[-1] != GO_ON:
                return answers
        return [*answers, bench.finish(hold)]


def record(tools: Tools, study_id: str) -> StudyRecord:
    with tools.store.database.read() as session:
        study = session.get_one(StudyRecord, study_id)
        assert study.artifacts is not None
        assert study.lesions is not None
        assert study.warnings is not None
        return study


def audited(tools: Tools, study_id: str) -> list[str]:
    query = sa.select(AuditRecord.action).where(AuditRecord.study_id == study_id).order_by(AuditRecord.number)
    with tools.store.database.read() as session:
        return list(session.scalars(query))


def test_a_study_is_worked_off(tools: Tools, study: str) -> None:
    assert work_off(PhaseRunner(tools), study) == [GO_ON] * 6 + [OVER]
    done = record(tools, study)
    assert (done.state, done.phase, done.progress) == (State.DONE, Phase.RENDER, 1.0)
    assert done.lesion_count == 2
    assert [lesion.content["voxels"] for lesion in done.lesions] == [27, 8]
    names = {artifact.name for artifact in done.artifacts}
    assert {"mask.nii.gz", "report.pdf", "report.html", "lesions.csv", "overlay.png"} <= names
    assert done.facts["model"] == "bright-two"
    assert set(done.facts["timings_s"]) == {str(phase) for phase in Phase}
    folder = tools.store.folders.study(study)
    assert {path.name for path in folder.root.iterdir()} == {"artifacts"}  # uploads and scratch are gone
    assert audited(tools, study) == ["study.accepted", "study.done"]


def test_steps_may_be_repeated_at_any_time(tools: Tools, study: str) -> None:
    """As DBOS does when the worker was killed before the outcome of a step was kept."""
    bench = PhaseRunner(tools)
    with bench.opened(study) as hold:
        for phase in Phase:
            assert bench.do(hold, phase) == GO_ON
            assert PhaseRunner(tools).do(hold, phase) == GO_ON
        assert bench.finish(hold) == OVER
        assert bench.finish(hold) == OVER
        assert bench.do(hold, Phase.RENDER) == OVER
    assert record(tools, study).state == State.DONE
    assert audited(tools, study) == ["study.accepted", "study.done"]


def test_another_worker_goes_on(tools: Tools, study: str) -> None:
    first, second = PhaseRunner(tools), PhaseRunner(replace(tools, token="worker-2:life-1"))
    with first.opened(study) as hold:
        for phase in (Phase.RECEIVE, Phase.READ, Phase.PREPROCESS):
            first.do(hold, phase)
    with second.opened(study) as hold:
        for phase in (Phase.PREDICT, Phase.MEASURE, Phase.RENDER):
            assert second.do(hold, phase) == GO_ON
        second.finish(hold)
    assert record(tools, study).lesion_count == 2
    assert record(tools, study).claims == 2


def test_an_input_that_is_wrong_fails_the_study(
    tools: Tools, accept: Callable[..., str], volume_files: list[Any]
) -> None:
    study = accept(volume_files[:1], "bright-two")
    assert work_off(PhaseRunner(tools), study) == [GO_ON, OVER]
    failed = record(tools, study)
    assert failed.state == State.FAILED
    assert failed.failure is not None
    assert (failed.failure["code"], failed.failure["phase"]) == ("input.missing_sequence", "read")
    assert audited(tools, study) == ["study.accepted", "study.failed"]
    assert not tools.store.folders.study(study).inputs.exists()


def test_a_mistake_of_ours_fails_the_study_and_tells_nothing(
    tools: Tools, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(_job: Job) -> Outcome:
        raise ZeroDivisionError("/srv/secret/DOE^JANE")

    monkeypatch.setattr(phases_module, "PHASES", {Phase.RECEIVE: wrong})
    assert work_off(PhaseRunner(tools), study) == [OVER]
    failure = record(tools, study).failure
    assert failure is not None
    assert failure["code"] == "internal"
    assert "DOE" not in str(failure)


def test_a_cancelled_study_is_left(tools: Tools, study: str) -> None:
    bench = PhaseRunner(tools)
    with bench.opened(study) as hold:
        bench.do(hold, Phase.RECEIVE)
        Studies(tools.store.database, tools.store.settings).cancel(LOCAL_PRINCIPAL, study)
        assert bench.do(hold, Phase.READ) == OVER
    assert record(tools, study).state == State.CANCELLED
    assert not tools.store.folders.study(study).work.exists()


def test_a_study_that_is_cancelled_in_a_phase_ends_it(
    tools: Tools, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metseg.serve.jobs.progress_watch.TELL_EVERY_S", 0.0)

    def long_phase(job: Job) -> Outcome:
        Studies(tools.store.database, tools.store.settings).cancel(LOCAL_PRINCIPAL, study)
        job.on_share(0.5)
        raise AssertionError("went on")

    monkeypatch.setattr(phases_module, "PHASES", {Phase.RECEIVE: long_phase})
    assert work_off(PhaseRunner(tools), study) == [OVER]


def test_nothing_is_left_of_a_study_that_is_deleted_in_a_phase(
    tools: Tools, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def writes_after_all(job: Job) -> Outcome:
        Studies(tools.store.database, tools.store.settings).delete(LOCAL_PRINCIPAL, study)
        job.folder.artifacts.mkdir(parents=True)
        (job.folder.artifacts / "mask.nii.gz").write_bytes(b"late")
        return Outcome()

    monkeypatch.setattr(phases_module, "PHASES", {Phase.RECEIVE: writes_after_all})
    assert work_off(PhaseRunner(tools), study) == [OVER]
    assert not tools.store.folders.study(study).root.exists()


def test_whoever_lost_the_study_leaves_no_outcome(tools: Tools, study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def taken_meanwhile(job: Job) -> Outcome:
        tools.store.claim(study, "worker-2:life-1")
        with job.artifact("lesions.csv") as path:
            path.write_text("of the wrong one")
        raise AssertionError("went on")

    monkeypatch.setattr(phases_module, "PHASES", {Phase.RECEIVE: taken_meanwhile})
    with pytest.raises(Interrupted):
        work_off(PhaseRunner(tools), study)
    assert record(tools, study).state == State.RUNNING
    assert not (tools.store.folders.study(study).artifacts / "lesions.csv").exists()


def test_a_worker_that_ends_interrupts_its_work(tools: Tools, study: str) -> None:
    bench = PhaseRunner(tools)
    with bench.opened(study) as hold:
        assert bench.open_studies == {study}
        tools.stop.set()
        with pytest.raises(Interrupted):
            bench.do(hold, Phase.RECEIVE)
    assert bench.open_studies == frozenset()
    assert record(tools, study).state == State.QUEUED


def test_a_database_that_is_away_is_waited_for(tools: Tools, study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work_module, "FIRST_PAUSE_S", 0.01)
    claim, failures = tools.store.claim, [1, 2, 3]

    def unsteady(study_id: str, token: str) -> Any:
        if failures:
            failures.pop()
            raise OperationalError("SELECT", {}, Exception("server closed the connection"))
        return claim(study_id, token)

    monkeypatch.setattr(tools.store, "claim", unsteady)
    bench = PhaseRunner(tools)
    with bench.opened(study) as hold:
        assert bench.do(hold, Phase.RECEIVE) == GO_ON
    assert not failures


def test_a_phase_is_not_lost_because_its_end_could_not_be_told(
    tools: Tools, study: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work_module, "FIRST_PAUSE_S", 0.01)
    done: list[Phase] = []
    set_warnings, failures = tools.store.set_warnings, [1]

    def phase(job: Job) -> Outcome:
        done.append(Phase.RECEIVE)
        return Outcome(warnings=("noticed",))

    def unsteady(*arguments: Any) -> None:
        if failures:
            failures.pop()
            raise OperationalError("UPDATE", {}, Exception("server closed the connection"))
        set_warnings(*arguments)

    monkeypatch.setattr(phases_module, "PHASES", {Phase.RECEIVE: phase})
    monkeypatch.setattr(tools.store, "set_warnings", unsteady)
    bench = PhaseRunner(tools)
    with bench.opened(study) as hold:
        assert bench.do(hold, Phase.RECEIVE) == GO_ON
    assert done == [Phase.RECEIVE]
    assert [warning.text for warning in record(tools, study).warnings] == ["noticed"]


def test_a_study_that_takes_too_long_fails(tools: Tools, study: str) -> None:
    bench = PhaseRunner(tools)
    with bench.opened(study) as hold:
        assert bench.do(hold, Phase.RECEIVE) == GO_ON
        later = datetime.now(UTC) + timedelta(seconds=tools.store.settings.study_deadline_s)
        tools.store.clock = lambda: later
        assert bench.do(hold, Phase.READ) == OVER
    failure = record(tools, study).failure
    assert failure is not None
    assert failure["code"] == "resources.time"


def test_what_is_told_names_files_by_number(tools: Tools, study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(job: Job) -> Outcome:
        raise InputError("the file is truncated", where=job.uploads[1].path, code="input.truncated")

    monkeypatch.setattr(phases_module, "PHASES", {Phase.RECEIVE: refuses})
    work_off(PhaseRunner(tools), study)
    failure = record(tools, study).failure
    assert failure is not None
    assert failure["where"] == "file 2"
    assert str(tools.store.settings.home) not in str(failure)


def test_a_study_that_does_not_come_back_is_noticed(tools: Tools, study: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bench = PhaseRunner(tools)
    assert not bench.is_stuck
    with bench.opened(study) as hold:
        assert not bench.is_stuck
        hold.begun -= tools.store.settings.study_deadline_s + work_module.STUCK_AFTER_S + 1
        assert bench.is_stuck
    assert not bench.is_stuck


def without_later_keys(path: Path, *keys: str) -> None:
    """Write a JSON file as a version without these keys did."""
    content = json.loads(path.read_text("utf-8"))
    for part in (content, content.get("facts", {}), *(content.get("lesions") or ())):
        for key in keys:
            part.pop(key, None)
    path.write_text(json.dumps(content), "utf-8")


@pytest.mark.parametrize("phases", [2, 3, 4, 5])
def test_a_study_that_was_under_way_during_an_upgrade_goes_on(tools: Tools, study: str, phases: int) -> None:
    """What 0.1.0 left after some phases: a case without `sequence_records`, lesions without `slices`."""
    first = PhaseRunner(tools)
    with first.opened(study) as hold:
        assert [first.do(hold, phase) for phase in list(Phase)[:phases]] == [GO_ON] * phases
    files = sorted(tools.store.folders.study(study).work.rglob("*.json"))
    assert any(path.name == "case.json" for path in files)
    for path in files:
        without_later_keys(path, "sequence_records", "slices" if path.name != "case.json" else "")
    assert work_off(PhaseRunner(tools), study)[-1] == OVER
    done = record(tools, study)
    assert (done.state, done.lesion_count) == (State.DONE, 2)


def test_a_study_in_the_database_of_an_earlier_version_is_shown(tools: Tools, study: str) -> None:
    """The rows of 0.1.0 have facts without `sequence_records` and lesions without `slices`."""
    work_off(PhaseRunner(tools), study)
    with tools.store.database.write() as session:
        found = session.get_one(StudyRecord, study)
        found.facts = {key: value for key, value in found.facts.items() if key != "sequence_records"}
        for lesion in found.lesions:
            lesion.content = {key: value for key, value in lesion.content.items() if key != "slices"}
    with tools.store.database.read() as session:
        shown = study_of(session.get_one(StudyRecord, study))
    assert shown.facts.sequence_records == ()
    assert [lesion.slices for lesion in shown.lesions] == [(), ()]

"""Every accepted study gets a workflow, and every workflow a worker that lives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from metseg.schemas import State
from metseg.serve.jobs.recovery import COMPARE_EVERY, Recovery
from metseg.serve.settings import load_settings
from metseg.serve.storage.database import Database, open_database
from metseg.serve.storage.db_models import StudyRecord
from metseg.serve.storage.job_repository import Store
from metseg.serve.storage.worker_registry import Workers


@dataclass
class Workflow:
    """A workflow as DBOS describes it."""

    workflow_id: str
    executor_id: str | None
    dequeued_at: int | None


class Jobs:
    """What is asked of DBOS, noted."""

    def __init__(self) -> None:
        self.dispatched: list[str] = []
        self.given: list[Workflow] = []
        self.states: dict[str, str] = {}
        self.resumed: list[str] = []

    def dispatch(self, study_id: str) -> None:
        self.dispatched.append(study_id)
        self.states[study_id] = "ENQUEUED"

    def given_workflows(self) -> list[Workflow]:
        return self.given

    def states_of(self, study_ids: list[str]) -> dict[str, str]:
        return {study_id: self.states[study_id] for study_id in study_ids if study_id in self.states}

    def resume(self, study_id: str) -> None:
        self.resumed.append(study_id)


@dataclass
class Setting:
    """A caretaker and all around it."""

    caretaker: Recovery
    jobs: Jobs
    store: Store
    workers: Workers
    open_studies: set[str]


@pytest.fixture
def setting(accept: Callable[..., str]) -> Iterator[Setting]:
    """Return the caretaker of worker ``b``, who is alive."""
    settings = load_settings()
    database: Database = open_database(settings)
    store, workers, jobs = Store(database, settings), Workers(database, settings), Jobs()
    assert workers.enter("b", "life")
    mine: set[str] = set()
    caretaker = Recovery(store, workers, jobs, worker_id="b", open_studies=lambda: frozenset(mine))
    yield Setting(caretaker, jobs, store, workers, mine)
    database.close()


def long_ago() -> int:
    return int(time.time() * 1000) - 60_000


def state_of(store: Store, study_id: str) -> State:
    with store.database.read() as session:
        return State(session.get_one(StudyRecord, study_id).state)


def test_a_study_is_dispatched_once(setting: Setting, accept: Callable[..., str], volume_files: list[Any]) -> None:
    first, second = (accept(volume_files, "bright-two") for _ in range(2))
    setting.caretaker.dispatch_waiting()
    setting.caretaker.dispatch_waiting()
    assert setting.jobs.dispatched == [first, second]  # the oldest first


def test_a_dispatch_that_was_not_noted_is_repeated(
    setting: Setting, accept: Callable[..., str], volume_files: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A workflow has the id of its study, so that a repetition makes no second one."""
    study = accept(volume_files, "bright-two")

    def killed(_study_id: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(setting.store, "mark_dispatched", killed)
        with pytest.raises(KeyboardInterrupt):
            setting.caretaker.dispatch_waiting()
    setting.caretaker.dispatch_waiting()
    assert setting.jobs.dispatched == [study, study]


def test_the_work_of_the_dead_is_put_back(setting: Setting) -> None:
    setting.workers.enter("z", "life")
    setting.jobs.given = [
        Workflow("of the dead", "a", long_ago()),
        Workflow("of the living", "z", long_ago()),
        Workflow("of nobody", None, long_ago()),
    ]
    setting.caretaker.look_after()
    assert setting.jobs.resumed == ["of the dead", "of nobody"]


def test_only_one_of_the_living_puts_back(setting: Setting) -> None:
    setting.workers.enter("a", "life")  # comes before b
    setting.jobs.given = [Workflow("of the dead", "c", long_ago())]
    setting.caretaker.look_after()
    assert setting.jobs.resumed == []
    setting.workers.leave("a", "life")
    setting.caretaker.look_after()
    assert setting.jobs.resumed == ["of the dead"]


def test_own_work_that_nobody_works_on_is_put_back(setting: Setting) -> None:
    setting.workers.enter("a", "life")  # whoever leads: our own is our own
    setting.open_studies.add("open")
    just_now = int(time.time() * 1000)
    setting.jobs.given = [
        Workflow("open", "b", long_ago()),
        Workflow("interrupted", "b", long_ago()),
        Workflow("about to begin", "b", just_now),
    ]
    setting.caretaker.look_after()
    assert setting.jobs.resumed == ["interrupted"]


def test_a_lost_workflow_is_made_anew(setting: Setting, accept: Callable[..., str], volume_files: list[Any]) -> None:
    study = accept(volume_files, "bright-two")
    setting.caretaker.dispatch_waiting()
    setting.jobs.states.clear()
    for _ in range(COMPARE_EVERY):
        setting.caretaker.look_after()
    assert setting.jobs.dispatched == [study, study]
    assert state_of(setting.store, study) == State.QUEUED


@pytest.mark.parametrize("ended", ["ERROR", "MAX_RECOVERY_ATTEMPTS_EXCEEDED", "SUCCESS"])
def test_a_workflow_that_left_its_study_open_ends_it(
    setting: Setting, accept: Callable[..., str], volume_files: list[Any], ended: str
) -> None:
    study = accept(volume_files, "bright-two")
    setting.caretaker.dispatch_waiting()
    setting.jobs.states[study] = ended
    setting.caretaker.compare()
    assert state_of(setting.store, study) == State.FAILED
    setting.caretaker.compare()
    assert setting.jobs.dispatched == [study]


def test_what_is_finished_or_waits_is_left_alone(
    setting: Setting, accept: Callable[..., str], volume_files: list[Any]
) -> None:
    waiting, done = (accept(volume_files, "bright-two") for _ in range(2))
    setting.store.mark_dispatched(done)
    setting.store.finish(setting.store.claim(done, "b:life"))
    setting.jobs.states = {done: "SUCCESS"}
    setting.caretaker.compare()
    assert (state_of(setting.store, waiting), state_of(setting.store, done)) == (State.QUEUED, State.DONE)
    assert setting.jobs.dispatched == []

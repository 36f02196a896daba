"""What DBOS promises and we build on: one workflow a study, steps kept, interrupted ones done again, one outcome."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from dbos import DBOS

from metseg.schemas import Phase
from metseg.serve.jobs import workflow
from metseg.serve.jobs.claim import Interrupted
from metseg.serve.jobs.phase_runner import GO_ON, OVER
from metseg.serve.settings import load_settings

PATIENCE_S = 60.0
PHASES = [str(phase) for phase in Phase]


class Bench:
    """Does nothing, and notes it; what it is given to do at a step, it does there."""

    def __init__(self) -> None:
        self.steps: list[tuple[str, str]] = []
        self.open: Counter[str] = Counter()
        self.at: dict[str, Callable[[], object]] = {}

    @contextmanager
    def opened(self, study_id: str) -> Iterator[str]:
        self.open[study_id] += 1
        yield study_id

    def do(self, hold: str, phase: Phase) -> str:
        return self._note(hold, str(phase), GO_ON)

    def finish(self, hold: str) -> str:
        return self._note(hold, "finish", OVER)

    def _note(self, study_id: str, step: str, answer: str) -> str:
        self.steps.append((study_id, step))
        if step in self.at:
            self.at.pop(step)()
        return answer

    def names(self, study_id: str) -> list[str]:
        return [step for study, step in self.steps if study == study_id]


def interrupt() -> None:
    raise Interrupted


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("METSEG_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def start(home: Path) -> Iterator[Callable[..., Bench]]:
    """Return a function that starts DBOS as worker ``w1`` does, on SQLite, with a bench of ours."""

    def make(bench: Bench | None = None, *, at_once: int = 1) -> Bench:
        bench = bench or Bench()
        settings = load_settings()
        workflow.work_at(bench)  # type: ignore[arg-type]
        workflow.prepare_database(settings.jobs_url)
        DBOS(config=workflow.configuration(settings, "w1"))
        DBOS.launch()
        workflow.open_queue(at_once=at_once, poll_s=0.05)
        return bench

    yield make
    stop()


def stop() -> None:
    workflow.work_at(None)
    DBOS.destroy()


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_state(study_id: str, state: str) -> None:
    wait_for(lambda: workflow.states_of([study_id]).get(study_id) == state)


def test_each_phase_is_a_step(start: Callable[..., Bench]) -> None:
    bench = start()
    workflow.dispatch("study-1")
    workflow.dispatch("study-1")  # twice is once
    wait_for_state("study-1", "SUCCESS")
    assert bench.names("study-1") == [*PHASES, "finish"]
    steps = DBOS.list_workflow_steps("study-1")
    assert [step["function_name"] for step in steps] == [*PHASES, "finish"]
    assert [step["output"] for step in steps] == [GO_ON] * 6 + [OVER]
    workflow.dispatch("study-1")  # and for ever
    workflow.dispatch("study-2")
    wait_for_state("study-2", "SUCCESS")
    assert bench.open == {"study-1": 1, "study-2": 1}


def test_nothing_is_pickled(start: Callable[..., Bench], home: Path) -> None:
    """What lies in the database is JSON: a study's id goes in, words come out, and nobody's pickle is ever opened."""
    start()
    workflow.dispatch("study-1")
    wait_for_state("study-1", "SUCCESS")
    stop()
    with closing(sqlite3.connect(home / "jobs.sqlite")) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        kept: dict[str, list[str]] = {"inputs": [], "output": [], "serialization": []}
        for table in tables:
            columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
            for column in set(columns) & set(kept):
                found = connection.execute(f'SELECT "{column}" FROM "{table}" WHERE "{column}" IS NOT NULL')
                kept[column] += [row[0] for row in found]
    assert set(kept["serialization"]) == {"portable_json"}
    arguments = [json.loads(text) for text in kept["inputs"]]
    assert arguments == [{"namedArgs": {}, "positionalArgs": ["study-1"]}]
    assert {json.loads(text) for text in kept["output"]} == {GO_ON, OVER}


def test_a_study_that_is_over_ends_its_workflow(start: Callable[..., Bench], monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    monkeypatch.setattr(bench, "do", lambda hold, phase: bench._note(hold, str(phase), OVER))
    start(bench)
    workflow.dispatch("study-1")
    wait_for_state("study-1", "SUCCESS")
    assert bench.names("study-1") == ["receive"]


def test_interrupted_work_is_open_and_goes_on_when_it_is_put_back(start: Callable[..., Bench]) -> None:
    bench = Bench()
    bench.at["predict"] = interrupt
    start(bench)
    workflow.dispatch("study-1")
    wait_for(lambda: "predict" not in bench.at)
    assert workflow.states_of(["study-1"]) == {"study-1": workflow.GIVEN}
    assert workflow.is_given("study-1", "w1")
    assert not workflow.is_given("study-1", "w2")
    assert [given.workflow_id for given in workflow.given_workflows()] == ["study-1"]
    workflow.resume("study-1")
    wait_for_state("study-1", "SUCCESS")
    assert Counter(bench.names("study-1")) == Counter([*PHASES, "predict", "finish"])
    assert workflow.given_workflows() == []
    workflow.resume("study-1")  # what is over stays over
    assert workflow.states_of(["study-1"]) == {"study-1": "SUCCESS"}


def test_a_worker_finds_its_own_work_again(start: Callable[..., Bench]) -> None:
    bench = Bench()
    bench.at["measure"] = interrupt
    start(bench)
    workflow.dispatch("study-1")
    wait_for(lambda: "measure" not in bench.at)
    stop()
    start(bench)
    wait_for_state("study-1", "SUCCESS")
    assert Counter(bench.names("study-1")) == Counter([*PHASES, "measure", "finish"])


def test_whoever_was_taken_for_dead_leaves_no_outcome(start: Callable[..., Bench]) -> None:
    """A step hangs; the study is put back, and done by another thread; what hung comes back and is not believed."""
    bench, hangs, comes_back = Bench(), threading.Event(), threading.Event()

    def hang() -> None:
        hangs.set()
        assert comes_back.wait(PATIENCE_S)

    bench.at["read"] = hang
    start(bench, at_once=2)
    workflow.dispatch("study-1")
    assert hangs.wait(PATIENCE_S)
    workflow.resume("study-1")
    wait_for_state("study-1", "SUCCESS")
    comes_back.set()
    workflow.dispatch("study-2")  # and the queue goes on
    wait_for_state("study-2", "SUCCESS")
    assert Counter(bench.names("study-1")) == Counter([*PHASES, "read", "finish"])
    assert [step["output"] for step in DBOS.list_workflow_steps("study-1")] == [GO_ON] * 6 + [OVER]


def test_many_interruptions_are_no_reason_to_give_up(start: Callable[..., Bench], home: Path) -> None:
    """DBOS would give up by itself after a hundred recoveries, and tell nobody; here, attempts are counted by phase."""
    bench = Bench()
    bench.at["read"] = interrupt
    start(bench)
    workflow.dispatch("study-1")
    wait_for(lambda: "read" not in bench.at)
    stop()
    connection = sqlite3.connect(home / "jobs.sqlite")
    with connection:
        changed = connection.execute("UPDATE workflow_status SET recovery_attempts = 1000")
        assert changed.rowcount == 1
    connection.close()
    start(bench)
    wait_for_state("study-1", "SUCCESS")


def test_a_sweep_sweeps_and_old_workflows_are_forgotten(start: Callable[..., Bench]) -> None:
    start()
    swept: list[str] = []
    workflow.dispatch("study-1")
    wait_for_state("study-1", "SUCCESS")
    workflow.work_at(None, lambda: swept.append("swept"))
    workflow.sweep_workflow(datetime.now(UTC), None)
    assert swept == ["swept"]
    assert workflow.states_of(["study-1"]) == {"study-1": "SUCCESS"}
    later = datetime.now(UTC) + workflow.FORGET_AFTER + timedelta(minutes=1)
    assert workflow.forget_old_workflows(later) == 2  # the study's and the sweep's
    assert workflow.states_of(["study-1"]) == {}


def test_the_sweep_is_in_the_schedule_once(start: Callable[..., Bench]) -> None:
    start()
    workflow.schedule_sweeps()
    workflow.schedule_sweeps()
    schedules: list[Any] = DBOS.list_schedules()
    assert [schedule["schedule_name"] for schedule in schedules] == [workflow.SWEEPS]

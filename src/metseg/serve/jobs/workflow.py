"""A study as a DBOS workflow: each phase a step whose outcome is kept, so that a worker goes on where another ended.

DBOS keeps who has a workflow and which of its steps are done; the records keep what people see. Nothing but a study's
id is in the arguments, and nothing but a word in the outcomes: both are JSON, and neither says anything of anybody.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID, WorkflowSerializationFormat
from sqlalchemy import URL

from metseg.schemas import Phase
from metseg.serve.jobs.claim import Interrupted
from metseg.serve.jobs.phase_runner import GO_ON, OVER, PhaseRunner
from metseg.serve.settings import Settings

#: Name of the queue and of the workflow.
STUDIES, STUDY = "studies", "study"

#: Changes when workflows that were begun before could not be ended by the new steps: other versions leave them alone.
VERSION = "1"

#: What DBOS calls a workflow that it has given to a worker, and that has not ended.
GIVEN = "PENDING"

#: Workflows that ended so long ago are forgotten: the records know what became of the study.
FORGET_AFTER = timedelta(days=2)
FORGET_AT_ONCE = 500

#: Connections to the database, one of them always in use; each worker has as many more for the records.
CONNECTIONS = 10

#: When the service is swept: every five minutes.
SWEEPS = "sweep"
EVERY_FIVE_MINUTES = "*/5 * * * *"


@dataclass
class _Place:
    """Where the workflows of this process are done: DBOS calls plain functions, and these find their tools here."""

    bench: PhaseRunner | None = None
    sweep: Callable[[], object] | None = None


_place = _Place()


def work_at(bench: PhaseRunner | None, sweep: Callable[[], object] | None = None) -> None:
    """Say where the workflows of this process are done, before DBOS is launched.

    Args:
        bench: where studies are worked on; None: nowhere any more.
        sweep: removes what is expired; may be repeated.
    """
    _place.bench, _place.sweep = bench, sweep


def _bench() -> PhaseRunner:
    if _place.bench is None:
        raise Interrupted  # given to this worker when it was about to end
    return _place.bench


# Without a limit on recoveries: DBOS counts every restart of a worker, whoever is to blame, and then leaves a study as
# it is, with nobody told. `metseg.serve.jobs.attempts` counts by phase, and fails it with a reason.
@DBOS.workflow(name=STUDY, max_recovery_attempts=None, serialization_type=WorkflowSerializationFormat.PORTABLE)
def study_workflow(study_id: str) -> str:
    """Work on a study until it has ended; what became of it is in the records."""
    bench = _bench()
    with bench.opened(study_id) as hold:
        for phase in Phase:
            if DBOS.run_step({"name": str(phase)}, bench.do, hold, phase) != GO_ON:
                return OVER
        return DBOS.run_step({"name": "finish"}, bench.finish, hold)


# The arguments are those that DBOS gives: when it was due, and what the schedule says besides.
@DBOS.workflow(name=SWEEPS, max_recovery_attempts=None)
def sweep_workflow(_due: datetime, _context: Any) -> None:
    """Remove what is expired: files and records of studies, and workflows that ended long ago."""
    DBOS.run_step({"name": "studies"}, _sweep_studies)
    DBOS.run_step({"name": "workflows"}, forget_old_workflows)


def _sweep_studies() -> None:
    if _place.sweep is not None:
        _place.sweep()


def schedule_sweeps() -> None:
    """Have the service swept at regular times, by one worker each time."""
    DBOS.apply_schedules([{"schedule_name": SWEEPS, "workflow_fn": sweep_workflow, "schedule": EVERY_FIVE_MINUTES}])


def configuration(settings: Settings, worker_id: str) -> DBOSConfig:
    """Return what DBOS needs to know. The worker's name is its executor id: by it a worker finds its own work again."""
    return {
        "name": "metseg",
        "system_database_url": settings.jobs_url.render_as_string(hide_password=False),
        "sys_db_pool_size": CONNECTIONS,
        "executor_id": worker_id,
        "application_version": VERSION,
        "serializer": DBOSPortableJSONSerializer(),
        "log_level": "WARNING",
    }


def prepare_database(url: URL) -> None:
    """Have readers of an SQLite file not wait for its writer; the file remembers it. Nothing to do in PostgreSQL."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return
    connection = sqlite3.connect(url.database, timeout=30)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def open_queue(*, at_once: int, poll_s: float) -> None:
    """Have this worker take studies from the queue, so many at a time."""
    DBOS.register_queue(STUDIES, worker_concurrency=at_once, polling_interval_sec=poll_s, on_conflict="always_update")


def dispatch(study_id: str) -> None:
    """Put a study into the queue, unless it is or was there: a workflow has the id of its study."""
    with SetWorkflowID(study_id):
        DBOS.enqueue_workflow(STUDIES, study_workflow, study_id)


def given_workflows() -> list[Any]:
    """Return the workflows that were given to a worker and have not ended."""
    return list(DBOS.list_workflows(name=STUDY, status=GIVEN, load_input=False, load_output=False))


def is_given(study_id: str, worker_id: str) -> bool:
    """Return whether the workflow of a study is given to a worker, and has not ended."""
    found = DBOS.list_workflows(workflow_ids=[study_id], status=GIVEN, load_input=False, load_output=False)
    return any(workflow.executor_id == worker_id for workflow in found)


def states_of(study_ids: Sequence[str]) -> dict[str, str]:
    """Return what DBOS says of the workflows of studies; those that it does not know are left out."""
    if not study_ids:
        return {}
    found = DBOS.list_workflows(workflow_ids=list(study_ids), load_input=False, load_output=False)
    return {workflow.workflow_id: str(workflow.status) for workflow in found}


def resume(study_id: str) -> None:
    """Put an open workflow back into the queue, whoever has it; that one's steps count no longer."""
    DBOS.resume_workflow(study_id, queue_name=STUDIES)


def forget_old_workflows(now: datetime | None = None) -> int:
    """Remove workflows that ended long ago, and return how many."""
    before = ((now or datetime.now(UTC)) - FORGET_AFTER).isoformat()
    old = DBOS.list_workflows(completed_before=before, limit=FORGET_AT_ONCE, load_input=False, load_output=False)
    if old:
        DBOS.delete_workflows([workflow.workflow_id for workflow in old])
    return len(old)

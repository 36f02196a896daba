"""A study as a DBOS workflow. Each phase is a step with a stored outcome, so that another worker can continue.

DBOS stores the worker of each workflow and the finished steps; the service's tables store everything that users see.
The arguments contain only the id of the study, and the outcomes only one word; both are JSON without personal data.
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

#: Change this when new steps cannot finish workflows that were started before; versions ignore each other's workflows.
VERSION = "1"

#: DBOS status of a workflow that is assigned to a worker and has not ended.
GIVEN = "PENDING"

#: Age at which ended workflows are deleted; the service's tables keep the outcome of the study.
FORGET_AFTER = timedelta(days=2)
FORGET_AT_ONCE = 500

#: Database connections of DBOS, one of them always in use; each worker has as many more for the service's tables.
CONNECTIONS = 10

#: Name and cron schedule of the clean-up.
SWEEPS = "sweep"
EVERY_FIVE_MINUTES = "*/5 * * * *"


@dataclass
class _Place:
    """Dependencies of the workflows in this process: DBOS calls plain functions, which find them here."""

    bench: PhaseRunner | None = None
    sweep: Callable[[], object] | None = None


_place = _Place()


def work_at(bench: PhaseRunner | None, sweep: Callable[[], object] | None = None) -> None:
    """Set the dependencies of the workflows in this process; call before DBOS is launched.

    Args:
        bench: runs the phases; None: stop work.
        sweep: removes expired data; safe to repeat.
    """
    _place.bench, _place.sweep = bench, sweep


def _bench() -> PhaseRunner:
    if _place.bench is None:
        raise Interrupted  # assigned to this worker when it was about to end
    return _place.bench


# No limit on recoveries: DBOS would count every restart of a worker for any cause, and then abandon the study
# without a message. `metseg.serve.jobs.attempts` counts per phase, and the study fails with a reason.
@DBOS.workflow(name=STUDY, max_recovery_attempts=None, serialization_type=WorkflowSerializationFormat.PORTABLE)
def study_workflow(study_id: str) -> str:
    """Process a study until it has ended; the service's tables have the outcome."""
    bench = _bench()
    with bench.opened(study_id) as hold:
        for phase in Phase:
            if DBOS.run_step({"name": str(phase)}, bench.do, hold, phase) != GO_ON:
                return OVER
        return DBOS.run_step({"name": "finish"}, bench.finish, hold)


# DBOS passes these arguments: the scheduled time and the context of the schedule.
@DBOS.workflow(name=SWEEPS, max_recovery_attempts=None)
def sweep_workflow(_due: datetime, _context: Any) -> None:
    """Remove expired data: files and rows of studies, and workflows that ended long ago."""
    DBOS.run_step({"name": "studies"}, _sweep_studies)
    DBOS.run_step({"name": "workflows"}, forget_old_workflows)


def _sweep_studies() -> None:
    if _place.sweep is not None:
        _place.sweep()


def schedule_sweeps() -> None:
    """Schedule the clean-up; one worker runs it each time."""
    DBOS.apply_schedules([{"schedule_name": SWEEPS, "workflow_fn": sweep_workflow, "schedule": EVERY_FIVE_MINUTES}])


def configuration(settings: Settings, worker_id: str) -> DBOSConfig:
    """Return the configuration of DBOS. The worker's name is its executor id, by which it finds its work again."""
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
    """Switch an SQLite file to WAL mode permanently, so that readers do not wait; do nothing for PostgreSQL."""
    if url.get_backend_name() != "sqlite" or not url.database:
        return
    connection = sqlite3.connect(url.database, timeout=30)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def open_queue(*, at_once: int, poll_s: float) -> None:
    """Start taking studies from the queue, at most ``at_once`` at a time."""
    DBOS.register_queue(STUDIES, worker_concurrency=at_once, polling_interval_sec=poll_s, on_conflict="always_update")


def dispatch(study_id: str) -> None:
    """Enqueue a study unless it was enqueued before; its workflow has the id of the study."""
    with SetWorkflowID(study_id):
        DBOS.enqueue_workflow(STUDIES, study_workflow, study_id)


def given_workflows() -> list[Any]:
    """Return the workflows that are assigned to a worker and have not ended."""
    return list(DBOS.list_workflows(name=STUDY, status=GIVEN, load_input=False, load_output=False))


def is_given(study_id: str, worker_id: str) -> bool:
    """Return whether the workflow of a study is assigned to this worker and has not ended."""
    found = DBOS.list_workflows(workflow_ids=[study_id], status=GIVEN, load_input=False, load_output=False)
    return any(workflow.executor_id == worker_id for workflow in found)


def states_of(study_ids: Sequence[str]) -> dict[str, str]:
    """Return the DBOS states of the studies' workflows, without those that DBOS does not know."""
    if not study_ids:
        return {}
    found = DBOS.list_workflows(workflow_ids=list(study_ids), load_input=False, load_output=False)
    return {workflow.workflow_id: str(workflow.status) for workflow in found}


def resume(study_id: str) -> None:
    """Requeue an open workflow; DBOS then ignores the steps of its previous worker."""
    DBOS.resume_workflow(study_id, queue_name=STUDIES)


def forget_old_workflows(now: datetime | None = None) -> int:
    """Delete workflows that ended long ago, and return their number."""
    before = ((now or datetime.now(UTC)) - FORGET_AFTER).isoformat()
    old = DBOS.list_workflows(completed_before=before, limit=FORGET_AT_ONCE, load_input=False, load_output=False)
    if old:
        DBOS.delete_workflows([workflow.workflow_id for workflow in old])
    return len(old)

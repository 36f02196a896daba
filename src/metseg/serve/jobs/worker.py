"""The worker: a process that takes studies from the queue, one at a time, until it is stopped."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from contextlib import suppress
from functools import partial
from typing import Any

from dbos import DBOS
from sqlalchemy.exc import SQLAlchemyError

from metseg.errors import ResourceError
from metseg.serve.jobs import workflow
from metseg.serve.jobs.heartbeat import Heartbeat, Lease
from metseg.serve.jobs.limits import limit_memory, limit_torch_threads, memory_share
from metseg.serve.jobs.phase_runner import PhaseRunner, Tools
from metseg.serve.jobs.phases.model_cache import Models
from metseg.serve.jobs.recovery import Recovery
from metseg.serve.jobs.signals import ended_by_signals
from metseg.serve.jobs.worker_id import machine_mark, machine_name, name_taken, only_one
from metseg.serve.settings import Settings
from metseg.serve.storage.database import Database, open_database
from metseg.serve.storage.db_models import WorkerRecord
from metseg.serve.storage.folders import Folders
from metseg.serve.storage.job_repository import Store
from metseg.serve.storage.retention import Sweeper
from metseg.serve.storage.worker_registry import Workers

log = logging.getLogger("metseg.serve.worker")

#: Folder of the locks of worker names on this machine, below the home folder.
LOCKS = "workers"

#: Fraction of a worker's memory for the weights of cached models.
WEIGHTS_SHARE = 0.25

#: Exit status of a worker that is stuck; its supervisor restarts it.
STUCK_STATUS = 1

#: Seconds between two checks whether the worker must end.
LOOK_EVERY_S = 0.1

#: Seconds for a study in work to stop when the worker ends.
GRACE_S = 20


class Worker:
    """One run of a worker.

    Args:
        settings: settings of the service.
        threads: number of threads for computation.
    """

    def __init__(self, settings: Settings, *, threads: int) -> None:
        self._settings = settings
        self._threads = threads
        self.id = settings.worker_id or machine_name()
        self._incarnation = secrets.token_hex(8)
        self._stop = threading.Event()

    def run(self) -> None:
        """Work until SIGTERM, Ctrl-C, or `stop`.

        Raises:
            LockedError: a worker of this name is alive.
            ResourceError: the database cannot be reached.
        """
        Folders(self._settings.home).make()
        with only_one(self._settings.home / LOCKS, self.id), ended_by_signals(self.stop):
            database = open_database(self._settings)
            try:
                self._run(database)
            finally:
                database.close()

    def stop(self) -> None:
        """Stop soon. Another worker, or this one after a restart, continues a study in work."""
        self._stop.set()

    def _run(self, database: Database) -> None:
        workers = Workers(database, self._settings)
        self._enter(workers)
        # Shorter than the patience of other workers: this one must notice first that it may be considered dead.
        lease = Lease(self._settings.dead_after_s - self._settings.heartbeat_s)
        heartbeat = Heartbeat(
            workers,
            self.id,
            self._incarnation,
            interval_s=self._settings.heartbeat_s,
            lease=lease,
            facts=self._facts,
            on_replaced=self.stop,
        )
        heartbeat.start()
        try:
            self._work(database, workers, lease)
        finally:
            heartbeat.stop()
            with suppress(SQLAlchemyError):  # if the database is down, other workers notice the missing heartbeat
                workers.leave(self.id, self._incarnation)

    def _enter(self, workers: Workers) -> None:
        """Register this worker. It holds the lock of its name, so it replaces an earlier run on this machine."""
        with workers.database.read() as session:
            before = session.get(WorkerRecord, self.id)
        if before is not None and before.facts.get("machine") == machine_mark():
            workers.leave(self.id, before.incarnation)
        deadline = time.monotonic() + self._settings.dead_after_s + self._settings.heartbeat_s
        while not workers.enter(self.id, self._incarnation, self._facts()):
            if time.monotonic() > deadline:
                raise name_taken(self.id)
            log.info("a worker of this name was alive on another machine recently; waiting")
            self._sleep(self._settings.heartbeat_s)
            if self._stop.is_set():
                raise KeyboardInterrupt

    def _facts(self) -> dict[str, Any]:
        """Return information on this worker for administrators; a hash stands for the name of the machine."""
        return {"machine": machine_mark(), "process": os.getpid(), "threads": self._threads}

    def _work(self, database: Database, workers: Workers, lease: Lease) -> None:
        store = Store(database, self._settings)
        bench = PhaseRunner(self._tools(store, lease))
        workflow.work_at(bench, Sweeper(database, self._settings).sweep)
        self._launch()
        caretaker = Recovery(store, workers, workflow, worker_id=self.id, open_studies=lambda: bench.open_studies)
        try:
            workflow.open_queue(at_once=1, poll_s=self._settings.poll_s)
            workflow.schedule_sweeps()
            caretaker.start()
            log.info("worker %s works with %d threads", self.id, self._threads)
            self._wait(bench)
        finally:
            self._end(caretaker)

    def _wait(self, bench: PhaseRunner) -> None:
        """Wait until this worker is stopped or stuck."""
        while not self._stop.is_set():
            self._sleep(self._settings.heartbeat_s)
            if bench.is_stuck:
                log.critical("worker %s: a study is stuck; the worker ends for a restart", self.id)
                # Nothing else ends a thread that hangs in a library. The next worker finds the deadline exceeded.
                os._exit(STUCK_STATUS)

    def _sleep(self, seconds: float) -> None:
        """Wait, but return early when this worker must end.

        Do not wait for the event: the signal handler would need the lock that the wait holds.
        """
        until = time.monotonic() + seconds
        while not self._stop.is_set() and time.monotonic() < until:
            time.sleep(LOOK_EVERY_S)

    def _launch(self) -> None:
        """Start DBOS, which first assigns the unfinished work of this worker's previous run.

        Raises:
            ResourceError: ``resources.database``; the message contains no part of the URL.
        """
        try:
            workflow.prepare_database(self._settings.jobs_url)
            DBOS(config=workflow.configuration(self._settings, self.id))
            _say_it_our_way(logging.getLogger("dbos"))
            DBOS.launch()
        except Exception as error:
            raise ResourceError(
                "the job database cannot be opened",
                where="METSEG_DATABASE_URL" if self._settings.database_url else "METSEG_HOME",
                got=type(error).__name__,
                cure="check that the database is running, and that the account may create a schema and tables",
                code="resources.database",
            ) from None

    def _tools(self, store: Store, lease: Lease) -> Tools:
        limit_torch_threads(self._threads)
        memory = self._settings.worker_memory_bytes or memory_share()
        if memory is not None:
            limit_memory(memory)
        return Tools(
            store=store,
            token=f"{self.id}:{self._incarnation}",
            models=Models(
                kept=self._settings.worker_models_kept,
                limit_bytes=None if memory is None else int(memory * WEIGHTS_SHARE),
                device="auto",
            ),
            is_given=partial(workflow.is_given, worker_id=self.id),
            lease=lease,
            stop=self._stop,
        )

    def _end(self, caretaker: Recovery) -> None:
        """Let the study in work stop, and shut down DBOS; unfinished work is recovered later."""
        self._stop.set()
        caretaker.stop()
        DBOS.destroy(workflow_completion_timeout_sec=GRACE_S)  # accepts no new work, then waits
        workflow.work_at(None)
        log.info("worker %s ends", self.id)


def _say_it_our_way(logger: logging.Logger) -> None:
    """Remove the handlers of a logger, so that its messages pass the redaction of the root logger."""
    logger.handlers.clear()
    logger.propagate = True

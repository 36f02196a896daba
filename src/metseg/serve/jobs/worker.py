"""The worker: a process of its own that takes studies from the queue, one at a time, until it is told to end."""

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

#: Folder of the locks that tell whether a worker of a name is alive on this machine, below the home folder.
LOCKS = "workers"

#: Share of a worker's memory that the weights of models that wait for their next study may take.
WEIGHTS_SHARE = 0.25

#: What a worker ends with that hangs: whoever started it starts it again.
STUCK_STATUS = 1

#: How often it is seen whether the worker is to end.
LOOK_EVERY_S = 0.1

#: Seconds that a study in work may take to notice that the worker ends.
GRACE_S = 20


class Worker:
    """One life of a worker.

    Args:
        settings: of the service.
        threads: how many compute.
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
        """End soon: a study in work is left, and done by whoever comes next."""
        self._stop.set()

    def _run(self, database: Database) -> None:
        workers = Workers(database, self._settings)
        self._enter(workers)
        # A little shorter than others are patient: who is taken for dead has to know it first.
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
            with suppress(SQLAlchemyError):  # where the database is away, this worker will be missed
                workers.leave(self.id, self._incarnation)

    def _enter(self, workers: Workers) -> None:
        """Announce this worker. Whoever has the lock of its name on this machine need not wait for its last life."""
        with workers.database.read() as session:
            before = session.get(WorkerRecord, self.id)
        if before is not None and before.facts.get("machine") == machine_mark():
            workers.leave(self.id, before.incarnation)
        deadline = time.monotonic() + self._settings.dead_after_s + self._settings.heartbeat_s
        while not workers.enter(self.id, self._incarnation, self._facts()):
            if time.monotonic() > deadline:
                raise name_taken(self.id)
            log.info("a worker of this name was alive on another machine not long ago: waiting")
            self._sleep(self._settings.heartbeat_s)
            if self._stop.is_set():
                raise KeyboardInterrupt

    def _facts(self) -> dict[str, Any]:
        """Return what people may want to know of this worker; the machine is told by a mark, not by its name."""
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
        """Wait until this worker is told to end."""
        while not self._stop.is_set():
            self._sleep(self._settings.heartbeat_s)
            if bench.is_stuck:
                log.critical("worker %s: a study does not come back; the worker ends, to begin anew", self.id)
                # Nothing else ends a thread that hangs in a library. Whoever goes on finds the study's time is over.
                os._exit(STUCK_STATUS)

    def _sleep(self, seconds: float) -> None:
        """Wait, but not when this worker is to end.

        Not by waiting for the event: its lock would be ours when a signal comes, whose handler wants it too.
        """
        until = time.monotonic() + seconds
        while not self._stop.is_set() and time.monotonic() < until:
            time.sleep(LOOK_EVERY_S)

    def _launch(self) -> None:
        """Have DBOS begin to give us work: first of all, what was given to this worker in its last life.

        Raises:
            ResourceError: ``resources.database``; the message holds no part of the URL.
        """
        try:
            workflow.prepare_database(self._settings.jobs_url)
            DBOS(config=workflow.configuration(self._settings, self.id))
            _say_it_our_way(logging.getLogger("dbos"))
            DBOS.launch()
        except Exception as error:
            raise ResourceError(
                "the database of the jobs cannot be opened",
                where="METSEG_DATABASE_URL" if self._settings.database_url else "METSEG_HOME",
                got=type(error).__name__,
                cure="check that it is there, and that the account may make a schema and tables",
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
        """Let the study in work notice, and leave DBOS; what was left is put back by the others, or found again."""
        self._stop.set()
        caretaker.stop()
        DBOS.destroy(workflow_completion_timeout_sec=GRACE_S)  # takes nothing new, and then waits
        workflow.work_at(None)
        log.info("worker %s ends", self.id)


def _say_it_our_way(logger: logging.Logger) -> None:
    """Take from a logger the handlers of its own: what it says goes where all else goes, and as discreetly."""
    logger.handlers.clear()
    logger.propagate = True

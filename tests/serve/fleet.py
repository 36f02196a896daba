"""Workers as processes of their own, which tests kill, and the records that they write to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from metseg.serve.storage.db_models import StudyRecord
    from metseg.serve.storage.job_repository import Store

#: How long anything may take that a test waits for; a machine that runs all tests at once is slow.
PATIENCE_S = 240.0

#: Settings under which a dead worker is missed soon.
IMPATIENT = {"METSEG_POLL_S": "0.1", "METSEG_HEARTBEAT_S": "1", "METSEG_DEAD_AFTER_S": "6", "METSEG_WORKER_NICE": "0"}


class Fleet:
    """Worker processes, and the records that they write to.

    Args:
        home: of the service.
        store: the records.
    """

    def __init__(self, home: Path, store: Store) -> None:
        self.home = home
        self.store = store
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.log = home.parent / "workers.log"

    def start(self, name: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start a worker; what it says is added to the log."""
        command = [sys.executable, "-m", "metseg", "worker", "--name", name, "--threads", "1"]
        with self.log.open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command, env={**os.environ, **IMPATIENT, **environment}, stdout=log, stderr=log
            )
        return self.processes[name]

    def kill(self, name: str) -> None:
        """Kill a worker as nothing in it can prevent or notice."""
        self.processes[name].kill()
        assert self.processes.pop(name).wait(PATIENCE_S) == -signal.SIGKILL

    def end(self, name: str) -> int:
        """Ask a worker to end, and return what it ends with."""
        process = self.processes.pop(name)
        process.terminate()
        return process.wait(PATIENCE_S)

    def kill_all(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Wait until something holds; a worker that ends meanwhile fails the test at once."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            ended = [name for name, process in self.processes.items() if process.poll() is not None]
            assert not ended, f"{ended} ended while waiting: {what}\n{self.said()}"
            assert time.monotonic() < deadline, f"waited too long: {what}\n{self.said()}"
            time.sleep(0.005)

    def wait_until_over(self, studies: Sequence[str]) -> None:
        """Wait until every study has ended."""
        self.wait_for(lambda: all(study.state.is_final for study in self.records(studies)), "all studies have ended")

    def records(self, studies: Sequence[str]) -> list[StudyRecord]:
        """Return studies as they are now, in the order of their ids."""
        import sqlalchemy as sa

        from metseg.schemas import State
        from metseg.serve.storage.db_models import StudyRecord

        query = sa.select(StudyRecord).where(StudyRecord.id.in_(studies)).order_by(StudyRecord.id)
        with self.store.database.read() as session:
            found = list(session.scalars(query))
            for study in found:
                study.state = State(study.state)
                session.expunge(study)
        assert len(found) == len(set(studies)), "a study is lost"
        return found

    def endings(self) -> Counter[tuple[str, str]]:
        """Return how often the audit log says of each study that it ended, and how."""
        import sqlalchemy as sa

        from metseg.serve.storage.db_models import AuditRecord

        ends = ("study.done", "study.failed", "study.cancelled")
        query = sa.select(AuditRecord.study_id, AuditRecord.action).where(AuditRecord.action.in_(ends))
        with self.store.database.read() as session:
            return Counter((str(study), action) for study, action in session.execute(query))

    def said(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

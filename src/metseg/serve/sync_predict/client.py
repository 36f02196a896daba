"""The API's side of `/predict/`: one child process, asked one picture at a time, replaced when it dies or dawdles."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Final

from metseg.serve.http.problem_details import Refused
from metseg.serve.model_registry import PICTURES, models
from metseg.serve.settings import Settings
from metseg.serve.storage.study_service import busy
from metseg.serve.sync_predict import child
from metseg.serve.sync_predict.messages import Ask, Ready, Refusal, Result
from metseg.system_info import processors

#: How long a child may take to load torch and its first model.
START_S: Final = 120.0

_log = logging.getLogger(__name__)


class SyncPredictor:
    """Answers pictures in a process of its own.

    Args:
        settings: deadline, queue, threads and memory.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._line = ThreadPoolExecutor(1, thread_name_prefix="instant")
        self._waiting = 0
        self._lock = threading.Lock()
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None

    @property
    def is_warm(self) -> bool:
        """Return whether the child is there."""
        return self._process is not None and self._process.is_alive()

    def start(self) -> None:
        """Have the child start, and go on meanwhile."""
        self._line.submit(self._start_quietly)

    def stop(self) -> None:
        """End the child. The server has ended its requests before; one that comes all the same is told to come back."""
        self._line.shutdown(wait=False, cancel_futures=True)
        self._kill()

    async def ask(self, ask: Ask) -> Result | Refusal:
        """Return the child's reply.

        Raises:
            Refused: ``service.busy``, too many wait; ``service.predictor``, the child died or took too long.
        """
        if self._waiting >= self.settings.predict_queue:
            raise busy(self.settings, "too many pictures wait")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._line, self._ask, ask)
        except RuntimeError:  # the line was shut down
            raise busy(self.settings, "the service is ending") from None
        finally:
            self._waiting -= 1

    def _ask(self, ask: Ask) -> Result | Refusal:
        pipe = self._ensure()
        deadline = time.monotonic() + self.settings.predict_deadline_s
        try:
            pipe.send(ask)
            if not pipe.poll(max(deadline - time.monotonic(), 0.0)):
                raise TimeoutError
            reply = pipe.recv()
        except TimeoutError:
            self._kill()
            raise self._lost("the picture took too long") from None
        except (EOFError, OSError):
            self._kill()
            raise self._lost("the process that computes has died, perhaps for want of memory") from None
        assert isinstance(reply, Result | Refusal)
        return reply

    def _ensure(self) -> Connection:
        """Return the pipe to a child that is ready, starting one where there is none."""
        if self._pipe is not None and self.is_warm:
            return self._pipe
        self._kill()
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=child.run, args=(theirs, self._terms()), name="metseg-predict", daemon=True)
        process.start()
        theirs.close()
        with self._lock:
            self._process, self._pipe = process, ours
        try:
            ready = ours.poll(START_S) and isinstance(ours.recv(), Ready)
        except (EOFError, OSError):
            ready = False
        if not ready:
            self._kill()
            raise self._lost("the process that computes could not be started")
        return ours

    def _terms(self) -> child.ChildLimits:
        warm = next((model.name for model in models(self.settings) if PICTURES in model.default_for), None)
        return child.ChildLimits(
            threads=self.settings.predict_threads or processors(),
            memory_bytes=self.settings.predict_memory_bytes,
            models_kept=self.settings.predict_models_kept,
            warm=warm,
            log_level=self.settings.log_level,
        )

    def _start_quietly(self) -> None:
        try:
            self._ensure()
        except Exception:  # the next picture tries again, and is told
            _log.warning("the process that computes could not be started", exc_info=True)

    def _kill(self) -> None:
        with self._lock:
            process, pipe = self._process, self._pipe
            self._process = self._pipe = None
        if process is not None:
            process.kill()  # first, so that whoever waits at the pipe wakes up
            process.join()
        if pipe is not None:
            pipe.close()

    def _lost(self, what: str) -> Refused:
        headers = {"Retry-After": str(self.settings.retry_after_s)}
        return Refused("service.predictor", what, cure="try again, with a smaller picture", headers=headers)

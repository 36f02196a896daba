"""Client of the `/predict/` process: sends one picture at a time, and restarts a dead or slow process."""

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

from metseg.runtime.system_info import processors
from metseg.serve.http.problem_details import Refused
from metseg.serve.model_registry import PICTURES, models
from metseg.serve.settings import Settings
from metseg.serve.storage.study_service import busy
from metseg.serve.sync_predict import child
from metseg.serve.sync_predict.messages import Ask, Ready, Refusal, Result

#: Maximum seconds for a child to load torch and its first model.
START_S: Final = 120.0

_log = logging.getLogger(__name__)


class SyncPredictor:
    """Segments pictures in a separate process.

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
        """Return whether the child process is alive."""
        return self._process is not None and self._process.is_alive()

    def start(self) -> None:
        """Start the child process in the background."""
        self._line.submit(self._start_quietly)

    def stop(self) -> None:
        """End the child process. The server has ended its requests before; late ones get ``service.busy``."""
        self._line.shutdown(wait=False, cancel_futures=True)
        self._kill()

    async def ask(self, ask: Ask) -> Result | Refusal:
        """Return the child's reply.

        Raises:
            Refused: ``service.busy``, too many requests wait; ``service.predictor``, the child died or took too long.
        """
        if self._waiting >= self.settings.predict_queue:
            raise busy(self.settings, "too many pictures are waiting")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._line, self._ask, ask)
        except RuntimeError:  # the executor was shut down
            raise busy(self.settings, "the service is shutting down") from None
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
            raise self._lost("the prediction process died, perhaps because memory ran out") from None
        assert isinstance(reply, Result | Refusal)
        return reply

    def _ensure(self) -> Connection:
        """Return the pipe to a child that is ready; start one if there is none."""
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
            raise self._lost("the prediction process could not be started")
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
        except Exception:  # the next request tries again and gets the error
            _log.warning("the prediction process could not be started", exc_info=True)

    def _kill(self) -> None:
        with self._lock:
            process, pipe = self._process, self._pipe
            self._process = self._pipe = None
        if process is not None:
            process.kill()  # first, so that a thread waiting at the pipe wakes up
            process.join()
        if pipe is not None:
            pipe.close()

    def _lost(self, what: str) -> Refused:
        headers = {"Retry-After": str(self.settings.retry_after_s)}
        return Refused("service.predictor", what, cure="try again, with a smaller picture", headers=headers)

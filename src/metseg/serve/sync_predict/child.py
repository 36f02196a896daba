"""The process of `/predict/`: it keeps models loaded and segments one picture at a time."""

from __future__ import annotations

import logging
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from metseg.errors import MetsegError, ResourceError
from metseg.runtime.malloc_tuning import give_back_freed_memory
from metseg.runtime.monai_import_filter import import_lean
from metseg.serve.http.problem_details import failure_of, status_of
from metseg.serve.log_redaction import configure_logs
from metseg.serve.sync_predict.messages import Ask, Form, Ready, Refusal, Reply, Result

if TYPE_CHECKING:
    from metseg.serve.jobs.phases.model_cache import Models

_log = logging.getLogger(__name__)

#: Side of the picture for the first run of a model at the start.
_TRIAL_PIXELS = 256


@dataclass(frozen=True)
class ChildLimits:
    """Limits and settings of the child process.

    Args:
        threads: number of threads for computation.
        memory_bytes: memory that it may allocate in addition to its use at the start.
        models_kept: maximum number of loaded models.
        warm: model to load and run once at the start; None: no model.
        log_level: log level of metseg's messages.
    """

    threads: int
    memory_bytes: int
    models_kept: int
    warm: str | None
    log_level: str


def run(pipe: Connection, terms: ChildLimits) -> None:
    """Answer requests until the other end of the pipe closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the API, which ends us
    configure_logs(terms.log_level)
    import_lean()
    give_back_freed_memory()
    from metseg.serve.jobs.limits import limit_memory, limit_threads, limit_torch_threads

    limit_threads(terms.threads)
    limit_torch_threads(terms.threads)
    from metseg.serve.jobs.phases.model_cache import Models

    models = Models(kept=terms.models_kept)
    limit_memory(terms.memory_bytes)
    if terms.warm is not None:
        _warm_up(models, terms.warm)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        pipe.send(Ready())
        while True:
            pipe.send(_reply(pipe.recv(), models))


def _reply(ask: Ask, models: Models) -> Reply:
    from metseg.inference.windows.memory import out_of_memory_is_an_error
    from metseg.serve.sync_predict.answer import answer

    begin = time.perf_counter()
    try:
        with out_of_memory_is_an_error("memory ran out", where="the picture", cure="send a smaller picture"):
            body = answer(ask, models)
        return Result(body, time.perf_counter() - begin)
    except MetsegError as error:
        return Refusal(failure_of(error), status_of(error))
    except Exception:
        _log.exception("a picture could not be answered")
        return Refusal(failure_of(ResourceError("the picture could not be processed", code="internal")), 500)


def _warm_up(models: Models, name: str) -> None:
    """Load a model and run it once, because the first run plans memory and selects kernels."""
    import numpy as np
    from PIL import Image

    try:
        with TemporaryDirectory() as folder:
            path = Path(folder, "0001.png")
            noise = np.random.default_rng(0).integers(0, 255, (_TRIAL_PIXELS, _TRIAL_PIXELS, 3), dtype=np.uint8)
            Image.fromarray(noise).save(path)
            reply = _reply(Ask(str(path), name, Form.JSON), models)
        _log.info("first run of the model: %s", type(reply).__name__)
    except Exception:
        _log.warning("the first run of the model failed", exc_info=True)

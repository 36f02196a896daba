"""The process that answers `/predict/`: models stay loaded, pictures come and go, one at a time."""

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
from metseg.malloc_tuning import give_back_freed_memory
from metseg.monai_import_filter import import_lean
from metseg.serve.http.problem_details import failure_of, status_of
from metseg.serve.log_redaction import configure_logs
from metseg.serve.sync_predict.messages import Ask, Form, Ready, Refusal, Reply, Result

if TYPE_CHECKING:
    from metseg.serve.jobs.phases.model_cache import Models

_log = logging.getLogger(__name__)

#: Side of the picture on which a model is tried before anybody waits for it.
_TRIAL_PIXELS = 256


@dataclass(frozen=True)
class ChildLimits:
    """How the child works.

    Args:
        threads: to compute with.
        memory_bytes: it may take beyond what it holds when it has started.
        models_kept: how many.
        warm: model that is loaded and tried before anybody asks; None: none.
        log_level: of its own lines.
    """

    threads: int
    memory_bytes: int
    models_kept: int
    warm: str | None
    log_level: str


def run(pipe: Connection, terms: ChildLimits) -> None:
    """Answer until the other end of the pipe is gone."""
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
        with out_of_memory_is_an_error("memory ran out", where="the picture", cure="give a smaller picture"):
            body = answer(Path(ask.path), ask.model, ask.form, models)
        return Result(body, time.perf_counter() - begin)
    except MetsegError as error:
        return Refusal(failure_of(error), status_of(error))
    except Exception:
        _log.exception("a picture could not be answered")
        return Refusal(failure_of(ResourceError("the picture could not be worked on", code="internal")), 500)


def _warm_up(models: Models, name: str) -> None:
    """Load a model and run it once: the first run plans its memory and chooses its kernels."""
    import numpy as np
    from PIL import Image

    try:
        with TemporaryDirectory() as folder:
            path = Path(folder, "0001.png")
            noise = np.random.default_rng(0).integers(0, 255, (_TRIAL_PIXELS, _TRIAL_PIXELS, 3), dtype=np.uint8)
            Image.fromarray(noise).save(path)
            reply = _reply(Ask(str(path), name, Form.JSON), models)
        _log.info("model tried: %s", type(reply).__name__)
    except Exception:
        _log.warning("the model could not be tried", exc_info=True)

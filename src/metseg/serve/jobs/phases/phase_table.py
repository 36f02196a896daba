"""Table of the phases. Run each phase once, atomically, and with a limited number of attempts."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from dataclasses import replace

from metseg.errors import ResourceError
from metseg.inference.windows.memory import out_of_memory_is_an_error
from metseg.schemas import Phase
from metseg.serve.jobs.attempts import ATTEMPTS, noted
from metseg.serve.jobs.phases.job import Job, Outcome, PhaseFunction, stamp
from metseg.serve.jobs.phases.measure_phase import measure
from metseg.serve.jobs.phases.predict_phase import predict
from metseg.serve.jobs.phases.preprocess_phase import preprocess
from metseg.serve.jobs.phases.read_phase import read
from metseg.serve.jobs.phases.receive_phase import receive
from metseg.serve.jobs.phases.render_phase import render

#: Functions in the order of `Phase`; a test compares both.
PHASES: Mapping[Phase, PhaseFunction] = {
    Phase.RECEIVE: receive,
    Phase.READ: read,
    Phase.PREPROCESS: preprocess,
    Phase.PREDICT: predict,
    Phase.MEASURE: measure,
    Phase.RENDER: render,
}


def run_phase(phase: Phase, job: Job, *, attempts: int = ATTEMPTS) -> Outcome:
    """Run a phase unless its outcome exists, and return the outcome.

    The outcome is written last, after all other files of the phase. An interrupted phase runs again from its start
    and gives the same result.

    Args:
        phase: the phase; all phases before it are done.
        job: the study.
        attempts: attempts that may end with the death of the process or without enough memory, before the study fails.
    Raises:
        MetsegError: the study cannot be processed.
    """
    done = Outcome.read(stamp(job.folder, phase))
    if done is not None:
        return done
    with noted(job.folder.work / f"{phase}.attempts", limit=attempts):
        begin = time.perf_counter()
        outcome = _with_memory_freed(phase, job, attempts)
        outcome = replace(outcome, elapsed_s=round(time.perf_counter() - begin, 4))
        outcome.write(stamp(job.folder, phase))
    return job.outcome(phase)  # read it back, so that this run and later ones use the same JSON values


def _with_memory_freed(phase: Phase, job: Job, attempts: int) -> Outcome:
    """Run a phase; when memory runs out, clear the caches and try again."""
    for _ in range(attempts - 1):
        try:
            return _do(phase, job)
        except ResourceError as error:
            if error.code != "resources.memory":
                raise
        # Outside the handler, because the error holds the frames of the attempt with their arrays.
        job.models.clear()
        job.cache.clear()
        gc.collect()
    return _do(phase, job)


def _do(phase: Phase, job: Job) -> Outcome:
    job.cache.for_study(job.study_id)
    cure = "upload a smaller study, choose another model, or ask the administrator for more worker memory"
    with out_of_memory_is_an_error(f"memory ran out in the phase {phase}", where="the study", cure=cure):
        return PHASES[phase](job)

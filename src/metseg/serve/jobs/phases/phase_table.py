"""The table of phases of a study; each runs once, atomically, and within a limited number of attempts."""

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

#: In the order of `Phase`; a test compares.
PHASES: Mapping[Phase, PhaseFunction] = {
    Phase.RECEIVE: receive,
    Phase.READ: read,
    Phase.PREPROCESS: preprocess,
    Phase.PREDICT: predict,
    Phase.MEASURE: measure,
    Phase.RENDER: render,
}


def run_phase(phase: Phase, job: Job, *, attempts: int = ATTEMPTS) -> Outcome:
    """Run a phase unless it has run before, and return its outcome.

    A phase writes its outcome last, when all its other files are in place. A phase that was interrupted starts again
    from its beginning, with the same result.

    Args:
        phase: which; those before it are done.
        job: the study.
        attempts: how many may end by the death of the process, or for want of memory, before the study fails.
    Raises:
        MetsegError: the study cannot be worked on.
    """
    done = Outcome.read(stamp(job.folder, phase))
    if done is not None:
        return done
    with noted(job.folder.work / f"{phase}.attempts", limit=attempts):
        begin = time.perf_counter()
        outcome = _with_memory_freed(phase, job, attempts)
        outcome = replace(outcome, elapsed_s=round(time.perf_counter() - begin, 4))
        outcome.write(stamp(job.folder, phase))
    return job.outcome(phase)  # as later phases read it: tuples and keys as JSON has them


def _with_memory_freed(phase: Phase, job: Job, attempts: int) -> Outcome:
    """Do a phase; where memory does not suffice, forget all that can be had again, and try once more."""
    for _ in range(attempts - 1):
        try:
            return _do(phase, job)
        except ResourceError as error:
            if error.code != "resources.memory":
                raise
        # Outside of the handler, for the error holds the frames of the attempt, and these its arrays.
        job.models.clear()
        job.cache.clear()
        gc.collect()
    return _do(phase, job)


def _do(phase: Phase, job: Job) -> Outcome:
    job.cache.for_study(job.study_id)
    cure = "upload a smaller study, or choose another model; administrators: give workers more memory"
    with out_of_memory_is_an_error(f"memory ran out in the phase {phase}", where="the study", cure=cure):
        return PHASES[phase](job)

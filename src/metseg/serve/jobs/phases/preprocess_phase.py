"""Phase 3: prepare the case for the network, and write the prepared reference image for viewers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metseg.inference.outputs.volume_outputs import write_nifti
from metseg.preprocess.prepared_case import Prepared
from metseg.schemas import Phase
from metseg.serve.http.problem_details import public_text
from metseg.serve.jobs.phases.intermediates import save_brain_mask
from metseg.serve.jobs.phases.job import Job, Outcome
from metseg.serve.jobs.phases.read_phase import BRAIN, the_case
from metseg.volume import BRAIN_MASK

#: Which share of the phase is the search for the brain, where there is one.
BRAIN_SHARE = 0.5

#: The largest magnitude in ``prepared.nii.gz``; the header's slope makes the value itself of it.
_INT16_MAX = 32767


def preprocess(job: Job) -> Outcome:
    """Prepare the case and keep it in memory; what is written is the reference sequence, for people.

    Where the images show a skull and no brain mask came with them, the brain is found first, and its mask written too.

    Raises:
        InputError: a step of the model's recipe cannot work on the case.
    """
    _find_brain(job)
    prepared = the_prepared(job)
    job.on_share(0.8)
    _give_prepared(job, prepared)
    # The warnings of reading are among them; the phase `read` has returned those.
    known = set(job.outcome(Phase.READ).warnings)
    warnings = tuple(public_text(text) for text in prepared.warnings if text not in known)
    return Outcome(warnings=warnings, kept={"records": [record.to_json() for record in prepared.records]})


def _find_brain(job: Job) -> None:
    """Give the case its brain mask, where one has to be made, and keep the mask for later phases and for people."""
    case = job.predictor.with_brain_mask(the_case(job), on_share=lambda share: job.on_share(BRAIN_SHARE * share))
    if case.brain_mask_record is None:
        return
    save_brain_mask(case, job.folder.work / BRAIN)
    job.cache.case = case
    mask = case.images[BRAIN_MASK]
    with job.artifact("brain_mask.nii.gz") as path:
        write_nifti(mask.data, mask.affine, path)


def the_prepared(job: Job) -> Prepared:
    """Return what the network sees: from memory, or prepared anew where another process did it."""
    if job.cache.prepared is None:
        job.cache.prepared = job.predictor.prepare(the_case(job))
    return job.cache.prepared


def _give_prepared(job: Job, prepared: Prepared) -> None:
    reference = job.outcome(Phase.READ).kept["reference"]
    channel = prepared.modalities.index(reference) if reference in prepared.modalities else 0
    stored, slope = to_int16(np.asarray(prepared.image[channel], dtype=np.float32))
    with job.artifact("prepared.nii.gz") as path:
        write_nifti(stored, prepared.affine, path, slope=slope)


def to_int16(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int16], float]:
    """Return values with 16 bits, and what to multiply them with: half of float32, and no eye sees the difference."""
    largest = float(np.abs(values).max(initial=0.0))
    slope = largest / _INT16_MAX if largest > 0 else 1.0
    return np.rint(values / np.float32(slope)).astype(np.int16), slope

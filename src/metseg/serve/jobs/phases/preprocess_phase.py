"""Phase 3: preprocess the case for the network, and store what viewers show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from metseg.inference.outputs.volume_outputs import write_nifti
from metseg.preprocess.prepared_case import Prepared
from metseg.schemas import Phase
from metseg.serve.http.problem_details import public_text
from metseg.serve.jobs.phases.intermediates import FAST, save_brain_mask, storable
from metseg.serve.jobs.phases.job import Job, Outcome
from metseg.serve.jobs.phases.read_phase import BRAIN, give_stored_image, the_case
from metseg.volume import BRAIN_MASK

#: Fraction of the phase's progress for brain extraction, if it runs.
BRAIN_SHARE = 0.5

#: Largest stored magnitude in ``prepared.nii.gz``; the slope in the header scales it to the value.
_INT16_MAX = 32767


def preprocess(job: Job) -> Outcome:
    """Preprocess the case, keep it in the cache, and write the reference sequence for viewers.

    If the images show a skull and have no brain mask, extract the brain first and write its mask too.

    Raises:
        InputError: a step of the model's recipe cannot work on the case.
    """
    _find_brain(job)
    prepared = the_prepared(job)
    job.on_share(0.8)
    _give_prepared(job, prepared)
    _give_sequences(job, prepared)
    # The warnings include those of reading, which were reported before.
    known = set(job.outcome(Phase.READ).warnings)
    warnings = tuple(public_text(text) for text in prepared.warnings if text not in known)
    return Outcome(warnings=warnings, kept={"records": [record.to_json() for record in prepared.records]})


def _find_brain(job: Job) -> None:
    """Add a brain mask to the case if one must be made, and store it for later phases and for viewers."""
    case = job.predictor.with_brain_mask(the_case(job), on_share=lambda share: job.on_share(BRAIN_SHARE * share))
    if case.brain_mask_record is None:
        return
    save_brain_mask(case, job.folder.work / BRAIN)
    job.cache.case = case
    mask = case.images[BRAIN_MASK]
    with job.artifact("brain_mask.nii.gz") as path:
        write_nifti(mask.data, mask.affine, path)


def the_prepared(job: Job) -> Prepared:
    """Return the preprocessed case from the cache, or preprocess it again if another process did before."""
    if job.cache.prepared is None:
        job.cache.prepared = job.predictor.prepare(the_case(job))
    return job.cache.prepared


def _give_prepared(job: Job, prepared: Prepared) -> None:
    reference = job.outcome(Phase.READ).kept["reference"]
    channel = prepared.modalities.index(reference) if reference in prepared.modalities else 0
    stored, slope = to_int16(np.asarray(prepared.image[channel], dtype=np.float32))
    with job.artifact("prepared.nii.gz") as path:
        write_nifti(stored, prepared.affine, path, slope=slope)


def _give_sequences(job: Job, prepared: Prepared) -> None:
    """Write every sequence except the reference for viewers, on its own grid.

    A sequence that was registered keeps its voxels and gets a new affine: where the registration says that they lie.
    """
    case, reference = the_case(job), job.outcome(Phase.READ).kept["reference"]
    moved: Mapping[str, Any] = next(
        (record.details["moved"] for record in prepared.records if record.step == "align"), {}
    )
    for name in case.modalities:
        affine = case.images[name].affine
        if name in (reference, BRAIN_MASK) or affine is None:
            continue
        artifact = f"sequence-{name}.nii.gz"
        world = np.asarray(moved[name]["world"]) if name in moved else np.eye(4)
        if np.array_equal(world, np.eye(4)):
            give_stored_image(job, name, artifact)
            continue
        with job.artifact(artifact) as path:
            write_nifti(storable(case.images[name].data), np.linalg.inv(world) @ affine, path, compression=FAST)


def to_int16(values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int16], float]:
    """Return values as int16 and their slope: half the size of float32, without visible difference."""
    largest = float(np.abs(values).max(initial=0.0))
    slope = largest / _INT16_MAX if largest > 0 else 1.0
    return np.rint(values / np.float32(slope)).astype(np.int16), slope

"""Phase 2: read the files as a de-identified case, and store its images for later phases and for viewers."""

from __future__ import annotations

import os
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from metseg.inference.outputs.volume_outputs import write_nifti
from metseg.inference.windows.memory import require_memory_for
from metseg.io.case_source import CaseSource
from metseg.io.images.slice_stack import SliceStackSource
from metseg.plot.images.overlay import grey
from metseg.preprocess.prepared_case import reference_name
from metseg.serve.jobs.phases.intermediates import anonymous, load_brain_mask, load_case, save_case, storable
from metseg.serve.jobs.phases.job import Job, Outcome
from metseg.serve.jobs.phases.upload_source import find_source, patient_id_of
from metseg.serve.storage.png_files import write_png
from metseg.volume import Case

#: Folder of the case, below ``work/``.
CASE = "case"
#: Folder of the brain mask that the phase `preprocess` made, where one was needed.
BRAIN = "brain"


def read(job: Job) -> Outcome:
    """Read the upload as a case, store it, and write its image for viewers.

    Raises:
        InputError: the upload cannot be read, or lacks a sequence that the model needs.
    """
    predictor = job.predictor
    source = find_source(job, predictor.recipe.data)
    case = anonymous(_load(source, channels=len(predictor.recipe.data.inputs)), job.study_id)
    reference = reference_name(case, predictor.recipe.data)
    job.on_share(0.6)
    save_case(case, job.folder.work / CASE)
    _give_image(job, case, reference)
    job.cache.case = case
    image = case.images[reference]
    facts = {
        "model": job.loaded.name,
        "fingerprint": predictor.fingerprint,
        "scheme": predictor.recipe.data.labels,
        "threshold": predictor.part.threshold,
        "reference": reference,
        "sequences": list(case.modalities),
        "sequence_records": [asdict(record) for record in case.sequence_records],
        "shape": list(image.shape),
        "spacing_mm": None if image.spacing_mm is None else list(image.spacing_mm),
        "affine": None if image.affine is None else image.affine.tolist(),
        "slices": len(case.slice_names),
    }
    patient_id = patient_id_of(source, job.uploads)
    return Outcome(
        facts=facts,
        warnings=case.warnings,
        patient_hash=job.hash_patient(patient_id) if patient_id else "",
        kept={"reference": reference},
    )


def the_case(job: Job) -> Case:
    """Return the case from the cache, or from disk if another process read it.

    After the phase `preprocess` it includes the brain mask if one was made.
    """
    if job.cache.case is None:
        job.cache.case = load_brain_mask(load_case(job.folder.work / CASE), job.folder.work / BRAIN)
    return job.cache.case


def _load(source: CaseSource, *, channels: int) -> Case:
    if isinstance(source, SliceStackSource):
        require_memory_for(source, channels=channels)
    return source.load()


def _give_image(job: Job, case: Case, reference: str) -> None:
    image = case.images[reference]
    if image.affine is None:
        for number in range(1, image.shape[2] + 1):
            with job.artifact(f"image-{number}.png") as path:
                write_png(path, as_picture(case, number - 1))
        with job.artifact("image.nii.gz") as path:
            write_nifti(storable(case.background.data), None, path)
        return
    give_stored_image(job, reference, "image.nii.gz")


def give_stored_image(job: Job, sequence: str, artifact: str) -> None:
    """Make the stored image of a sequence an artifact.

    The file is hard-linked, so that a large image is stored once; it is copied where links are not supported.
    """
    stored = job.folder.work / CASE / f"{sequence}.nii.gz"
    with job.artifact(artifact) as path:
        path.unlink()
        try:
            os.link(stored, path)
        except OSError:
            path.write_bytes(stored.read_bytes())


def as_picture(case: Case, z: int) -> npt.NDArray[np.uint8]:
    """Return a slice as a picture (rows, columns, 3): in its original colours, or in grey."""
    planes = [image.data[:, :, z] for image in case.images.values()]
    if len(planes) == 3 and all(plane.dtype == np.uint8 for plane in planes):
        drawn = np.stack(planes, axis=-1).astype(np.uint8, copy=False)
    else:
        drawn = grey(case.background.data[:, :, z])
    return np.ascontiguousarray(drawn.transpose(1, 0, 2))

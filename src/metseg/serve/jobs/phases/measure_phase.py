"""Phase 5: measure the lesions of the mask, and write the lesion table and the instance map."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from metseg.inference.outputs.case_document import CaseReport
from metseg.inference.outputs.image_outputs import small_ids
from metseg.inference.outputs.volume_outputs import write_instances
from metseg.inference.prediction import Prediction
from metseg.inference.stopwatch import Stopwatch
from metseg.labels import LABEL_SCHEMES
from metseg.lesion import Lesion, lesions_csv
from metseg.preprocess.prepared_case import Record
from metseg.runtime.atomic_io import write_text
from metseg.schemas import Phase
from metseg.serve.http.problem_details import public_text
from metseg.serve.jobs.phases.job import Job, Outcome
from metseg.serve.jobs.phases.predict_phase import the_segmentation
from metseg.serve.jobs.phases.read_phase import the_case
from metseg.serve.storage.png_files import write_png

#: The document of the case, an artifact.
DOCUMENT = "lesions.json"


def measure(job: Job) -> Outcome:
    """Measure the lesions: ``lesions.json``, ``lesions.csv`` and the instance map."""
    prediction = _prediction(job)
    job.on_share(0.7)
    report = CaseReport(job.study_id, job.loaded.name, job.predictor.fingerprint, model_reason=job.model_reason)
    report.add(prediction)
    job.cache.document = report.document()
    with job.artifact(DOCUMENT) as path:
        write_text(path, json.dumps(job.cache.document, indent=2))
    with job.artifact("lesions.csv") as path:
        write_text(path, lesions_csv(prediction.lesions, tuple(LABEL_SCHEMES[prediction.scheme].classes.values())))
    _give_instances(job, prediction)
    known = {*job.outcome(Phase.READ).warnings, *job.outcome(Phase.PREPROCESS).warnings}
    return Outcome(
        facts={"fitness": prediction.fitness, **_grade_of(job.cache.document)},
        lesions=tuple(lesion.model_dump(mode="json") for lesion in prediction.lesions),
        warnings=tuple(public_text(text) for text in prediction.warnings if text not in known),
    )


def _grade_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the grade of the document, or why it has none, as facts of the study."""
    return {name: document[name] for name in ("grade", "no_grade") if name in document}


def the_document(job: Job) -> dict[str, Any]:
    """Return the document of the case, as ``metseg predict`` writes it, from the cache or from disk."""
    if job.cache.document is None:
        job.cache.document = json.loads((job.folder.artifacts / DOCUMENT).read_text("utf-8"))
    return job.cache.document


def the_lesions(job: Job) -> tuple[Lesion, ...]:
    """Return the lesions of the document."""
    return tuple(Lesion.model_validate(content) for content in the_document(job)["lesions"])


def the_records(job: Job) -> tuple[Record, ...]:
    """Return the records of the preprocessing steps."""
    return tuple(Record.from_json(raw) for raw in job.outcome(Phase.PREPROCESS).kept["records"])


def _prediction(job: Job) -> Prediction:
    """Return the prediction with measured lesions."""
    segmentation = the_segmentation(job)
    preprocessed = job.outcome(Phase.PREPROCESS)
    return job.predictor.measure(
        the_case(job),
        segmentation.labels,
        segmentation.probability,
        spread=segmentation.spread,
        warnings=(*job.outcome(Phase.READ).warnings, *preprocessed.warnings),
        records=the_records(job),
        watch=Stopwatch({"preprocess": preprocessed.elapsed_s, **job.outcome(Phase.PREDICT).kept["timings_s"]}),
    )


def _give_instances(job: Job, prediction: Prediction) -> None:
    """Write the instance map: the id of the lesion at each voxel."""
    affine = prediction.reference_image.affine
    with job.artifact("lesions.nii.gz") as path:
        write_instances(prediction.instances, affine, path)
    if affine is not None:
        return
    for z in range(prediction.instances.shape[2]):
        with job.artifact(f"lesions-{z + 1}.png") as path:
            write_png(path, small_ids(prediction.instances[:, :, z]).T)

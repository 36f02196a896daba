"""Phase 5: the lesions of the mask, measured: a table for people, and the same for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from metseg.atomic_io import write_text
from metseg.inference.case_document import CaseReport
from metseg.inference.lesion_table import Lesion as FoundLesion
from metseg.inference.prediction import Prediction, Stopwatch
from metseg.preprocess.prepared_case import Record
from metseg.reporting.study.lesion_location import sides
from metseg.schemas import Lesion, Phase
from metseg.serve.http.problem_details import public_text
from metseg.serve.jobs.phases.intermediates import load_segmentation
from metseg.serve.jobs.phases.job import Job, Outcome
from metseg.serve.jobs.phases.predict_phase import SEGMENTATION
from metseg.serve.jobs.phases.read_phase import the_case

#: Columns of ``lesions.csv``; what is a point in the table of lesions is three columns there.
COLUMNS = (
    "number",
    "label",
    "voxels",
    "volume_ml",
    "longest_diameter_mm",
    "longest_axial_diameter_mm",
    "centre_voxel",
    "centre_mm",
    "confidence",
    "slice",
    "place",
)


def measure(job: Job) -> Outcome:
    """Find and measure the lesions, and write them as ``lesions.json`` and ``lesions.csv``."""
    prediction = the_prediction(job)
    job.on_share(0.8)
    lesions = [lesion.model_dump(mode="json") for lesion in lesions_of(prediction)]
    with job.artifact("lesions.json") as path:
        write_text(path, json.dumps(document_of(job, prediction), indent=2))
    with job.artifact("lesions.csv") as path:
        write_text(path, table_of(lesions))
    told = set(_warnings(job))
    warnings = tuple(public_text(text) for text in prediction.warnings if text not in told)
    return Outcome(lesions=tuple(lesions), warnings=warnings)


def the_prediction(job: Job) -> Prediction:
    """Return the prediction: from the desk, or from the mask where another process has made it."""
    if job.desk.prediction is None:
        labels, probability = load_segmentation(job.folder.work / SEGMENTATION)
        records = tuple(Record.from_json(raw) for raw in job.outcome(Phase.PREPROCESS).kept["records"])
        prepared_s = job.outcome(Phase.PREPROCESS).elapsed_s
        watch = Stopwatch({"preprocess": prepared_s, **job.outcome(Phase.PREDICT).kept["timings_s"]})
        job.desk.prediction = job.predictor.measure(
            the_case(job), labels, probability, warnings=_warnings(job), records=records, watch=watch
        )
    return job.desk.prediction


def _warnings(job: Job) -> tuple[str, ...]:
    return (*job.outcome(Phase.READ).warnings, *job.outcome(Phase.PREPROCESS).warnings)


def document_of(job: Job, prediction: Prediction) -> dict[str, Any]:
    """Return what ``metseg predict`` would have written of the case."""
    report = CaseReport(job.study_id, job.loaded.name, job.predictor.fingerprint)
    report.add(prediction)
    return report.document()


def lesions_of(prediction: Prediction) -> list[Lesion]:
    """Return the lesions as the service tells them, with their side of the head where that can be known."""
    reference = prediction.reference_image
    if reference.affine is None:
        count = reference.shape[2]
        return [_told(lesion, _pictures_of(lesion, count)) for lesion in prediction.lesions]
    centres = [lesion.centre_voxel for lesion in prediction.lesions]
    places = sides(reference.data, reference.affine, centres)
    return [_told(lesion, place) for lesion, place in zip(prediction.lesions, places, strict=True)]


def _pictures_of(lesion: FoundLesion, count: int) -> str:
    """Return in words in which of a number of pictures a lesion lies."""
    picture = f"picture {(lesion.slice_index or 0) + 1}"
    return picture if len(lesion.slices) < 2 else f"{picture}, in {len(lesion.slices)} of {count} slices"


def _told(lesion: FoundLesion, place: str | None) -> Lesion:
    return Lesion(
        number=lesion.id,
        label=lesion.label,
        voxels=lesion.voxels,
        voxels_by_label=lesion.voxels_by_label,
        volume_ml=lesion.volume_ml,
        longest_diameter_mm=lesion.longest_diameter_mm,
        longest_axial_diameter_mm=lesion.longest_axial_diameter_mm,
        centre_voxel=lesion.centre_voxel,
        centre_mm=lesion.centre_mm,
        confidence=lesion.confidence,
        slice=lesion.slice_index,
        slices=lesion.slices,
        place=place,
    )


def table_of(lesions: Sequence[dict[str, Any]]) -> str:
    """Return the lesions as CSV with a header; what is not known is left empty.

    >>> print(table_of([]))
    number,label,voxels,volume_ml,longest_diameter_mm,longest_axial_diameter_mm,centre_voxel_x,...
    """
    out = io.StringIO()
    header = [name for column in COLUMNS for name in _names(column)]
    writer = csv.DictWriter(out, header, lineterminator="\n")
    writer.writeheader()
    for lesion in lesions:
        row: dict[str, Any] = {}
        for column in COLUMNS:
            names, value = _names(column), lesion[column]
            # A point that is not known leaves its three columns empty.
            row |= {column: value} if names == [column] else dict(zip(names, value or ("",) * 3, strict=True))
        writer.writerow(row)
    return out.getvalue()


def _names(column: str) -> list[str]:
    return [f"{column}_{axis}" for axis in "xyz"] if column.startswith("centre") else [column]

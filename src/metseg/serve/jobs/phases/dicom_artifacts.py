"""Results of DICOM studies as DICOM objects, where the operator's settings ask for them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime

import numpy as np
import numpy.typing as npt

from metseg.dicom_export import ResultContent, build_exports, export_files, read_source_headers
from metseg.dicom_export.object_uids import encoded
from metseg.errors import InputError, UsageError
from metseg.inference.lesion_table import number_lesions
from metseg.runtime.atomic_io import write_bytes
from metseg.schemas import Kind, Phase
from metseg.serve.http.problem_details import public_text
from metseg.serve.jobs.phases.job import Job, stamp
from metseg.serve.jobs.phases.measure_phase import the_lesions
from metseg.serve.jobs.phases.predict_phase import the_segmentation
from metseg.serve.jobs.phases.upload_source import find_source

_log = logging.getLogger(__name__)


def give_dicom(job: Job, report_pdf: Callable[[], bytes]) -> tuple[str, ...]:
    """Write the exports of the settings; nothing for studies that are not DICOM.

    The uploads are deleted when the study is finished, so that this is the last time to refer to them.

    Args:
        job: the study; its lesions have been measured.
        report_pdf: makes the report.
    Returns:
        A warning for what cannot be written, such as a series with slices that were interpolated; the study itself does
        not fail.
    """
    if not job.dicom_exports or not any(upload.kind in (Kind.DICOM, Kind.ARCHIVE) for upload in job.uploads):
        return ()
    try:
        _give(job, report_pdf)
    except (InputError, UsageError) as error:
        return (f"No DICOM objects were written: {public_text(error.what)}.",)
    except (ValueError, TypeError, AttributeError) as error:  # of highdicom and pydicom for unusual headers
        # Without the message, which can hold values of headers.
        _log.warning("study %s: no DICOM objects were written: %s", job.study_id, type(error).__name__)
        return ("No DICOM objects were written: the headers of the images do not allow it.",)
    return ()


def _give(job: Job, report_pdf: Callable[[], bytes]) -> None:
    from metseg.io.layouts.dicom_study import AskedStudy  # pydicom only where there is DICOM

    read = job.outcome(Phase.READ)
    source = find_source(job, job.predictor.recipe.data)
    assert isinstance(source, AskedStudy)
    headers = read_source_headers(source.series[read.kept["reference"]], identity=job.dicom_identity)
    objects = build_exports(_content(job, headers.affine, report_pdf), headers, job.dicom_exports)
    contents = {name.removeprefix("-"): encoded(dataset) for name, dataset in export_files(objects, "")}
    for name, content in contents.items():  # all or none: each of them can refuse to be encoded
        with job.artifact(name) as path:
            write_bytes(path, content)


def _content(job: Job, affine: npt.NDArray[np.float64], report_pdf: Callable[[], bytes]) -> ResultContent:
    """Return the result; its date is that of the measurement, so that a repeated phase writes the same objects."""
    segmentation = the_segmentation(job)
    facts = job.outcome(Phase.READ).facts
    measured_at = int(stamp(job.folder, Phase.MEASURE).stat().st_mtime)
    return ResultContent(
        job.study_id,
        segmentation.labels,
        number_lesions(segmentation.labels),
        affine,
        facts["scheme"],
        the_lesions(job),
        facts["model"],
        datetime.fromtimestamp(measured_at).astimezone(),
        facts["fingerprint"],
        segmentation.probability,
        report_pdf,
    )

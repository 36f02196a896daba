"""Phase 6: draw the overlays, and write the report and DICOM objects."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metseg.class_styles import class_styles, legend_of
from metseg.inference.brain.brain_border import made_brain_mask
from metseg.inference.outputs.volume_outputs import draw_overlay
from metseg.picture_style import Styles
from metseg.plot.images.overlay import draw_labels, grey, with_caption
from metseg.plot.images.planes import Caption
from metseg.reporting.study.html_writer import write_study_html
from metseg.reporting.study.model_info import find_model
from metseg.reporting.study.pdf_writer import write_study_pdf
from metseg.reporting.study.report_builder import Options, report_of_case
from metseg.reporting.study.study_report import StudyReport
from metseg.schemas import Phase
from metseg.serve.jobs.phases.dicom_artifacts import give_dicom
from metseg.serve.jobs.phases.job import Job, Outcome
from metseg.serve.jobs.phases.measure_phase import the_document, the_lesions, the_records
from metseg.serve.jobs.phases.predict_phase import the_segmentation
from metseg.serve.jobs.phases.read_phase import the_case
from metseg.serve.jobs.phases.thumbnail import fit_into_square, volume_key_image
from metseg.serve.storage.png_files import write_png
from metseg.volume import Case

Labels = npt.NDArray[np.uint8]

#: ``overlay.png`` of pictures: maximum number of slices, those with the most lesion, and side in pixels.
SHOWN_PICTURES, SHOWN_SIDE = 4, 512


def render(job: Job) -> Outcome:
    """Draw the overlays, and write the report as PDF and HTML and the DICOM objects of the settings."""
    case, labels = the_case(job), the_segmentation(job).labels
    reference = case.images[job.outcome(Phase.READ).kept["reference"]]
    styles = class_styles(job.predictor.recipe.data.labels)
    if reference.affine is None:
        _give_picture_overlays(job, case, labels, styles)
        key_image = _overlaid(case, labels, largest_slices(labels, 1)[0], styles)
    else:
        with job.artifact("overlay.png") as path:
            draw_overlay(reference, labels, the_lesions(job), path, caption=Caption(job.study_id, styles))
        key_image = volume_key_image(reference, labels, the_lesions(job), styles)
    with job.artifact("thumbnail.png") as path:
        write_png(path, fit_into_square(key_image))
    job.on_share(0.4)
    report = _report(job, case, labels)
    job.on_share(0.6)
    with job.artifact("report.html") as path:
        write_study_html(report, path)
    with job.artifact("report.pdf") as path:
        write_study_pdf(report, path)
    job.on_share(0.8)
    return Outcome(warnings=give_dicom(job, (job.folder.artifacts / "report.pdf").read_bytes))


def _report(job: Job, case: Case, labels: Labels) -> StudyReport:
    model = find_model(job.loaded.name, job.predictor.fingerprint)
    brain = made_brain_mask(case, the_records(job))
    options = Options(pseudonym=job.study_id)
    return report_of_case(the_document(job), case, labels, model, options=options, brain=brain)


def _give_picture_overlays(job: Job, case: Case, labels: Labels, styles: Styles) -> None:
    depth = labels.shape[2]
    for z in range(depth):
        legend = legend_of(styles, np.unique(labels[:, :, z]))
        with job.artifact(f"overlay-{z + 1}.png") as path:
            name = f"{job.study_id}, picture {z + 1}"
            write_png(path, with_caption(_overlaid(case, labels, z, styles), name, legend))
        job.on_share(0.4 * (z + 1) / depth)
    shown = largest_slices(labels, SHOWN_PICTURES)
    row = [_overlaid(case, labels, z, styles) for z in shown]
    row = [fit_into_square(picture, SHOWN_SIDE) for picture in row] if len(row) > 1 else row
    legend = legend_of(styles, np.unique(labels[:, :, shown]))
    with job.artifact("overlay.png") as path:
        write_png(path, with_caption(np.concatenate(row, axis=1), job.study_id, legend))


def largest_slices(labels: Labels, count: int) -> list[int]:
    """Return the slices with the most lesion, in order; without lesions, the middle slice."""
    sizes = np.count_nonzero(labels, axis=(0, 1))
    largest = [int(z) for z in np.argsort(-sizes, kind="stable")[:count] if sizes[z]]
    return sorted(largest) or [labels.shape[2] // 2]


def _overlaid(case: Case, labels: Labels, z: int, styles: Styles) -> npt.NDArray[np.uint8]:
    """Return a slice with its lesions filled and outlined, (rows, columns, 3)."""
    drawn = draw_labels(grey(case.background.data[:, :, z]), labels[:, :, z], styles)
    return np.ascontiguousarray(drawn.transpose(1, 0, 2))

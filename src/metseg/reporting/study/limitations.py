"""The limitations section of a study report, for the study at hand."""

from __future__ import annotations

from metseg.io.data_origin import named_data
from metseg.reporting.study.number_format import millimetres
from metseg.reporting.study.study_report import RESEARCH_USE, StudyReport

#: Least slice distance of thick slices.
THICK_MM = 2.5
#: Least angle between the axes of the image and the body for a note.
OBLIQUE_DEGREES = 10.0
#: For a model of simulated patients.
_SIMULATED = "How well it finds lesions of real patients is not stated with it. "


def limits(report: StudyReport) -> tuple[str, ...]:
    """Return one or two sentences for each limit."""
    technique = report.technique
    always = (
        f"{RESEARCH_USE}. metseg is not a medical device. Diagnosis, treatment and its planning must not rest on this "
        "report.",
        "Lesions can be missed, and an outlined area may not be a lesion: vessels, haemorrhage, scars and artefacts "
        "can look like one to a network. Compare every outline with the original images.",
        "The model sees this examination only: no earlier images, no history, no other findings. It does not tell the "
        "kind of a lesion or whether a lesion has changed.",
        "A lesion is a connected piece of the mask: lesions that touch are counted as one, and a lesion in "
        "several pieces is counted as several.",
    )
    told = (
        _of_pictures(report) if technique.is_pictures else _of_grid(technique.spacing_mm),
        _of_axes(technique.oblique_degrees),
        _of_training(report),
    )
    return (*always, *filter(None, told))


def _of_pictures(report: StudyReport) -> str:
    return (
        "Plain pictures carry neither scale nor orientation: sizes are in pixels, and right and left are not known. "
        f"Only the {report.technique.shape[2]} pictures given were read, not the whole examination."
        if report.technique.shape[2] > 1
        else "A plain picture carries neither scale nor orientation: sizes are in pixels, and right and left are not "
        "known. Only this picture was read, not the whole examination."
    )


def _of_grid(spacing_mm: tuple[float, float, float] | None) -> str:
    """Return the limitation of thick slices."""
    if spacing_mm is None or max(spacing_mm) < THICK_MM:
        return ""
    thick = millimetres(max(spacing_mm))
    return (
        f"The slices lie {thick} mm apart: a lesion smaller than that can be missed, and sizes across the slices are "
        "uncertain by the same distance."
    )


def _of_axes(oblique_degrees: float | None) -> str:
    if oblique_degrees is None or oblique_degrees < OBLIQUE_DEGREES:
        return ""
    return (
        f"The images were taken obliquely, {oblique_degrees:.0f}° off the axes of the body: planes and letters in the "
        "key images follow the nearest axis."
    )


def _of_training(report: StudyReport) -> str:
    if not report.model.trained_on:
        return (
            "The training data of the model are not known here; on images of another kind the model may fail without "
            "warning."
        )
    trained_on = named_data(report.model.trained_on)  # the licence is stated with the model
    unmeasured = _SIMULATED if report.model.is_simulated else ""
    return (
        f"The model was trained on {trained_on}. {unmeasured}On other scanners, sequences, diseases or ages it may "
        "fail without warning."
    )

"""What a reader of a study report must not conclude from it: the limits that hold for this very study."""

from __future__ import annotations

from metseg.reporting.study.number_format import millimetres
from metseg.reporting.study.study_report import RESEARCH_USE, StudyReport

#: From this distance on, slices are called thick.
THICK_MM = 2.5
#: Axes that lean further away from those of the body are worth a word.
OBLIQUE_DEGREES = 10.0


def limits(report: StudyReport) -> tuple[str, ...]:
    """Return one or two sentences for each limit."""
    technique = report.technique
    always = (
        f"{RESEARCH_USE}. metseg is not a medical device. Diagnosis, treatment and its planning must not rest on this "
        "report.",
        "Lesions can be missed, and what is outlined need not be a lesion: vessels, haemorrhage, scars and artefacts "
        "look alike to a network. Every outline has to be compared with the original images.",
        "The model sees this one examination: no earlier images, no history, no other findings. It does not say what "
        "kind of lesion it is, nor whether it has changed.",
        "A lesion is a connected piece of the mask: lesions that touch are counted as one, one that falls into "
        "pieces as several.",
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
    """Return what thick slices hide."""
    if spacing_mm is None or max(spacing_mm) < THICK_MM:
        return ""
    thick = millimetres(max(spacing_mm))
    return (
        f"The slices lie {thick} mm apart: a lesion smaller than that can be missed, and sizes across the slices are "
        "uncertain by as much."
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
            "On whose images the model was trained is not known here; on images of another kind it may fail without "
            "notice."
        )
    return (
        f"The model was trained on {report.model.trained_on}. On other scanners, sequences, diseases or ages it may "
        "fail, and it will not say so."
    )

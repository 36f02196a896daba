"""The text of a study report, section by section, for all formats."""

from __future__ import annotations

from collections.abc import Sequence

from metseg.grade_record import NO_GLIOMAS, GradeReason
from metseg.inference.input_fit import misfit_warnings
from metseg.lesion import Lesion
from metseg.message_text import pluralize
from metseg.reporting.study.limitations import limits
from metseg.reporting.study.number_format import chance, millilitres, millimetres, product, sentence
from metseg.reporting.study.page_parts import Page, Section
from metseg.reporting.study.study_report import RESEARCH_USE, ReadImage, StudyReport
from metseg.reporting.study.study_tables import class_table, lesion_table, performance_table
from metseg.sequence_titles import SEQUENCE_TITLES

TITLE = "Brain MRI: automated lesion outlining"

NOTHING_FOUND = "No lesion found."
NOT_EXCLUDED = (
    "The model marked nothing in this study. This does not exclude a lesion: small ones are missed most often, and a "
    "model can fail completely on images unlike its training data."
)
ONLY_SPECKS = (
    "A speck can be a vessel or noise, and can be a small lesion. That no larger one was marked does not exclude one: "
    "a model can fail completely on images unlike its training data."
)
COUNTED_ONCE = (
    "Overlapping regions of neighbouring pictures are counted as one lesion; its area is the sum over its regions. "
    "Regions on either side of missing pictures are counted separately."
)
NO_SCALE = "No sizes are given in millimetres or millilitres: the pictures do not state the pixel size."
NO_GRADE = "no tumour was found, its outlines were corrected, or the prediction is older than the classifier"
UNKNOWN_MODEL = "the bundle of the model was not available"
GRADE_USE = "An estimate from images for research, not a diagnosis; the grade is decided by pathology."
UNCONFIRMED = "Found by a program; not yet confirmed by a radiologist."


def study_page(report: StudyReport) -> Page:
    """Return the complete report as a page."""
    fingerprint = report.model.fingerprint or "no bundle"
    return Page(
        title=TITLE,
        subject=f"Study {report.pseudonym}, analysed with {report.model.name}; report of {report.made_on.isoformat()}",
        keywords=("MRI", "brain", "segmentation", RESEARCH_USE),
        banner=RESEARCH_USE,
        footer=(f"Study {report.pseudonym}", f"model {fingerprint}", f"report {report.digest}"),
        sections=(
            _result(report),
            _study(report),
            _lesions(report),
            _key_images(report),
            _model(report),
            _warnings(report),
            Section("Limits", bullets=limits(report)),
            Section("Review", paragraphs=(_REVIEW,), blanks=("Name", "Signature", "Date")),
        ),
    )


_REVIEW = (
    "The outlines and figures above were compared with the original images by the person named below. Without a "
    "signature this is the output of a program, not a finding."
)


def _result(report: StudyReport) -> Section:
    headline = report.headline
    lead = (" ".join(filter(None, (headline.finding, _largest(report)))), UNCONFIRMED)
    unread = sum(report.unread.values())
    verb = "was" if unread == 1 else "were"
    caution = (f"{pluralize(unread, 'image')} could not be read and {verb} not analysed.",) if unread else ()
    return Section(
        "Result",
        opening=headline.fitness,
        doubts=_doubts(report),
        lead=lead if report.lesions else (headline.finding, NOT_EXCLUDED),
        paragraphs=(ONLY_SPECKS,) if headline.specks and not headline.lesions else (),
        figures=tuple((figure.text, figure.name) for figure in headline.figures),
        caution=caution,
    )


def _doubts(report: StudyReport) -> tuple[str, ...]:
    """Return the warnings by which the model's scores do not hold, and how many others there are further below."""
    misfits = misfit_warnings(report.warnings)
    others = len(report.warnings) - len(misfits)
    more = f"{pluralize(others, 'further warning' if misfits else 'warning')}: see the section Warnings."
    return (*map(sentence, misfits), *([more] if others else []))


def _largest(report: StudyReport) -> str:
    """Return the size and side of the largest lesion of a volume, as a sentence."""
    largest = report.lesions[0] if report.lesions else None
    if largest is None or largest.volume_ml is None:
        return ""
    mixed = " with all its classes" if len(largest.voxels_by_label) > 1 else ""
    return f"The largest, no. {largest.id}{_side(largest)}: {_size(largest)}{mixed}."


def _side(lesion: Lesion) -> str:
    words = {"right": ", right side", "left": ", left side", "near midline": ", near the midline", None: ""}
    return words[lesion.side]


def _size(lesion: Lesion) -> str:
    return f"{millilitres(lesion.volume_ml)} mL, longest diameter {millimetres(lesion.longest_diameter_mm)} mm"


def _study(report: StudyReport) -> Section:
    technique = report.technique
    facts = [
        ("Study", (report.pseudonym,)),
        ("Report made on", (f"{report.made_on.isoformat()}, with metseg {report.version}",)),
        ("Images", _images(report)),
        *((("Patient, from the data set's table", _clinical(report)),) if report.clinical else ()),
        *((("Tumour grade", _grade(report)),) if report.model.no_grade != NO_GLIOMAS else ()),
        ("Model", (_model_name(report),)),
        ("Preprocessing", technique.steps if technique.steps else (_no_steps(technique.steps),)),
        ("Mask", _mask(report)),
    ]
    return Section("Study and technique", facts=tuple(facts))


def _clinical(report: StudyReport) -> tuple[str, ...]:
    stated = tuple(f"{name}: {value}" for name, value in report.clinical.items())
    return (*stated, "The network did not see these, and no prognosis follows from this report.")


def _grade(report: StudyReport) -> tuple[str, ...]:
    """Return the grade with what decided, or why there is none."""
    grade = report.grade
    if grade is None:
        reason = report.model.no_grade or (NO_GRADE if report.model.is_described else UNKNOWN_MODEL)
        return (f"Not available: {reason}.",)
    return (
        f"{grade.grade} rather than {grade.other}, probability {chance(grade.probability)}; {grade.auc_text}.",
        f"Features that decided, with their contributions: {', '.join(map(_reason, grade.decided_by))}.",
        GRADE_USE,
    )


def _reason(reason: GradeReason) -> str:
    value = "not defined" if reason.value is None else f"{reason.value:.3g} {reason.unit}".strip()
    return f"{reason.feature.replace('_', ' ')} {value} ({reason.contribution:+.2f})"


def _no_steps(steps: tuple[str, ...] | None) -> str:
    return "Not recorded with this prediction." if steps is None else "None: the model received the images unchanged."


def _images(report: StudyReport) -> tuple[str, ...]:
    technique = report.technique
    names = [_sequence(image.name) for image in technique.sequences]
    if technique.is_pictures:
        columns, rows, pictures = technique.shape
        channels = f"; channels: {', '.join(names)}" if names else ""
        whole = f"{pluralize(pictures, 'picture')} of {columns} × {rows} pixels{channels}"
        named = [image for image in technique.sequences if image.reason]
        reason = _common_reason(named)
        origins = (f"{_sequence(image.name)}{_origin(image, without=reason)}" for image in named)
        return (whole, *origins, *_reason_lines(reason))
    if not technique.sequences:
        return (_grid(technique.shape, technique.spacing_mm),)
    reason = _common_reason(technique.sequences)
    lines = [_image(image, without=reason) for image in technique.sequences]
    lines += _reason_lines(reason)
    if len(technique.sequences) > 1 and technique.reference:
        lines.append(f"The result lies on the grid of {technique.reference}.")
    return tuple(lines)


def _common_reason(images: Sequence[ReadImage]) -> str:
    """Return the reason for the choice of sequences if several images share it, else nothing."""
    reasons = {image.reason for image in images}
    return reasons.pop() if len(images) > 1 and len(reasons) == 1 else ""


def _reason_lines(reason: str) -> list[str]:
    return [f"All sequences: {reason}."] if reason else []


def _image(image: ReadImage, *, without: str) -> str:
    return f"{_sequence(image.name)}: {_grid(image.shape, image.spacing_mm)}{_origin(image, without=without)}"


def _origin(image: ReadImage, *, without: str) -> str:
    """Return the file or series of an image, and why it was read as its sequence.

    Args:
        image: of the study.
        without: a reason given once for all images, left out here.
    """
    reason = f" ({image.reason})" if image.reason and image.reason != without else ""
    return f", read from {image.source}{reason}" if image.source and image.reason else reason


def _grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float] | None) -> str:
    voxels = f"{product(shape)} voxels"
    return voxels if spacing_mm is None else f"{voxels} of {product(spacing_mm, digits=2)} mm"


def _sequence(name: str) -> str:
    """Return the radiological name of a modality, with metseg's name."""
    return f"{SEQUENCE_TITLES[name]} ({name})" if name in SEQUENCE_TITLES else name


def _model_name(report: StudyReport) -> str:
    model = report.model
    return f"{model.name}, bundle {model.fingerprint}" if model.fingerprint else f"{model.name}, not from a bundle"


def _mask(report: StudyReport) -> tuple[str, ...]:
    technique = report.technique
    what = "pixel" if technique.is_pictures else "voxel"
    threshold = technique.threshold
    first = "The threshold was not recorded with this prediction."
    if threshold is not None:
        first = f"A {what} counts as lesion at a probability of {chance(threshold)} or more."
    return (first, *technique.decisions)


def _lesions(report: StudyReport) -> Section:
    if not report.lesions:
        return Section("Lesions", paragraphs=(f"{NOTHING_FOUND} There is nothing to list.",))
    about = _about_pictures(report) if report.technique.is_pictures else ()
    tables = [lesion_table(report)]
    if len(report.classes) > 1 and not report.technique.is_pictures:
        tables.append(class_table(report))
    return Section("Lesions", paragraphs=about, tables=tuple(tables))


def _about_pictures(report: StudyReport) -> tuple[str, ...]:
    """Return the note on how lesions of pictures are counted and measured."""
    return (COUNTED_ONCE, NO_SCALE) if report.technique.shape[2] > 1 else (NO_SCALE,)


def _key_images(report: StudyReport) -> Section:
    shown, lesions = len(report.key_images), len(report.lesions)
    said = [report.lacking] if report.lacking else []
    if 0 < shown < lesions:
        said.append(f"The {shown} largest of {lesions} lesions are shown; the others are in the table.")
    if shown and not report.technique.is_pictures:
        said.append(
            "The patient's right is on the left of axial and coronal planes; anterior is on the left of sagittal ones."
        )
    if shown and report.lesions and len(report.colours) > 1:
        said.append(f"Outlines: {', '.join(f'{name} {colour}' for name, colour in report.colours.items())}.")
    if not shown and not said:
        said.append("No key images were made.")
    return Section("Key images", paragraphs=tuple(said), key_images=report.key_images)


def _model(report: StudyReport) -> Section:
    model = report.model
    facts = [
        ("Model", (_model_name(report),)),
        ("What it is", (model.summary, model.architecture)),
        ("Trained on", (model.trained_on,)),
    ]
    known = tuple((what, tuple(filter(None, lines))) for what, lines in facts if any(lines))
    title = "Model and its known performance"
    if not model.is_described:
        said = "The bundle of this model was not available, so its scores are not known here."
        return Section(title, facts=known, caution=(said,))
    if not model.performance:
        said = "The bundle contains no scores on patients with a known truth: how well this model works is not known."
        return Section(title, facts=known, caution=(said,))
    leak = "Some scored patients, or slices of them, were part of the training data: these scores are too high."
    return Section(
        title, facts=known, caution=(leak,) if model.leaks_patients else (), tables=(performance_table(model),)
    )


def _warnings(report: StudyReport) -> Section:
    unread = tuple(f"{pluralize(count, 'image')} could not be read ({code})." for code, count in report.unread.items())
    texts = (*unread, *report.warnings)
    if not texts:
        return Section("Warnings", paragraphs=("Reading, preprocessing and prediction gave no warning.",))
    return Section("Warnings", paragraphs=("From reading, preprocessing and prediction:",), bullets=texts)

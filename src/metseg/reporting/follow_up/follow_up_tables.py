"""The tables of the report of a follow-up."""

from __future__ import annotations

from collections.abc import Sequence

from metseg.follow_up_document import (
    FollowUpDocument,
    LesionRecord,
    ResponseRecord,
    TimepointRecord,
)
from metseg.longitudinal.change_text import LesionChange
from metseg.reporting.study.number_format import millilitres, millimetres, product
from metseg.reporting.study.page_parts import Column, Table

#: Kind of a change to the words of the table.
KIND_TEXT = {
    "new": "new",
    "returned": "seen again",
    "larger": "larger",
    "split": "piece of a split",
    "merged": "merged",
    "smaller": "smaller",
    "vanished": "no longer seen",
    "unchanged": "within error",
}

ERROR_NOTE = (
    "In brackets: limits within which 95 % of repeated measurements of an unchanged lesion lie. A change within them "
    "is within the error of measurement."
)
RESPONSE_NOTE = (
    "Sums are of the target lesions. Nadir: the smallest sum before. Confirmed: by an examination at least four weeks "
    "later. RANO-BM: the imaging part; steroids and clinical status are in the text."
)


def change_table(document: FollowUpDocument, changes: Sequence[LesionChange]) -> Table:
    """Return what happened to each lesion from the examination before the last to the last one."""
    before, now = document.timepoints[-2].name, document.timepoints[-1].name
    return Table(
        caption=f"Changes from {before} to {now}, the most important first",
        columns=(
            Column("No.", width=0.45),
            Column("Change", is_number=False, width=1.1),
            Column("Volume before (mL)", width=0.85),
            Column("now (mL)", width=0.7),
            Column("Change (%)", width=1.45),
            Column("Diameter before (mm)", width=0.95),
            Column("now (mm)", width=0.7),
            Column("Change (mm)", width=1.45),
            Column("Target", is_number=False, width=0.65),
        ),
        rows=tuple(_change_row(document, change, before) for change in changes),
        notes=(ERROR_NOTE, "Diameter: the longest in one axial slice."),
    )


def _change_row(document: FollowUpDocument, change: LesionChange, before: str) -> tuple[str, ...]:
    earlier, now = document.state(change.lesion.id, before), change.state
    since = now.since_previous
    return (
        str(change.lesion.id),
        _kind_text(change),
        millilitres(None if earlier is None else earlier.volume_ml),
        millilitres(now.volume_ml),
        "–" if since is None else _with_limits(since.volume_percent, since.volume_limits_percent, 0),
        millimetres(None if earlier is None else earlier.longest_axial_mm),
        millimetres(now.longest_axial_mm),
        "–" if since is None else _with_limits(since.diameter_mm, since.diameter_limits_mm, 1),
        "target" if change.lesion.target else "",
    )


def _kind_text(change: LesionChange) -> str:
    text = KIND_TEXT[change.kind]
    related = change.state.related
    together = () if change.state.since_previous is None else change.state.since_previous.with_lesions
    if related is not None:
        return f"{text} ({related})"
    return f"{text}, with {', '.join(map(str, together))}" if together else text


def _with_limits(value: float, limits: tuple[float, float], digits: int) -> str:
    low, high = limits
    return f"{value:+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f})"


def lesion_time_table(document: FollowUpDocument) -> Table:
    """Return volume and diameter of each lesion at each examination."""
    names = [timepoint.name for timepoint in document.timepoints]
    return Table(
        caption="Volume (mL) and longest axial × perpendicular diameter (mm) of each lesion",
        columns=(
            Column("No.", width=0.45),
            *(Column(name, is_number=False, width=1.6, wraps=True) for name in names),
            Column("Target", is_number=False, width=0.7),
        ),
        rows=tuple(
            (str(lesion.id), *(_cell(lesion, name) for name in names), "target" if lesion.target else "")
            for lesion in document.lesions
        ),
        notes=("A lesion has the same number at every examination.",),
    )


def _cell(lesion: LesionRecord, name: str) -> str:
    state = next((one for one in lesion.states if one.timepoint == name), None)
    if state is None:
        return "–"
    if state.volume_ml is None:
        return {"merged": f"merged with {state.related}", "vanished": "no longer seen"}.get(state.event, "not seen")
    size = f"{millimetres(state.longest_axial_mm)} × {millimetres(state.perpendicular_axial_mm)}"
    note = {"new": ", new", "split": f", piece of {state.related}", "returned": ", seen again"}.get(state.event, "")
    return f"{millilitres(state.volume_ml)}; {size}{note}"


def totals_table(document: FollowUpDocument) -> Table:
    """Return number and volume of all lesions, and the volume of every class, at each examination."""
    labels = list(document.timepoints[0].volume_ml_by_label)
    several = labels if len(labels) > 1 else []
    return Table(
        caption="All lesions together",
        columns=(
            Column("Examination", is_number=False, width=1.4),
            Column("Lesions", width=0.7),
            Column("Volume (mL)", width=0.9),
            *(Column(f"{label} (mL)", width=0.9) for label in several),
        ),
        rows=tuple(
            (
                timepoint.name,
                str(timepoint.lesions),
                millilitres(timepoint.volume_ml),
                *(millilitres(timepoint.volume_ml_by_label[label]) for label in several),
            )
            for timepoint in document.timepoints
        ),
    )


def response_table(document: FollowUpDocument) -> Table:
    """Return the sums of the targets and the categories at each examination."""
    first = document.timepoints[0]
    baseline = (
        *(_dated(first), millimetres(document.baseline_sum_mm), "–", "–", millilitres(document.baseline_sum_ml)),
        *("–", "baseline", "–", "baseline"),
    )
    return Table(
        caption="RANO-BM, imaging part, and volumes beside it",
        columns=(
            Column("Examination", is_number=False, width=1.3, wraps=True),
            Column("Sum of diameters (mm)", width=0.9),
            Column("from baseline", width=0.8),
            Column("from nadir", width=0.75),
            Column("Sum of volumes (mL)", width=0.85),
            Column("from baseline", width=0.8),
            Column("RANO-BM", is_number=False, width=0.95),
            Column("Confirmed", is_number=False, width=0.9),
            Column("by volume", is_number=False, width=0.95),
        ),
        rows=(baseline, *(_response_row(document, record) for record in document.response)),
        notes=(RESPONSE_NOTE, f"By volume: {document.sources['volumetric']}."),
    )


def _response_row(document: FollowUpDocument, record: ResponseRecord) -> tuple[str, ...]:
    timepoint = next(one for one in document.timepoints if one.name == record.timepoint)
    confirmed = {True: "yes", False: "no", None: "–"}[record.confirmed]
    return (
        _dated(timepoint),
        millimetres(record.sum_mm),
        _percent(record.diameters_from_baseline_percent),
        _percent(record.diameters_from_nadir_percent),
        millilitres(record.sum_ml),
        _percent(record.volumes_from_baseline_percent),
        record.imaging.category,
        confirmed,
        record.volumetric.category,
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:+.0f} %"


def _dated(timepoint: TimepointRecord) -> str:
    """Return the name of an examination with its date, unless the name is the date."""
    day = None if timepoint.day is None else timepoint.day.isoformat()
    return timepoint.name if day is None or day == timepoint.name else f"{timepoint.name} ({day})"


def registration_table(document: FollowUpDocument) -> Table:
    """Return how each examination was registered to the first one."""
    return Table(
        caption="Rigid registration to the first examination",
        columns=(
            Column("Examination", is_number=False, width=1.3, wraps=True),
            Column("Image", is_number=False, width=0.6),
            Column("Voxel (mm)", is_number=False, width=1.3),
            Column("Shift (mm)", width=0.8),
            Column("Rotation (degrees)", width=0.9),
            Column("Mutual information", width=1.0),
            Column("Head overlap", width=0.8),
            Column("Verdict", is_number=False, width=0.9),
        ),
        rows=tuple(_registration_row(timepoint, place) for place, timepoint in enumerate(document.timepoints)),
        notes=(
            "Mutual information: normalised, 1 for independent images, 2 for equal ones. Head overlap: Dice "
            "coefficient of the two heads. No doubt: within the limits, which do not recognise errors of a few "
            "millimetres or the head of another patient.",
        ),
    )


def _registration_row(timepoint: TimepointRecord, place: int) -> tuple[str, ...]:
    record = timepoint.registration
    is_measured = record.mutual_information is not None and record.head_overlap is not None
    return (
        _dated(timepoint),
        timepoint.sequence or "–",
        product(timepoint.spacing_mm, digits=2),
        f"{record.shift_mm:.1f}" if is_measured else "–",
        f"{record.rotation_degrees:.1f}" if is_measured else "–",
        f"{record.mutual_information:.2f}" if is_measured else "–",
        f"{record.head_overlap:.2f}" if is_measured else "–",
        record.verdict if place else "first",
    )

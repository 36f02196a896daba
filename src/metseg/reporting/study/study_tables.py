"""The tables of a study report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from metseg.class_styles import SHORT_TITLES
from metseg.evaluation.statistics.summary import LESIONS_IN_SLICES
from metseg.headline import SPECK_ML
from metseg.inference.lesion_sides import MIDLINE_MM
from metseg.lesion import Lesion
from metseg.message_text import pluralize
from metseg.reporting.study.lesion_location import coordinates
from metseg.reporting.study.number_format import (
    chance,
    millilitres,
    millimetres,
    picture_number,
    score,
    sentence,
    share,
)
from metseg.reporting.study.page_parts import Column, Table
from metseg.reporting.study.study_report import Model, StudyReport

#: Meaning of the abbreviations in the label schemes.
CLASSES: Mapping[str, str] = {
    "NETC": "non-enhancing tumour core",
    "SNFH": "surrounding non-enhancing FLAIR hyperintensity (oedema, infiltration)",
    "ET": "enhancing tumour",
    "RC": "resection cavity",
    "NCR": "necrotic tumour core",
    "ED": "peritumoural oedema",
}

#: Classes and regions of the label schemes in the few words that a table has room for.
_SHORT: Mapping[str, str] = {**SHORT_TITLES, "WT": "whole tumour, with oedema", "TC": "tumour core"}

#: Specks in the table of lesions; most of them are false positives, and would fill pages.
LISTED_SPECKS = 10

CONFIDENCE_NOTE = (
    "Confidence: the mean of the network's probability over the lesion, calibrated on the model's validation patients: "
    "there, about nine of ten predicted lesions with 0.90 were real. On other patients it can be wrong."
)
UNRECORDED_NOTE = (
    "Mean probability: the mean of the network's own probability over the lesion. Whether it was calibrated is not "
    "recorded."
)
PROBABILITY_NOTE = (
    "Mean probability: the mean of the network's own probability over the lesion. It is not calibrated: 0.90 does not "
    "mean that nine of ten such lesions are real."
)
SIZE_NOTE = (
    "Diameters are the largest distance between two voxel corners, in space and within one axial slice; their "
    "precision is limited by the voxel size."
)
CENTRE_NOTE = (
    "Centre of mass in the coordinates of the file, in mm from its origin: R right, L left, A anterior, P posterior, "
    "S superior, I inferior."
)
SIDE_NOTE = (
    f"Side: from the middle of the head in the image; within {MIDLINE_MM:.0f} mm of it, no side is given. It is "
    "correct only if the header of the image names right and left correctly."
)


@dataclass(frozen=True)
class _Cell:
    """A column of the lesion table and the function for its cells."""

    column: Column
    text: Callable[[Lesion], str]


_NUMBER = _Cell(Column("No.", width=0.5), lambda lesion: str(lesion.id))
_CLASS = _Cell(Column("Main class", is_number=False, width=1.0), lambda lesion: _short(lesion.label))
_CHANCE = _Cell(Column("Mean probability", width=1.1), lambda lesion: chance(lesion.confidence))
_CONFIDENCE = _Cell(Column("Confidence", width=1.1), lambda lesion: chance(lesion.confidence))

#: Whether probabilities are calibrated, to their column and its note.
CHANCES: Mapping[bool | None, tuple[_Cell, str]] = {
    True: (_CONFIDENCE, CONFIDENCE_NOTE),
    False: (_CHANCE, PROBABILITY_NOTE),
    None: (_CHANCE, UNRECORDED_NOTE),
}
_VOLUME_CELLS = (
    _Cell(Column("Volume (mL)", width=0.9), lambda lesion: millilitres(lesion.volume_ml)),
    _Cell(Column("Longest diameter (mm)", width=1.15), lambda lesion: millimetres(lesion.longest_diameter_mm)),
    _Cell(
        Column("Longest axial diameter (mm)", width=1.15), lambda lesion: millimetres(lesion.longest_axial_diameter_mm)
    ),
)
_VOLUME_RANGE = _Cell(Column("Volume range (mL)", width=1.1), lambda lesion: _range_text(lesion.volume_ml_range))
_AREA_RANGE = _Cell(Column("Area range (pixels)", width=1.1), lambda lesion: _pixels_text(lesion.voxels_range))
_SIDE = _Cell(Column("Side", is_number=False, width=1.05), lambda lesion: lesion.side or "–")
RANGE_NOTE = (
    "Range: the smallest and the largest size of the lesion in {count} predictions of mirror images and folds. It is "
    "their spread, not a calibrated confidence interval: the true size can be outside, and predictions that agree can "
    "be wrong together."
)
UNLETTERED_NOTE = (
    "Centre of mass in the coordinates of the file, in mm from its origin: x to the right, y to the front, z upwards. "
    "The origin does not lie in the middle of the head, so these numbers do not tell right from left."
)


def _pictures_of(lesion: Lesion) -> str:
    """Return the picture with the largest part of a lesion, and the number of its pictures."""
    number = str(picture_number(lesion))
    return number if len(lesion.slices) < 2 else f"{number} (in {len(lesion.slices)} slices)"


_PICTURE = _Cell(Column("Picture", width=0.7), _pictures_of)
_AREA = _Cell(Column("Area (pixels)", width=1.0), lambda lesion: str(lesion.voxels))
_PIXEL = _Cell(
    Column("Centre (column, row)", is_number=False, width=1.5),
    lambda lesion: f"{lesion.centre_voxel[0]:.0f}, {lesion.centre_voxel[1]:.0f}",
)


def _short(name: str) -> str:
    return _SHORT.get(name, name)


def _range_text(ends: tuple[float, float] | None) -> str:
    return "–" if ends is None else " to ".join(map(millilitres, ends))


def _pixels_text(ends: tuple[int, int] | None) -> str:
    return "–" if ends is None else " to ".join(map(str, ends))


def _centre(*, lettered: bool) -> _Cell:
    def text(lesion: Lesion) -> str:
        return "–" if lesion.centre_mm is None else coordinates(lesion.centre_mm, lettered=lettered)

    return _Cell(Column("Centre (mm)", is_number=False, width=1.6), text)


def lesion_table(report: StudyReport) -> Table:
    """Return the table of lesions, one row each. There is at least one."""
    chance_cell, chance_note = CHANCES[report.technique.is_calibrated]
    several = [_CLASS] if len(report.classes) > 1 else []
    predictions = max((lesion.range_predictions or 0 for lesion in report.lesions), default=0)
    if report.technique.is_pictures:
        name = [_picture_name(report.picture_names)] if report.picture_names else []
        cells, notes = [_NUMBER, *several, _PICTURE, *name, _AREA, _PIXEL, chance_cell], [chance_note]
        if predictions:
            cells.insert(cells.index(_AREA) + 1, _AREA_RANGE)
    else:
        sided = any(lesion.side is not None for lesion in report.lesions)
        side = [_SIDE] if sided else []
        lettered = report.technique.is_lettered
        volume, *diameters = _VOLUME_CELLS
        sizes = [volume, *([_VOLUME_RANGE] if predictions else []), *diameters]
        cells = [_NUMBER, *several, *sizes, *side, _centre(lettered=lettered), chance_cell]
        centre_note = CENTRE_NOTE if lettered else UNLETTERED_NOTE
        notes = [SIZE_NOTE, centre_note, *([SIDE_NOTE] if sided else []), chance_note]
    if predictions:
        notes.insert(0, RANGE_NOTE.format(count=predictions))
    if several:
        notes.insert(0, _class_note(report.classes))
    listed = _listed(report)
    left_out = len(report.lesions) - len(listed)
    if left_out:
        notes.insert(0, f"{pluralize(left_out, 'smaller speck')} not listed here; the JSON document lists all lesions.")
    return Table(
        caption="Lesions, the largest first",
        columns=tuple(cell.column for cell in cells),
        rows=tuple(tuple(cell.text(lesion) for cell in cells) for lesion in listed),
        notes=tuple(notes),
    )


def _listed(report: StudyReport) -> tuple[Lesion, ...]:
    """Return all lesions but the specks, and the largest specks."""
    specks = [lesion for lesion in report.lesions if lesion.volume_ml is not None and lesion.volume_ml < SPECK_ML]
    dropped = {lesion.id for lesion in specks[LISTED_SPECKS:]}
    return tuple(lesion for lesion in report.lesions if lesion.id not in dropped)


def _picture_name(names: Sequence[str]) -> _Cell:
    return _Cell(
        Column("Name", is_number=False, width=2.2, wraps=True), lambda lesion: names[picture_number(lesion) - 1]
    )


def _class_note(classes: Sequence[str]) -> str:
    meant = "; ".join(f"{_short(name)}: {CLASSES[name]}" for name in classes if name in CLASSES)
    return f"Sizes are of all classes of a lesion together. {meant}." if meant else "Sizes are of all classes together."


def class_table(report: StudyReport) -> Table:
    """Return the volume of each class in each lesion."""
    sums, listed = report.burden.by_class_ml or {}, _listed(report)

    def row(first: str, volumes: Mapping[str, float], total: float | None) -> tuple[str, ...]:
        return (first, *(millilitres(volumes.get(name, 0.0)) for name in report.classes), millilitres(total))

    return Table(
        caption="Volume by class, in mL",
        columns=(
            Column("No.", width=1.1),
            *(Column(_capital(_short(name)), width=0.9) for name in report.classes),
            Column("Together", width=0.8),
        ),
        rows=tuple(row(str(one.id), one.volume_ml_by_label, one.volume_ml) for one in listed),
        total=row("All" if len(listed) == len(report.lesions) else "All, unlisted too", sums, report.burden.volume_ml),
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def performance_table(model: Model) -> Table:
    """Return the scores of a model. There is at least one region."""
    first = model.performance[0]
    unit = first.unit
    scored_on = {
        "test": f"Scored on test {unit} outside of the training data.",
        "validation": (
            f"Scored on the validation {unit} that decided which epoch was kept: scores on other {unit} are likely to "
            "be lower."
        ),
    }
    return Table(
        caption=(
            "Scores on simulated patients, not on real ones"
            if model.is_simulated
            else f"Scores on {unit} with a known truth"
        ),
        columns=(
            Column("Region", is_number=False, width=1.5),
            Column(_capital(unit), width=0.7),
            Column("Dice, mean (95 % interval)", width=1.7),
            Column("Lesions found", width=1.3),
            Column("False lesions", width=0.9),
        ),
        rows=tuple(
            (
                _capital(_short(one.region)),
                str(one.patients) if one.unit == unit else f"{one.patients} {one.unit}",
                score(one.dice, one.low, one.high),
                "–" if one.found is None or one.missed is None else share(one.found, one.found + one.missed),
                "–" if one.false is None else str(one.false),
            )
            for one in model.performance
        ),
        notes=(
            scored_on[first.part],
            f"Dice coefficient: 1 for full agreement of outline and truth, 0 for no overlap; mean over {unit}.",
            *((sentence(LESIONS_IN_SLICES),) if first.in_slices else ()),
        ),
    )

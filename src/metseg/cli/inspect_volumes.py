"""The output of ``metseg inspect`` for volumes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from metseg.cli.output import SHOWN, Cells, counts, names
from metseg.message_text import pluralize

if TYPE_CHECKING:
    from metseg.io.inspection.volume_inspection import CaseLine, VolumeInspection

HEADINGS = ("case", "patient", "sequences", "grid", "mm", "axes", "labels", "lesions", "mL", "wrong")


def counted_volumes(inspection: VolumeInspection) -> str:
    """Return the counts of patients, studies, masks and lesions as text."""
    patients, studies = pluralize(inspection.patients, "patient"), pluralize(inspection.cases, "study", "studies")
    return f"{patients}, {studies}, {inspection.masks} with mask, {pluralize(inspection.lesions, 'lesion')}"


def case_table(inspection: VolumeInspection) -> Cells:
    """Return a row for each study."""
    return Cells(HEADINGS, tuple(_row(line) for line in inspection.case_lines))


def volume_lines(inspection: VolumeInspection) -> list[tuple[str, str]]:
    """Return the printed facts: sizes always, faults only where there are any."""
    facts = [
        ("data set", f"{inspection.root} ({inspection.layout})"),
        ("holds", counted_volumes(inspection)),
        ("sequences", counts(inspection.sequences)),
        ("sizes", counts(inspection.shapes)),
        ("spacings, mm", counts(inspection.spacings_mm)),
        ("orientations", counts(inspection.orientations)),
        ("types", counts(inspection.dtypes)),
        ("labels", counts(inspection.label_values) or "none"),
        *((f"column {column}", counts(values)) for column, values in inspection.attributes.items()),
    ]
    if inspection.lesion_ml:
        least, median, most = inspection.lesion_ml
        facts.append(("lesion volumes, mL", f"{least:.3g} to {most:.3g}, median {median:.3g}"))
    return facts + [(name, value) for name, value in _faults(inspection) if value]


def _faults(inspection: VolumeInspection) -> Iterator[tuple[str, str]]:
    lacking = [f"{line.case} ({', '.join(line.missing)})" for line in inspection.case_lines if line.missing]
    yield from (("wrong", f"{problem.file}: {problem.message}") for problem in inspection.problems)
    yield "missing sequence", names(lacking, "study", "studies")
    yield "several examinations", names([f"{p} ({n})" for p, n in inspection.repeated.items()], "patient")
    yield "several grids", names(inspection.cases_on_several_grids, "study", "studies")
    yield "no lesion found", names(inspection.cases_without_lesion, "study", "studies")
    yield "constant", names(inspection.constant_images, "image")
    yield "mask, no image", names(inspection.orphan_masks, "mask")
    yield from (("duplicates", " = ".join(group)) for group in inspection.duplicates[:SHOWN])
    yield "more duplicates", str(max(0, len(inspection.duplicates) - SHOWN) or "")
    yield from (("note", f"{line.case}: {note}") for line in inspection.case_lines for note in line.notes)
    yield from (("left out", note) for note in inspection.left_out)
    yield "other files", counts(inspection.other_files)


def _row(line: CaseLine) -> tuple[str, ...]:
    images = line.sequences.values()
    label_values = ",".join(map(str, line.label_values)) if line.label_values else "empty"
    return (
        line.case,
        line.patient if line.timepoint is None else f"{line.patient} @ {line.timepoint}",
        " ".join([*line.sequences, *(f"-{name}" for name in line.missing)]),
        _each("x".join(map(str, image.shape)) for image in images),
        _each("x".join(f"{mm:.3g}" for mm in image.spacing_mm) for image in images),
        _each(image.orientation for image in images),
        label_values if line.has_mask else "",
        str(len(line.lesion_ml)) if line.has_mask else "",
        f"{sum(line.lesion_ml):.3g}" if line.has_mask else "",
        str(len(line.problems) or ""),
    )


def _each(values: Iterator[str]) -> str:
    """Return the different values in the order of the sequences."""
    return " ".join(dict.fromkeys(values))

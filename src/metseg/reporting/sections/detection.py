"""Lesion detection by size."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from metseg.evaluation.lesions.detection import Detection, SizeClass
from metseg.evaluation.lesions.lesion_scores import DIAMETER_BINS, DIAMETER_EDGES_MM
from metseg.evaluation.statistics.summary import LESIONS_IN_SLICES
from metseg.plot.sensitivity_by_size import SizeSensitivity, draw_sensitivity_by_size
from metseg.reporting.blocks import Block, Figure, Paragraph, Section, Table
from metseg.reporting.formatting import BOOTSTRAP, OVER_PATIENTS, bounds_of, interval_text
from metseg.reporting.report_data import Contents

#: Bin to its display text.
BINS: Mapping[str, str] = dict(
    zip(
        DIAMETER_BINS,
        (
            f"< {DIAMETER_EDGES_MM[0]:g}",
            *(f"{low:g} to < {high:g}" for low, high in pairwise(DIAMETER_EDGES_MM)),
            f"≥ {DIAMETER_EDGES_MM[-1]:g}",
        ),
        strict=True,
    )
)

#: Region to set of predictions to its detection results.
Detections = Mapping[str, Mapping[str, Detection]]


def detection(contents: Contents, figures: Path) -> Section:
    """Return sensitivity by size as a figure and a table, with precision, F1 and false positives per patient."""
    title = "Lesions found, by size"
    found: Detections = {
        region: {
            one.name: known for one in contents.scored if (known := one.summary.regions[region].detection) is not None
        }
        for region in contents.regions
    }
    found = {region: models for region, models in found.items() if models}
    if not found:
        return Section("detection", title, (Paragraph("These scores contain no results for single lesions."),))
    counted = f"; {LESIONS_IN_SLICES}" if contents.counts_lesions_in_slices else ""
    caption = f"All lesions of all patients ({OVER_PATIENTS}){counted}"
    blocks: list[Block] = [_overall(found, caption), *_sizes(found, figures / "sensitivity_by_size.svg")]
    return Section("detection", title, tuple(blocks))


def _overall(found: Detections, caption: str) -> Table:
    titles = (
        "region",
        "predictions",
        "lesions",
        "found",
        "sensitivity",
        "precision",
        "F1",
        "false positives per patient",
    )
    rows = tuple(
        (
            region,
            name,
            str(one.lesions),
            str(one.found),
            *(interval_text(share) for share in (one.sensitivity, one.precision, one.f1)),
            interval_text(one.false_positives_per_patient),
        )
        for region, models in found.items()
        for name, one in models.items()
    )
    return Table(titles, rows, words=2, caption=caption)


def _sizes(found: Detections, path: Path) -> list[Block]:
    sized = {
        region: {name: one.by_diameter for name, one in models.items()}
        for region, models in found.items()
        if all(one.by_diameter for one in models.values()) and any(one.lesions for one in models.values())
    }
    if not sized:
        return [Paragraph("There are no results by size: the data have no voxel size, or the truth has no lesion.")]
    drawn = {
        region: {name: [_drawn(size) for size in sizes] for name, sizes in models.items()}
        for region, models in sized.items()
    }
    draw_sensitivity_by_size(drawn, path, bins=list(BINS.values()))
    caption = (
        "Share of lesions found by longest diameter in three dimensions, all patients together. Bars: "
        f"{BOOTSTRAP}; no bar: all are in one patient; n: lesions of the truth. No marker: no lesion of that size."
    )
    rows = tuple(
        _row(region, name, size) for region, models in sized.items() for name, sizes in models.items() for size in sizes
    )
    titles = ("region", "predictions", "longest diameter (mm)", "lesions", "found", "sensitivity", "false lesions")
    return [
        Figure(path, caption, alt="Sensitivity by longest diameter"),
        Table(titles, rows, words=3, caption="By size"),
    ]


def _drawn(size: SizeClass) -> SizeSensitivity:
    return SizeSensitivity(size.lesions, None if size.sensitivity is None else bounds_of(size.sensitivity))


def _row(region: str, name: str, size: SizeClass) -> tuple[str, ...]:
    return (
        region,
        name,
        BINS[size.diameter_mm],
        str(size.lesions),
        str(size.found),
        interval_text(size.sensitivity),
        str(size.false_positives),
    )

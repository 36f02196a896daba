"""Sensitivity against false positives (FROC)."""

from __future__ import annotations

from pathlib import Path

from metseg.evaluation import ScoringConfig, Summary
from metseg.evaluation.lesions.detection import FROC_RATES, Froc
from metseg.plot.error_bars import ErrorBounds
from metseg.plot.froc import MOST_FALSE, FrocCurve, draw_froc
from metseg.reporting.blocks import Figure, Paragraph, Section, Table
from metseg.reporting.formatting import BOOTSTRAP, bounds_of, interval_text
from metseg.reporting.report_data import Contents


def froc(contents: Contents, figures: Path) -> Section:
    """Return the curve and its score for each set of predictions that has probabilities."""
    title = "False positives and sensitivity (FROC)"
    known = {
        one.name: one.summary.probabilities.froc for one in contents.scored if one.summary.probabilities is not None
    }
    region = whole_region(contents.manner)
    chosen = {one.name: None if region is None else _chosen(one.summary, region) for one in contents.scored}
    curves = {name: curve for name, one in known.items() if (curve := _curve(one, chosen[name])) is not None}
    if not curves:
        why = "There are no probabilities" if not known else "The truth has no lesion"
        return Section("froc", title, (Paragraph(f"{why}, so there is no curve."),))
    path = figures / "froc.svg"
    draw_froc(curves, path)
    caption = (
        "Share of lesions (of any class and size) found against false positives per patient; each marker is a "
        f"threshold on the probability; bars: {BOOTSTRAP}. Not shown: thresholds that find fewer lesions than another "
        f"with as many false positives, and rates above {MOST_FALSE:g} false positives."
        + (" Large marker: the masks as given." if any(chosen.values()) else "")
    )
    rates = ", ".join(f"{rate:g}" for rate in FROC_RATES)
    rows = tuple((name, str(known[name].lesions), interval_text(known[name].score)) for name in curves)
    score = Table(
        ("predictions", "lesions", "FROC score"),
        rows,
        caption=f"FROC score: mean of the highest sensitivities at no more than {rates} false positives per patient",
    )
    return Section("froc", title, (Figure(path, caption, alt="FROC curve"), score))


def whole_region(manner: ScoringConfig) -> str | None:
    """Return the region that contains every class, as the curve does; None if the scheme has none.

    >>> whole_region(ScoringConfig("brats-met-2023")), whole_region(ScoringConfig("brats-met-2024"))
    ('WT', None)
    """
    scheme = manner.labels
    return next((name for name, ids in scheme.regions.items() if set(ids) == set(scheme.classes)), None)


def _chosen(summary: Summary, region: str) -> tuple[float, float] | None:
    """Return false positives per patient and sensitivity of the masks."""
    known = summary.regions[region].detection
    if known is None or known.sensitivity is None:
        return None
    return known.false_positives_per_patient.mean, known.sensitivity.mean


def _curve(one: Froc, chosen: tuple[float, float] | None) -> FrocCurve | None:
    """Return the points that no other dominates: if components merge, both values fall and the line would turn back."""
    points = [(point.false_positives_per_patient.mean, point.sensitivity) for point in one.points]
    known = [(rate, bounds_of(share)) for rate, share in points if share is not None]
    best: list[tuple[float, ErrorBounds]] = []
    for rate, share in sorted(known, key=lambda point: (point[0], -point[1].value)):
        if not best or share.value > best[-1][1].value:
            best.append((rate, share))
    return FrocCurve([rate for rate, _ in best], [share for _, share in best], chosen) if best else None

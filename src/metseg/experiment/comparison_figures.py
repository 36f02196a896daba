"""The figures of a comparison: training curves, Dice by patient, best, median and worst patient of each model."""

from __future__ import annotations

from pathlib import Path

from metseg.experiment.comparison_result import Comparison
from metseg.experiment.representative_patients import panels
from metseg.plot.curves import draw_curves, draw_metric_curves
from metseg.plot.distribution import draw_distribution
from metseg.plot.images.outlines import draw_outlines

CURVES, DISTRIBUTION = "curves.png", "dice_by_patient.png"

#: The training curves in `report.html`.
CURVES_DRAWING = "curves.svg"


def overlays_name(model: str) -> str:
    """Return the file name of a model's overlays."""
    return f"overlays_{model}.png"


def metric_curves_name(model: str) -> str:
    """Return the file name of a model's curves of loss, accuracy, Dice and IoU."""
    return f"curves_{model}.svg"


def write_figures(comparison: Comparison, out: Path) -> None:
    """Write all figures of `results.md`, and the additional figures of the report."""
    contestants = comparison.contestants
    for name in (CURVES, CURVES_DRAWING):
        draw_curves({one.name: one.curves for one in contestants}, out / name)
    figures = {one.name: list(one.dice_by_patient.values()) for one in contestants}
    draw_distribution(figures, out / DISTRIBUTION, label="Dice per patient")
    for one in contestants:
        if not one.curves.empty:
            draw_metric_curves(one.curves, out / metric_curves_name(one.name), title=one.name)
        draw_outlines(panels(one.snapshots, one.dice_by_patient), out / overlays_name(one.name))

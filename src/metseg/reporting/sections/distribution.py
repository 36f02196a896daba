"""Distribution of metrics over patients, by region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from metseg.evaluation import METRICS, CaseScores, patient_means
from metseg.evaluation.metrics.metric_table import metrics_shown
from metseg.plot.distribution_by_region import draw_distribution_by_region
from metseg.reporting.blocks import Block, Figure, Paragraph, Section
from metseg.reporting.formatting import titled
from metseg.reporting.report_data import Contents


def distribution(contents: Contents, figures: Path) -> Section:
    """Return a figure per column with the place "distribution"; columns without values are left out."""
    blocks: list[Block] = []
    for name in metrics_shown("distribution"):
        values = {
            region: {one.name: by_patient(one.scores, region, name) for one in contents.scored}
            for region in contents.regions
        }
        drawn = {region: models for region, models in values.items() if any(models.values())}
        if drawn:
            blocks.append(_figure(name, drawn, figures / f"distribution_{name}.svg"))
    if not blocks:
        blocks.append(Paragraph("No patient has a value to draw."))
    return Section("distribution", "Distribution over patients", tuple(blocks))


def by_patient(scores: Sequence[CaseScores], region: str, column: str) -> list[float]:
    """Return the mean over the cases of each patient with a value."""
    means = patient_means((one.patient, one[region].metrics[column]) for one in scores)
    return [value for value in means.values() if value is not None]


def _figure(name: str, drawn: Mapping[str, Mapping[str, Sequence[float]]], path: Path) -> Figure:
    metric = METRICS[name]
    label = titled(metric.title, metric.unit)
    draw_distribution_by_region(drawn, path, label=label, is_share=not metric.unit)
    caption = (
        f"{label} by patient. Each point is a patient; box: quartiles and median; whiskers: to the last patient within "
        f"1.5 box lengths; diamond: mean; in brackets: number of patients. {metric.better.capitalize()} is better."
    )
    return Figure(path, caption, alt=f"Distribution of {label} over patients by region")

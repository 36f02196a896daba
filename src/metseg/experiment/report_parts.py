"""Parts that `results.md` and `report.html` of a comparison share."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from metseg.evaluation import METRICS, SLICE_METRICS
from metseg.evaluation.metrics.metric_table import metrics_shown
from metseg.evaluation.statistics.confidence_intervals import LEVEL, RESAMPLES
from metseg.experiment.comparison_result import ComparedModel, Comparison
from metseg.message_text import pluralize
from metseg.model.architectures import first_weights
from metseg.reporting.blocks import Block, Bullets, Paragraph, Table
from metseg.reporting.formatting import metric_text, titled
from metseg.runtime.system_info import machine_line

#: The figure that models are compared on.
COMPARED = "Dice per patient"

#: Column title to the name of a training fact and its formatter.
FACTS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "parameters": ("parameters", lambda value: f"{value / 1e6:.2f} M"),
    "training": ("minutes", lambda value: f"{value:.1f} min"),
    "validation loss": ("validation_loss", lambda value: f"{value:.4f}"),
    "steps": ("steps", lambda value: f"{value:.0f}"),
    "prediction": ("slices_per_s", lambda value: f"{value:.1f} slices/s"),
    "memory": ("peak_memory_gb", lambda value: f"{value:.1f} GB"),
}


def models(comparison: Comparison) -> tuple[Block, ...]:
    """Return the table of models, with a description of its figures."""
    first = comparison.contestants[0].summary
    how = [
        f"{pluralize(first.cases, 'case')} of {pluralize(first.patients, 'patient')} ({comparison.scored}).",
        f"Each figure is a mean over patients with its {LEVEL:.0%} bootstrap interval "
        f"({RESAMPLES:,} resamples of patients).",
    ]
    if _has_slices(comparison):
        how.append("The two slice-wise figures are means over slices.")
    if any(one.recipe.loss != comparison.contestants[0].recipe.loss for one in comparison.contestants):
        how.append("The recipes use different losses, so validation losses are not comparable.")
    if comparison.split.folds:
        how.append("Training, validation loss, steps, prediction and memory are means over the folds.")
    return Paragraph(" ".join(how)), models_table(comparison)


def models_table(comparison: Comparison) -> Table:
    """Return one row per model and region."""
    region_names = list(comparison.contestants[0].summary.regions)
    several = len(region_names) > 1
    slicewise = tuple(SLICE_METRICS.values()) if _has_slices(comparison) else ()
    shown = [METRICS[name] for name in metrics_shown("models")]
    titles = (
        "model",
        *(("region",) if several else ()),
        *(titled(metric.title, metric.unit) for metric in (*shown, *slicewise)),
        *FACTS,
    )
    rows = tuple(
        (_name(one, comparison), *((region,) if several else ()), *_figures(one, region, comparison), *_facts(one))
        for one in comparison.contestants
        for region in region_names
    )
    return Table(titles, rows, words=1 + several)


def warnings(comparison: Comparison) -> tuple[Paragraph, ...]:
    """Return warnings on figures that look better, or a comparison that looks fairer, than it is."""
    leaks = (
        Paragraph(f"{leak}; these figures are too optimistic.", label="Leaks patients", tone="warning")
        for leak in comparison.split.leaks
    )
    unfair = (Paragraph(warning, label="Warning", tone="warning") for warning in comparison.warnings)
    trivial = (
        Paragraph(f"{text}.", label=one.name, tone="warning")
        for one in comparison.contestants
        for text in one.summary.trivial
    )
    return (*leaks, *unfair, *trivial)


def machines(comparison: Comparison) -> tuple[Block, ...]:
    """Return the machine of the runs; if there were several, the machine of each model."""
    if comparison.machine:
        return (Paragraph(f"Machine: {machine_line(comparison.machine)}."),)
    lines = tuple(
        f"{one.name}: {line}"
        for one in comparison.contestants
        for line in dict.fromkeys(machine_line(machine) or "not noted" for machine in one.machines)
    )
    if not lines:
        return ()
    return Paragraph("The runs used different machines, so durations are not comparable:"), Bullets(lines)


def _name(one: ComparedModel, comparison: Comparison) -> str:
    first = first_weights(one.recipe.model.name, one.recipe.model.options)
    notes = [first, "leaks patients" if comparison.split.leaks_patients else ""]
    text = ", ".join(filter(None, notes))
    return f"{one.name} ({text})" if text else one.name


def _has_slices(comparison: Comparison) -> bool:
    """Return whether the data are slices; volumes have no slice-wise figures."""
    return any(region.slice_metrics for one in comparison.contestants for region in one.summary.regions.values())


def _figures(one: ComparedModel, region: str, comparison: Comparison) -> tuple[str, ...]:
    summary = one.summary.regions[region]
    slicewise = SLICE_METRICS if _has_slices(comparison) else {}
    return (
        *(metric_text(METRICS[name], summary.metrics.get(name), nothing="") for name in metrics_shown("models")),
        *(metric_text(metric, summary.slice_metrics.get(name), nothing="") for name, metric in slicewise.items()),
    )


def _facts(one: ComparedModel) -> tuple[str, ...]:
    return tuple(write(one.facts[key]) if key in one.facts else "" for key, write in FACTS.values())

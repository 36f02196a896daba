"""A comparison of recipes as `report.html`: sections on the trainings, followed by the evaluation report."""

from __future__ import annotations

from pathlib import Path

from metseg.evaluation import METRICS, ScoringConfig
from metseg.experiment.comparison_figures import CURVES_DRAWING, metric_curves_name, overlays_name
from metseg.experiment.comparison_result import ComparedModel, Comparison
from metseg.experiment.report_parts import COMPARED, machines, models, warnings
from metseg.plot.images.outlines import Panel
from metseg.reporting.blocks import Block, Figure, Paragraph, Section
from metseg.reporting.formatting import figure_text
from metseg.reporting.provenance import making_facts, scoring_facts
from metseg.reporting.report_data import Compared, Contents, Overlay, Scored
from metseg.reporting.worst_cases import leading_figure, worst_cases

#: The slice that a snapshot shows of a case.
SHOWN = "the slice with the most lesion, of any class"

NO_PICTURES = "No example pictures: the runs kept no images of their patients."


def comparison_contents(comparison: Comparison) -> Contents:
    """Return the content of a comparison's report."""
    names = ", ".join(one.name for one in comparison.contestants)
    first = comparison.contestants[0]
    scored = tuple(Scored(one.name, one.summary, one.scores, overlays=_overlays(one)) for one in comparison.contestants)
    return Contents(
        title=f"Comparison of {' and '.join(names.rsplit(', ', 1))}" if len(scored) > 1 else names,
        facts=(
            ("Models", names),
            ("Scored on", comparison.scored),
            *scoring_facts(first.summary),
            *making_facts(),
        ),
        manner=ScoringConfig(first.summary.protocol, first.recipe.data.labels),
        scored=scored,
        comparisons=(Compared(COMPARED, "", comparison.pairs),) if comparison.pairs else (),
        warnings=tuple(f"{one.label}: {one.text}" for one in warnings(comparison)),
        no_overlays="" if all(one.snapshots for one in comparison.contestants) else NO_PICTURES,
        shown=SHOWN,
    )


def own_sections(comparison: Comparison, out: Path) -> tuple[Section, ...]:
    """Return the sections on the trainings.

    Args:
        comparison: the outcome.
        out: folder that `metseg.experiment.comparison_figures.write_figures` wrote to.
    """
    by_epoch = tuple(
        Figure(
            out / metric_curves_name(one.name),
            f"{one.name}: loss, accuracy, Dice and IoU over the epochs of the first fold. Training: all voxels of an "
            "epoch's batches; validation: Dice and IoU are means over patients.",
            alt=f"Training and validation figures of {one.name}",
        )
        for one in comparison.contestants
        if not one.curves.empty
    )
    verdict = Paragraph("", label=comparison.verdict, tone="verdict")
    curves = Figure(
        out / CURVES_DRAWING,
        "Training of the first fold: loss (dashed: validation) and mean Dice of the validation patients, over minutes.",
        alt="Training curves",
    )
    examples: tuple[Block, ...] = tuple(
        Figure(
            out / overlays_name(one.name),
            f"{one.name}: patients with the highest, median and lowest Dice. Thick green line: truth; thin "
            "orange line: prediction.",
            alt=f"Best, median and worst patient of {one.name}",
        )
        for one in comparison.contestants
    )
    return (
        Section("models", "Models", (verdict, *models(comparison), *machines(comparison))),
        Section("training", "Training", (curves, *by_epoch)),
        Section("examples", "Best, median and worst patients", examples),
    )


def _overlays(one: ComparedModel) -> tuple[Overlay, ...]:
    """Return the worst cases. Scores and snapshots list the same cases in the same order."""
    if not one.snapshots:
        return ()
    column = leading_figure(one.scores)
    seen = {score.case: snapshot for score, snapshot in zip(one.scores, one.snapshots, strict=True)}
    overlays = []
    for worst in worst_cases(one.scores):
        snapshot = seen[worst.scores.case]
        caption = f"{worst.scores.case}: {METRICS[column].title} {figure_text(worst.value)}"
        overlays.append(Overlay(caption, Panel(snapshot.picture, snapshot.truth, snapshot.prediction, "")))
    return tuple(overlays)

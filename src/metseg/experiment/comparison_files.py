"""Write the output of a comparison: `results.json`, `results.md`, `report.html` and their figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metseg.disclaimer import NOTICE
from metseg.evaluation import PairedComparison
from metseg.experiment.comparison_figures import CURVES, CURVES_DRAWING, DISTRIBUTION, overlays_name, write_figures
from metseg.experiment.comparison_report import comparison_contents, own_sections
from metseg.experiment.comparison_result import ComparedModel, Comparison
from metseg.experiment.fairness import budget_text
from metseg.experiment.report_parts import COMPARED, machines, models, models_table, warnings
from metseg.reporting.blocks import Block, Figure, Paragraph
from metseg.reporting.markdown import markdown, table_markdown
from metseg.reporting.report_data import Compared
from metseg.reporting.report_page import REPORT, write_report
from metseg.reporting.sections.differences import EXPLAINED, TITLE, pairs_table, too_narrow
from metseg.reporting.sections.results import all_pixels
from metseg.runtime.atomic_io import write_text

FORMAT, VERSION = "metseg-comparison", 1


def result_files(names: Sequence[str]) -> tuple[str, ...]:
    """Return the files that `write_results` writes for models of these names, except the figures of the report."""
    return ("results.json", "results.md", REPORT, CURVES, CURVES_DRAWING, DISTRIBUTION, *map(overlays_name, names))


def write_results(comparison: Comparison, out: Path) -> None:
    """Write the figures, `results.json`, and `results.md` and `report.html`, which show them."""
    write_figures(comparison, out)
    for name, text in (
        ("results.json", json.dumps(comparison_document(comparison), indent=2, allow_nan=False) + "\n"),
        ("results.md", comparison_markdown(comparison)),
    ):
        write_text(out / name, text)
    write_report(comparison_contents(comparison), out, more=own_sections(comparison, out))


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Return all results as a JSON document."""
    best = comparison.shown_best
    return {
        "format": FORMAT,
        "version": VERSION,
        "notice": NOTICE,
        "verdict": comparison.verdict,
        "best": None if best is None else best.name,
        "highest_mean_dice": comparison.highest.name,
        "scored": comparison.scored,
        "leaks_patients": comparison.split.leaks_patients,
        "warnings": [*comparison.warnings, *comparison.notes],
        "machine": dict(comparison.machine),
        "models": {one.name: _model(one) for one in comparison.contestants},
        "pairs": [_pair(pair) for pair in comparison.pairs],
    }


def _model(one: ComparedModel) -> dict[str, Any]:
    return {
        "architecture": one.recipe.model.name,
        "budget": budget_text(one.recipe),
        "summary": one.summary.to_json(),
        "dice_by_patient": one.dice_by_patient,
        "bundles": [str(bundle) for bundle in one.bundles],
        "machines": [dict(machine) for machine in one.machines],
        **one.facts,
    }


def _pair(pair: PairedComparison) -> dict[str, Any]:
    return {
        "first": pair.first,
        "second": pair.second,
        "difference": pair.difference.mean,
        "low": pair.difference.low,
        "high": pair.difference.high,
        "p_wilcoxon": pair.p_value,
        "p_holm": pair.p_holm,
        "verdict": pair.verdict,
    }


def comparison_table(comparison: Comparison) -> str:
    """Return the table of models as Markdown, one row per model and region."""
    return table_markdown(models_table(comparison))


def comparison_markdown(comparison: Comparison) -> str:
    """Return `results.md`: table, warnings, paired tests, verdict, and the figures."""
    parts = [
        "# Comparison",
        NOTICE,
        markdown([*models(comparison), *warnings(comparison)]),
        markdown(all_pixels({one.name: one.summary for one in comparison.contestants})),
        *_paired_tests(comparison),
        markdown([Paragraph("", label=comparison.verdict), *machines(comparison)]),
        "## Figures",
        markdown(_figures(comparison)),
    ]
    return "\n\n".join(parts) + "\n"


def _paired_tests(comparison: Comparison) -> list[str]:
    if not comparison.pairs:
        return []
    compared = Compared(COMPARED, "", comparison.pairs)
    caution = too_narrow(comparison.contestants[0].summary.patients)
    return [f"## {TITLE}", markdown([Paragraph(EXPLAINED), *caution, pairs_table([compared])])]


def _figures(comparison: Comparison) -> list[Block]:
    """Return the figures that `results.md` refers to."""
    shown = {CURVES: "Training curves", DISTRIBUTION: "Dice by patient"}
    shown |= {overlays_name(one.name): f"{one.name}: best, median and worst patient" for one in comparison.contestants}
    return [Figure(Path(name), caption="", alt=alt) for name, alt in shown.items()]

"""What a comparison leaves behind: `results.json`, `results.md` and the figures in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from metseg.evaluate import Interval, PairedComparison
from metseg.evaluate.intervals import LEVEL, RESAMPLES
from metseg.experiment.fairness import budget_text
from metseg.experiment.figures import CURVES, DISTRIBUTION, overlays_name, write_figures
from metseg.experiment.outcome import Comparison, Contestant
from metseg.files import write_text
from metseg.predict.report import NOTICE
from metseg.train.machine import machine_line

FORMAT, VERSION = "metseg-comparison", 1

#: Column title to where the figure lies in a region's summary.
FIGURES: Mapping[str, tuple[str, str]] = {
    "Dice per patient": ("metrics", "dice"),
    "Dice on positive slices": ("slice_metrics", "dice_positive_slices"),
    "mean Dice over all slices": ("slice_metrics", "dice_all_slices"),
    "IoU": ("metrics", "iou"),
    "precision": ("metrics", "precision"),
    "recall (sensitivity)": ("metrics", "sensitivity"),
    "specificity": ("metrics", "specificity"),
}

#: Column title to fact of the training, and how it is written.
FACTS: Mapping[str, tuple[str, Callable[[float], str]]] = {
    "parameters": ("parameters", lambda value: f"{value / 1e6:.2f} M"),
    "training": ("minutes", lambda value: f"{value:.1f} min"),
    "steps": ("steps", lambda value: f"{value:.0f}"),
    "prediction": ("slices_per_s", lambda value: f"{value:.1f} slices/s"),
    "memory": ("peak_memory_gb", lambda value: f"{value:.1f} GB"),
}


def write_results(comparison: Comparison, out: Path) -> None:
    """Write the figures, `results.json`, and `results.md`, which shows them all."""
    write_figures(comparison, out)
    for name, text in (
        ("results.json", json.dumps(comparison_document(comparison), indent=2, allow_nan=False) + "\n"),
        ("results.md", comparison_markdown(comparison)),
    ):
        write_text(out / name, text)


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Return everything that was measured, for programs."""
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
        "warnings": list(comparison.warnings),
        "machine": dict(comparison.machine),
        "models": {one.name: _model(one) for one in comparison.contestants},
        "pairs": [_pair(pair) for pair in comparison.pairs],
    }


def _model(one: Contestant) -> dict[str, Any]:
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
    region_names = list(comparison.contestants[0].summary.regions)
    several = len(region_names) > 1
    titles = ["model", *(["region"] if several else []), *FIGURES, *FACTS]
    rows = [
        [_name(one, comparison), *([region] if several else []), *_figures(one, region), *_facts(one)]
        for one in comparison.contestants
        for region in region_names
    ]
    return _table(titles, rows)


def comparison_markdown(comparison: Comparison) -> str:
    """Return `results.md`: table, warnings, paired tests, verdict, and the figures."""
    first = comparison.contestants[0].summary
    sections = [
        "# Comparison",
        NOTICE,
        f"{first.cases} cases of {first.patients} patients ({comparison.scored}). Each figure is a mean over patients "
        f"with its {LEVEL:.0%} bootstrap interval ({RESAMPLES:,} resamples of patients), except the two slice-wise "
        "ones, which are means over slices."
        + (" Training, steps, prediction and memory are means over the folds." if comparison.split.folds else ""),
        comparison_table(comparison),
        *_leak_warning(comparison),
        *(f"**Warning**: {warning}" for warning in comparison.warnings),
        *_paired_tests(comparison),
        f"**{comparison.verdict}**",
        *_machines(comparison),
        "## Figures",
        f"![Training curves]({CURVES})",
        f"![Dice by patient]({DISTRIBUTION})",
        *(
            f"![{one.name}: best, median and worst patient]({overlays_name(one.name)})"
            for one in comparison.contestants
        ),
    ]
    return "\n\n".join(sections) + "\n"


def _leak_warning(comparison: Comparison) -> list[str]:
    if not comparison.split.leaks_patients:
        return []
    return ["**Leaks patients**: slices of one patient lie on both sides of the split; these figures are too good."]


def _machines(comparison: Comparison) -> list[str]:
    """Return on what the runs were trained and timed; of several machines, which model on which."""
    if comparison.machine:
        return [f"Machine: {machine_line(comparison.machine)}."]
    lines = [
        f"- {one.name}: {line}"
        for one in comparison.contestants
        for line in dict.fromkeys(machine_line(machine) or "not noted" for machine in one.machines)
    ]
    return ["Not all of it ran on one machine, so durations do not compare:", "\n".join(lines)] if lines else []


def _paired_tests(comparison: Comparison) -> list[str]:
    if not comparison.pairs:
        return []
    titles = ["first", "second", f"difference ({LEVEL:.0%} interval)", "p (Wilcoxon)", "p (Holm)", "verdict"]
    rows = [
        [
            pair.first,
            pair.second,
            _interval(pair.difference),
            f"{pair.p_value:.3g}",
            f"{pair.p_holm:.3g}",
            pair.verdict,
        ]
        for pair in comparison.pairs
    ]
    explained = (
        "Differences of the Dice per patient, first minus second; better is said only where the interval excludes 0."
    )
    return ["## Paired tests", explained, _table(titles, rows)]


def _name(one: Contestant, comparison: Comparison) -> str:
    return f"{one.name} (leaks patients)" if comparison.split.leaks_patients else one.name


def _figures(one: Contestant, region: str) -> list[str]:
    summary = one.summary.regions[region]
    return [_interval(getattr(summary, group).get(key)) for group, key in FIGURES.values()]


def _facts(one: Contestant) -> list[str]:
    return [write(one.facts[key]) for key, write in FACTS.values()]


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return ""
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.3f}"
    return f"{interval.mean:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (titles, ["---"] * len(titles), *rows))

"""What a comparison leaves behind: `results.json`, `results.md`, curves, distributions, overlays."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from metseg.evaluate import Interval
from metseg.experiment.compare import Comparison, Contestant
from metseg.files import atomic_file

NOTICE = "Research use only: not a medical device."

#: Column title to where the figure lies in a region's summary; each is a mean over patients with its interval.
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
    """Write `results.json` and `results.md`."""
    for name, text in (
        ("results.json", json.dumps(comparison_document(comparison), indent=2, allow_nan=False) + "\n"),
        ("results.md", comparison_markdown(comparison)),
    ):
        with atomic_file(out / name) as temporary:
            temporary.write_text(text, "utf-8")


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Return everything that was measured, for programs."""
    return {
        "notice": NOTICE,
        "verdict": comparison.verdict,
        "scored": comparison.scored,
        "leaks_patients": comparison.split.leaks_patients,
        "models": {
            one.name: {
                "summary": one.summary.to_json(),
                "dice_by_patient": one.dice_by_patient(),
                "bundles": [str(bundle) for bundle in one.bundles],
                **one.facts,
            }
            for one in comparison.contestants
        },
        "pairs": [
            {
                "first": pair.first,
                "second": pair.second,
                "difference": pair.difference.mean,
                "low": pair.difference.low,
                "high": pair.difference.high,
                "p_wilcoxon": pair.p_value,
                "p_holm": pair.p_holm,
                "verdict": pair.verdict,
            }
            for pair in comparison.pairs
        ],
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
    return "\n".join(_row(cells) for cells in (titles, ["---"] * len(titles), *rows))


def comparison_markdown(comparison: Comparison) -> str:
    """Return `results.md`: table, paired tests, verdict, figures, and what the numbers mean."""
    first = comparison.contestants[0].summary
    lines = [
        "# Comparison",
        "",
        NOTICE,
        "",
        f"{first.cases} cases of {first.patients} patients ({comparison.scored}). Each figure is a mean over patients "
        "with its 95 % bootstrap interval (10,000 resamples of patients), except the two slice-wise ones, which are "
        "means over slices.",
        "",
        comparison_table(comparison),
        "",
        *_leak_warning(comparison),
        "## Paired tests",
        "",
        "Differences of the Dice per patient, first minus second.",
        "",
        *_pair_rows(comparison),
        "",
        f"**{comparison.verdict}**",
        "",
        "## Figures",
        "",
        "![training curves](curves.png)",
        "",
        "![Dice by patient](dice_by_patient.png)",
        "",
        *(f"![{one.name}: best, median and worst patient](overlays_{one.name}.png)" for one in comparison.contestants),
        "",
    ]
    return "\n".join(lines)


def _leak_warning(comparison: Comparison) -> list[str]:
    if not comparison.split.leaks_patients:
        return []
    return ["**Leaks patients**: slices of one patient lie on both sides of the split; these figures are too good.", ""]


def _name(one: Contestant, comparison: Comparison) -> str:
    return f"{one.name} (leaks patients)" if comparison.split.leaks_patients else one.name


def _figures(one: Contestant, region: str) -> list[str]:
    summary = one.summary.regions[region]
    return [_interval(getattr(summary, group).get(key)) for group, key in FIGURES.values()]


def _facts(one: Contestant) -> list[str]:
    return [write(one.facts[key]) for key, write in FACTS.values()]


def _pair_rows(comparison: Comparison) -> list[str]:
    rows = [["first", "second", "difference (95 % interval)", "p (Wilcoxon)", "p (Holm)", "verdict"], ["---"] * 6]
    for pair in comparison.pairs:
        rows.append(
            [
                pair.first,
                pair.second,
                _interval(pair.difference),
                f"{pair.p_value:.3g}",
                f"{pair.p_holm:.3g}",
                pair.verdict,
            ]
        )
    return [_row(cells) for cells in rows]


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return ""
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.3f}"
    return f"{interval.mean:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"

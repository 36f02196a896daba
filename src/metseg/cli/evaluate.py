"""``metseg evaluate``: score predictions against truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from metseg.evaluate.intervals import Interval
    from metseg.evaluate.summary import Summary

#: Columns of the printed table; those without a single figure are left out.
SHOWN = ("dice", "iou", "sensitivity", "precision", "hd95_mm", "nsd_1.0", "lesionwise_dice", "lesionwise_hd95")

EMPTY_WORDS = {"both": "in both", "truth_only": "in the truth only", "prediction_only": "in the prediction only"}

#: Warnings shown one by one; more are counted, and all are in summary.json.
SHOWN_WARNINGS = 10


def evaluate(
    predictions: Annotated[Path, typer.Option("--predictions", help="Folder (or file) of predicted masks.")],
    truth: Annotated[Path, typer.Option("--truth", help="Folder (or file) of true masks.")],
    out: Annotated[Path, typer.Option("--out", help="Where cases.csv, lesions.csv and summary.json go.")],
    protocol: Annotated[
        str, typer.Option("--protocol", help="voxel, brats-met-2023, brats-met-2024 or brats-gli-2023.")
    ] = "voxel",
    labels: Annotated[
        str | None, typer.Option("--labels", help="Label scheme of the masks; by default the protocol's own.")
    ] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", min=1, help="Processes; by default one per core.")] = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Score a missing prediction as an empty one.")
    ] = False,
    patient_pattern: Annotated[
        str | None, typer.Option("--patient-pattern", help="Regular expression; its group is the patient.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Score predicted masks against true ones: per case and region, with intervals over patients."""
    from metseg.evaluate import Manner, evaluate_pairs
    from metseg.evaluate.pairing import pair_up
    from metseg.machine import processors

    manner = Manner(protocol, labels)
    pairs = pair_up(predictions, truth, allow_missing=allow_missing, patient_pattern=patient_pattern)
    summary = evaluate_pairs(pairs, manner, out=out, jobs=jobs or processors(), quiet=as_json)
    if as_json:
        print(json.dumps(summary.to_json(), allow_nan=False))
    else:
        _print(summary, out)


def _print(summary: Summary, out: Path) -> None:
    from rich.console import Console

    Console().print(_table(summary))
    for name, region in summary.regions.items():
        empty = ", ".join(f"{region.empty[kind]} {where}" for kind, where in EMPTY_WORDS.items())
        print(f"{name}: cases with nothing: {empty}")
        for line in _slice_lines(name, region.slice_metrics):
            print(line)
    for name, value in summary.pixels.items():
        print(f"all pixels of all classes: {name.replace('_', ' ')} {value:.4f}")
    for warning in summary.warnings[:SHOWN_WARNINGS]:
        typer.echo(f"warning: {warning}", err=True)
    if len(summary.warnings) > SHOWN_WARNINGS:
        typer.echo(f"warning: {len(summary.warnings) - SHOWN_WARNINGS} more, in summary.json", err=True)
    print(f"{summary.cases} cases of {summary.patients} patients; tables in {out}")


def _table(summary: Summary) -> Table:
    """Return figures as rows and regions as columns, so that four regions fit into 80 characters."""
    from rich.table import Table

    from metseg.evaluate.metrics import METRICS

    regions = summary.regions.values()
    table = Table("Mean over patients", *summary.regions, title=f"{summary.protocol} (95 % interval over patients)")
    for name in SHOWN:
        if any(region.metrics[name] for region in regions):
            unit = f" ({METRICS[name].unit})" if METRICS[name].unit else ""
            table.add_row(f"{METRICS[name].title}{unit}", *(_text(region.metrics[name]) for region in regions))
    table.add_section()
    found = [(region.lesions["n_tp"], region.lesions["n_fn"], region.lesions["n_fp"]) for region in regions]
    table.add_row("Lesions found", *(f"{hit} of {hit + missed}" for hit, missed, _ in found))
    table.add_row("False lesions", *(str(false) for _, _, false in found))
    return table


def _slice_lines(region: str, slice_metrics: dict[str, Interval | None]) -> list[str]:
    from metseg.evaluate.metrics import SLICE_METRICS

    return [
        f"{region}: {SLICE_METRICS[name].title}: {_text(interval).replace(chr(10), ' ')}"
        for name, interval in slice_metrics.items()
    ]


def _text(interval: Interval | None) -> str:
    """Return the mean, and its interval on a second line."""
    if interval is None:
        return "–"  # noqa: RUF001
    if interval.low is None or interval.high is None:
        return f"{interval.mean:.3f}\n(one patient)"
    digits = 1 if interval.high >= 10 else 2
    return f"{interval.mean:.3f}\n[{interval.low:.{digits}f}, {interval.high:.{digits}f}]"

"""The printed output of ``metseg evaluate``: main figures with intervals, empty cases, and comparisons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from metseg.cli.output import print_in_parts
from metseg.evaluation import METRICS, SLICE_METRICS
from metseg.evaluation.metrics.metric_table import metrics_shown
from metseg.evaluation.statistics.confidence_intervals import few_patients
from metseg.evaluation.statistics.paired_tests import NO_DIFFERENCE
from metseg.evaluation.statistics.summary import LESIONS_IN_SLICES
from metseg.message_text import pluralize

if TYPE_CHECKING:
    from rich.table import Table

    from metseg.evaluation import Evaluation, FigureComparison, Interval, Readers, RegionSummary, Summary
    from metseg.evaluation.statistics.groups import Groups

EMPTY_WORDS = {"both": "in both", "truth_only": "in the truth only", "prediction_only": "in the prediction only"}

#: Warnings printed one by one; the rest are counted, and all are in summary.json.
SHOWN_WARNINGS = 10


def print_evaluation(evaluation: Evaluation, out: Path) -> None:
    """Print the tables of every set, then the paired comparisons, then the agreement with two readers.

    Warnings on sets that mark everything or nothing come first, then warnings that hold for all sets, once; other
    warnings precede the figures of their set.
    """
    _warn_of_trivial_sets(evaluation)
    warnings = [text for one in evaluation.sets.values() for text in one.summary.warnings]
    shared = [text for text, count in Counter(warnings).items() if 1 < count == len(evaluation.sets)]
    _print_warnings(shared)
    for name, one in evaluation.sets.items():
        if len(evaluation.sets) > 1:
            print(f"\n{name}", flush=True)  # before the warnings of the set, which go to another stream
        # Those on trivial predictions and those of all sets were printed before.
        _print_warnings([text for text in one.summary.warnings if text not in (*one.summary.trivial, *shared)])
        _print_summary(one.summary)
    _warn_of_few_patients(evaluation)
    for comparison in evaluation.comparisons:
        _print_comparison(comparison)
    if evaluation.readers is not None:
        _print_readers(evaluation.readers)
    if evaluation.groups is not None:
        _print_groups(evaluation.groups)
    first = next(iter(evaluation.sets.values())).summary
    print(f"{pluralize(first.cases, 'case')} of {pluralize(first.patients, 'patient')}; tables in {out}")


def _print_groups(groups: Groups) -> None:
    """Print the Dice of each group of patients with its interval; all figures are in the report."""
    from metseg.cli.output import Cells, print_cells
    from metseg.reporting.formatting import interval_text

    rows = tuple(
        (name, region, group.value, str(group.patients), interval_text(columns["dice"]))
        for name, members in groups.sets.items()
        for group in members
        for region, columns in group.metrics.items()
    )
    print_cells(Cells(("predictions", "region", groups.column, "patients", "Dice"), rows))


def _print_warnings(warnings: Sequence[str]) -> None:
    for warning in warnings[:SHOWN_WARNINGS]:
        typer.echo(f"warning: {warning}", err=True)
    if len(warnings) > SHOWN_WARNINGS:
        typer.echo(f"warning: {len(warnings) - SHOWN_WARNINGS} more, in summary.json", err=True)


def _print_summary(summary: Summary) -> None:
    print_in_parts(list(summary.regions), lambda names: _table(summary, names))
    if any(region.counts_lesions_in_slices for region in summary.regions.values()):
        print(LESIONS_IN_SLICES)
    for name, region in summary.regions.items():
        if any(region.empty.values()):
            empty = ", ".join(f"{region.empty[kind]} {where}" for kind, where in EMPTY_WORDS.items())
            print(f"{name}: empty cases: {empty}")
        for line in (*_slice_lines(name, region.slice_metrics), *_size_lines(name, region)):
            print(line)
    for name, value in summary.pixels.items():
        print(f"all pixels or voxels of all classes: {name.replace('_', ' ')} {value:.4f}")
    for line in _probability_lines(summary):
        print(line)


def _table(summary: Summary, names: Sequence[str]) -> Table:
    """Return figures as rows and some of the regions as columns."""
    from rich.table import Table

    regions = [summary.regions[name] for name in names]
    table = Table("Mean over patients", *names, title=f"{summary.protocol} (95 % interval over patients)")
    for name in metrics_shown("terminal"):
        if any(region.metrics[name] for region in regions):
            metric = METRICS[name]
            unit = f" ({metric.unit})" if metric.unit else ""
            cells = (_text(region.metrics[name], metric.number_format) for region in regions)
            table.add_row(f"{metric.title}{unit}", *cells)
    table.add_section()
    found = [(region.lesions["n_tp"], region.lesions["n_fn"], region.lesions["n_fp"]) for region in regions]
    table.add_row("Lesions found", *(f"{hit} of {hit + missed}" for hit, missed, _ in found))
    table.add_row("False lesions", *(str(false) for _, _, false in found))
    f1 = [None if region.detection is None else region.detection.f1 for region in regions]
    table.add_row("Lesion F1, pooled", *map(_text, f1))
    table.add_row("False lesions per patient", *(_text(region.metrics["n_fp"]) for region in regions))
    return table


def _slice_lines(region: str, slice_metrics: Mapping[str, Interval | None]) -> list[str]:
    return [f"{region}: {SLICE_METRICS[name].title}: {_in_line(interval)}" for name, interval in slice_metrics.items()]


def _size_lines(name: str, region: RegionSummary) -> list[str]:
    """Return a line on detection by diameter, and a line on volumes, if the data have a spacing."""
    lines = []
    if region.detection is not None and region.detection.by_diameter:
        bins = ", ".join(f"{one.found} of {one.lesions} in {one.diameter_mm}" for one in region.detection.by_diameter)
        lines.append(f"{name}: found by longest diameter in mm: {bins}")
    if region.volume is not None and region.volume.total.absolute.lower_limit is not None:
        total = region.volume.total.absolute
        limits = f"{_mean(total.lower_limit)} to {_mean(total.upper_limit)}"
        lines.append(f"{name}: predicted minus true volume: {total.bias.mean:.3g} mL, limits of agreement {limits} mL")
    return lines


def _probability_lines(summary: Summary) -> list[str]:
    known = summary.probabilities
    if known is None:
        return []
    everywhere, foreground = _in_line(known.voxels.ece), _in_line(known.voxels.ece_foreground)
    return [
        f"probabilities of {pluralize(known.cases, 'case')}: expected calibration error {everywhere} over all voxels,"
        f" {foreground} where the probability is at least 1 %",
        f"FROC score {_in_line(known.froc.score)}: mean sensitivity at 1/8 to 8 false lesions per patient",
    ]


def _print_comparison(comparison: FigureComparison) -> None:
    for pair in comparison.pairs:
        print(
            f"{comparison.title}: {pair.first} - {pair.second} = {_in_line(pair.difference)},"
            f" p (Wilcoxon, Holm) {pair.p_holm:.3g}: {pair.verdict}"
        )


def _warn_of_trivial_sets(evaluation: Evaluation) -> None:
    """Warn of sets that mark everything or nothing, which could otherwise look better by their figures."""
    for name, one in evaluation.sets.items():
        of_set = f"{name}: " if len(evaluation.sets) > 1 else ""
        for text in one.summary.trivial:
            typer.echo(f"warning: {of_set}{text}", err=True)


def _warn_of_few_patients(evaluation: Evaluation) -> None:
    """Warn once that intervals over few patients are too narrow, if sets or readers are compared."""
    compared = [one.patients for one in evaluation.comparisons]
    if evaluation.readers is not None:
        compared.append(evaluation.readers.patients)
    caution = few_patients(min(compared)) if compared else None
    if caution is not None:
        typer.echo(f"warning: {caution}", err=True)


def _print_readers(readers: Readers) -> None:
    for one in readers.agreements:
        print(f"{one.region}, {METRICS[one.metric].title}: between the readers {_in_line(one.readers)}")
        for name, model in one.models.items():
            verdict = model.verdict if model.verdict.startswith(NO_DIFFERENCE) else f"{model.verdict} than they do"
            print(f"  {name} with the readers {_in_line(model.with_readers)}: {verdict}")
    for region, lesions in readers.lesions.items():
        print(
            f"{region}: lesions of both readers {lesions.both}, of the first alone {lesions.first_only},"
            f" of the second alone {lesions.second_only}"
        )


def _mean(interval: Interval | None) -> str:
    return "–" if interval is None else f"{interval.mean:.3g}"  # noqa: RUF001


def _in_line(interval: Interval | None) -> str:
    return _text(interval).replace("\n", " ")


def _text(interval: Interval | None, number_format: str = "") -> str:
    """Return the mean, with its interval on a second line; without a format, the digits depend on the size."""
    if interval is None:
        return "–"  # noqa: RUF001
    digits = number_format or (".1f" if max(interval.mean, interval.high or 0) >= 10 else ".3f")
    if interval.low is None or interval.high is None:
        return f"{interval.mean:{digits}}\n(one patient)"
    return f"{interval.mean:{digits}}\n[{interval.low:{digits}}, {interval.high:{digits}}]"

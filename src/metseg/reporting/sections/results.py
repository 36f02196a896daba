"""The tables of means with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metseg.evaluation import METRICS, SLICE_METRICS, CaseScores, RegionSummary, Summary
from metseg.evaluation.metrics.averages import class_averages
from metseg.evaluation.statistics.summary import LESION_COUNTS, LESIONS_IN_SLICES
from metseg.reporting.blocks import NOTHING, Block, Paragraph, Section, Table
from metseg.reporting.formatting import INTERVAL, figure_text, interval_text, metric_text, titled
from metseg.reporting.report_data import Contents

#: Kind of empty case to its display text.
EMPTY = {
    "both": "Cases empty in truth and prediction",
    "truth_only": "Cases empty in the truth only",
    "prediction_only": "Cases empty in the prediction only",
}

#: Figures of single classes.
CLASS_FIGURES = {"dice": "Dice", "iou": "IoU"}


def results(contents: Contents, _figures: Path) -> Section:
    """Return one table of regions for a single set of predictions, or else a table of sets for each region."""
    blocks: list[Block] = []
    if contents.is_comparison:
        for region in contents.regions:
            columns = {one.name: one.summary.regions[region] for one in contents.scored}
            blocks.append(summary_table(columns, caption=f"{region}: mean over patients ({INTERVAL})"))
    else:
        blocks.append(summary_table(contents.scored[0].summary.regions, caption=f"Mean over patients ({INTERVAL})"))
    blocks += each_class(contents)
    blocks += all_pixels({one.name: one.summary for one in contents.scored})
    return Section("results", "Results", tuple(blocks))


def summary_table(columns: Mapping[str, RegionSummary], *, caption: str) -> Table:
    """Return a row for every metric with a value: means first, then slice-wise means, counts, empty cases."""
    summaries = columns.values()
    rows: list[tuple[str, ...]] = [
        (
            titled(METRICS[name].title, METRICS[name].unit),
            *(metric_text(METRICS[name], one.metrics[name]) for one in summaries),
        )
        for name in METRICS
        # Counts of lesions are shown as sums below: "12 of 14" is clearer than "1.2 per patient".
        if name not in LESION_COUNTS and any(one.metrics[name] for one in summaries)
    ]
    rows += [
        (f"{metric.title} (mean over slices)", *(interval_text(one.slice_metrics.get(name)) for one in summaries))
        for name, metric in SLICE_METRICS.items()
        if any(one.slice_metrics.get(name) for one in summaries)
    ]
    rows.append(("Lesions found", *(_found(one.lesions) for one in summaries)))
    rows.append(("False lesions", *(str(one.lesions["n_fp"]) for one in summaries)))
    rows += [(title, *(str(one.empty[kind]) for one in summaries)) for kind, title in EMPTY.items()]
    in_slices = any(one.counts_lesions_in_slices for one in summaries)
    return Table(("figure", *columns), tuple(rows), caption=f"{caption}; {LESIONS_IN_SLICES}" if in_slices else caption)


def _found(lesions: Mapping[str, int]) -> str:
    there = lesions["n_tp"] + lesions["n_fn"]
    return f"{lesions['n_tp']} of {there}" if there else NOTHING


def each_class(contents: Contents) -> list[Block]:
    """Return Dice and IoU of each class alone and of their averages, pooled over all cases; nothing for one class."""
    scheme = contents.manner.labels
    if len(scheme.classes) < 2:
        return []
    found = {one.name: class_averages(_joint(one.scores), scheme) for one in contents.scored}
    first = next(iter(found.values()))
    rows = [
        (f"{name}, {title}", *(figure_text(one.classes[name][figure]) for one in found.values()))
        for name in list(first.classes)[1:]
        for figure, title in CLASS_FIGURES.items()
    ]
    rows += [
        (f"mean over classes{ending}, {title}", *(figure_text(one.readings[name][figure]) for one in found.values()))
        for name, ending in (("macro", ""), ("macro with background", ", background included"))
        for figure, title in CLASS_FIGURES.items()
    ]
    return [Table(("each class alone", *found), tuple(rows), caption="Pooled over all cases")]


def _joint(scores: Sequence[CaseScores]) -> npt.NDArray[np.int64]:
    return np.asarray(np.sum([score.joint for score in scores], axis=0))


def all_pixels(summaries: Mapping[str, Summary]) -> list[Block]:
    """Return metrics that publications report under shorter names, under their full names."""
    names = next(iter(summaries.values())).pixels
    rows = tuple(
        (
            name.replace("_", " ").replace("iou", "IoU"),
            *(figure_text(summary.pixels.get(name)) for summary in summaries.values()),
        )
        for name in names
    )
    if not rows:
        return []
    caution = Paragraph(
        "Figures over all pixels of all classes count the background as a class. They are close to 1 for "
        "any model and are given only for comparison with published tables that print them."
    )
    return [Table(("all pixels of all classes", *summaries), rows, caption="Pooled over all cases"), caution]

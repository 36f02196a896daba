"""Results by groups of patients, such as those of one primary tumour."""

from __future__ import annotations

from pathlib import Path

from metseg.evaluation import METRICS
from metseg.evaluation.metrics.metric_table import metrics_shown
from metseg.evaluation.statistics.groups import Groups
from metseg.evaluation.statistics.summary import LESIONS_IN_SLICES
from metseg.reporting.blocks import Paragraph, Section, Table
from metseg.reporting.formatting import INTERVAL, metric_text, titled
from metseg.reporting.report_data import Contents
from metseg.reporting.study.number_format import sentence

EXPLAINED = (
    "Mean over the patients of each group. Groups were not tested against each other: among several groups some "
    "differ by chance, and a small group has a wide interval, or none. The attribute describes the patients; no "
    "network saw it."
)


def groups(contents: Contents, _figures: Path) -> Section | None:
    """Return a table of groups for each region; None where no attribute was given."""
    known = contents.groups
    if known is None:
        return None
    tables = [_table(known, region) for region in contents.regions]
    explained = f"{EXPLAINED} {sentence(LESIONS_IN_SLICES)}" if contents.counts_lesions_in_slices else EXPLAINED
    return Section("groups", f"Results by {known.column}", (Paragraph(explained), *tables))


def _table(known: Groups, region: str) -> Table:
    several = len(known.sets) > 1
    titles = (
        *(("predictions",) if several else ()),
        known.column,
        "patients",
        *(titled(METRICS[name].title, METRICS[name].unit) for name in metrics_shown("models")),
        "lesions found",
        "false lesions",
    )
    rows = tuple(
        (
            *((name,) if several else ()),
            group.value,
            str(group.patients),
            *(metric_text(METRICS[column], group.metrics[region][column]) for column in metrics_shown("models")),
            f"{counts['n_tp']} of {counts['n_tp'] + counts['n_fn']}",
            str(counts["n_fp"]),
        )
        for name, members in known.sets.items()
        for group in members
        for counts in [group.lesions[region]]
    )
    return Table(titles, rows, words=1 + several, caption=f"{region}: mean over patients ({INTERVAL})")

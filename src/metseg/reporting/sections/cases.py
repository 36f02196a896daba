"""A sortable table of all cases."""

from __future__ import annotations

from pathlib import Path

from metseg.evaluation import METRICS, CaseScores
from metseg.evaluation.metrics.metric_table import metrics_shown
from metseg.reporting.blocks import Block, Paragraph, Section, Table
from metseg.reporting.formatting import figure_text, titled
from metseg.reporting.report_data import Contents
from metseg.reporting.worst_cases import leading_figure

#: Maximum number of rows: a page with more is slow to open.
MOST_ROWS = 4000


def cases(contents: Contents, _figures: Path) -> Section:
    """Return one row per case, region and set of predictions, the worst first; `cases.csv` has more columns."""
    column = leading_figure([score for one in contents.scored for score in one.scores])
    entries = [(one.name, score, region) for one in contents.scored for score in one.scores for region in score.regions]
    entries.sort(key=lambda entry: (_rank(entry[1], entry[2], column), entry[1].case, entry[0], entry[2]))
    shown = [
        name
        for name in metrics_shown("cases")
        if any(score[region].metrics[name] is not None for _, score, region in entries)
    ]
    several = contents.is_comparison
    rows = tuple(
        (score.case, *((name,) if several else ()), region, *(_cell(score, region, metric) for metric in shown))
        for name, score, region in entries[:MOST_ROWS]
    )
    titles = (
        "case",
        *(("predictions",) if several else ()),
        "region",
        *(titled(METRICS[name].title, METRICS[name].unit) for name in shown),
    )
    caption = f"The lowest {METRICS[column].title} first; click a title to sort"
    blocks: list[Block] = [Table(titles, rows, words=2 + several, caption=caption, sortable=True)]
    if len(entries) > MOST_ROWS:
        blocks.append(Paragraph(f"{len(entries) - MOST_ROWS:,} more rows, all with better scores, are in cases.csv."))
    return Section("cases", "Cases", tuple(blocks))


def _rank(score: CaseScores, region: str, column: str) -> float:
    """Return the sort key of a row; rows without a value come last."""
    value = score[region].metrics[column]
    return float("inf") if value is None else value


def _cell(score: CaseScores, region: str, name: str) -> str:
    value = score[region].metrics[name]
    metric = METRICS[name]
    if value is not None and metric.whole:
        return f"{value:.0f}"
    # Without a thousands separator, which would end the number for the script that sorts.
    return figure_text(value, metric.unit, metric.number_format).replace(",", "")

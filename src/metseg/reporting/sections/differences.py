"""Paired tests between sets of predictions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from metseg.evaluation import METRICS, PairedComparison
from metseg.evaluation.metrics.metric_table import leading_metrics
from metseg.evaluation.statistics.confidence_intervals import few_patients
from metseg.evaluation.statistics.paired_tests import LEAST_PATIENTS, NO_DIFFERENCE, SIGNIFICANCE, no_difference
from metseg.message_text import pluralize
from metseg.plot.differences import draw_differences
from metseg.plot.error_bars import ErrorBounds
from metseg.plot.style import MINUS
from metseg.reporting.blocks import Block, Bullets, Figure, Paragraph, Section, Table
from metseg.reporting.formatting import BOOTSTRAP, INTERVAL, bounds_of, interval_text, titled
from metseg.reporting.report_data import Compared, Contents

TITLE = "Paired tests"

EXPLAINED = (
    "Differences by patient, first minus second. A model is called better only where the interval excludes 0, the "
    f"corrected p-value is below {SIGNIFICANCE} and there are at least {LEAST_PATIENTS} patients."
)


def paired_tests(contents: Contents, figures: Path) -> Section:
    """Return the verdicts, figures of the leading differences, and the table of all tests."""
    if not contents.comparisons:
        only = Paragraph("There is only one set of predictions, so there is nothing to compare.")
        return Section("tests", TITLE, (only,))
    told = tuple(f"{title}: {text}" for title, text in verdicts(contents.comparisons))
    blocks: list[Block] = [Paragraph(EXPLAINED), Bullets(told)]
    by_figure: dict[str, list[Compared]] = defaultdict(list)
    for one in contents.comparisons:
        by_figure[one.figure].append(one)
    leading = {METRICS[name].title for name in leading_metrics()}
    for place, (figure, comparisons) in enumerate(by_figure.items(), start=1):
        if figure in leading or len(by_figure) == 1:
            blocks.append(_drawn(figure, comparisons, figures / f"differences_{place}.svg"))
    blocks.append(pairs_table(contents.comparisons))
    return Section("tests", TITLE, tuple(blocks))


def too_narrow(patients: int) -> tuple[Paragraph, ...]:
    """Return the warning for differences on few patients.

    >>> too_narrow(20)
    ()
    """
    text = few_patients(patients)
    return () if text is None else (Paragraph(text, label="Few patients", tone="warning"),)


def verdicts(comparisons: Sequence[Compared]) -> list[tuple[str, str]]:
    """Return each compared metric with its verdict; regions with the same verdict are grouped."""
    told: dict[str, dict[str, list[Compared]]] = defaultdict(lambda: defaultdict(list))
    for one in comparisons:
        told[one.figure][verdict(one.pairs)].append(one)
    found = []
    for figure, by_text in told.items():
        alone = sum(map(len, by_text.values())) == 1
        texts = (
            text if alone else f"{', '.join(one.region for one in same)}: {text}" for text, same in by_text.items()
        )
        found.append((next(iter(by_text.values()))[0].title if alone else figure, ". ".join(texts)))
    return found


def verdict(pairs: Sequence[PairedComparison]) -> str:
    """Return the verdict: which sets are better than which.

    >>> verdict([])
    'no difference shown'
    """
    shown = [(pair.better, pair.second if pair.better == pair.first else pair.first) for pair in pairs if pair.better]
    if not shown:
        return no_difference(pairs[0].difference) if pairs else NO_DIFFERENCE
    told = [f"{better} is better than {worse}" for better, worse in shown]
    rest = len(pairs) - len(shown)
    return "; ".join([*told, *([f"{NO_DIFFERENCE} in {pluralize(rest, 'other pair')}"] if rest else [])])


def pairs_table(comparisons: Sequence[Compared]) -> Table:
    """Return the table of all tests; a column for the comparison is left out if there is only one."""
    several = len(comparisons) > 1
    titles = ("first", "second", f"difference ({INTERVAL})", "p (Wilcoxon)", "p (Holm)", "verdict")
    rows = tuple(
        (
            *((_compared(one),) if several else ()),
            pair.first,
            pair.second,
            interval_text(pair.difference, one.unit, number_format=one.number_format),
            f"{pair.p_value:.3g}",
            f"{pair.p_holm:.3g}",
            pair.verdict,
        )
        for one in comparisons
        for pair in one.pairs
    )
    return Table((*(("compared",) if several else ()), *titles), rows, words=2 + several, trailing_words=1)


def _compared(one: Compared) -> str:
    left_out = f" ({pluralize(one.undefined, 'patient')} without it left out)" if one.undefined else ""
    return f"{titled(one.title, one.unit)}{left_out}"


def _drawn(figure: str, comparisons: Sequence[Compared], path: Path) -> Figure:
    rows: dict[str, ErrorBounds] = {}
    shown: set[str] = set()
    for one in comparisons:
        region = f"{one.region}: " if one.region else ""
        for pair in one.pairs:
            name = f"{region}{pair.first} {MINUS} {pair.second}"
            rows[name] = bounds_of(pair.difference)
            shown |= {name} if pair.better else set()
    draw_differences(rows, path, shown=shown, label=f"mean difference in {titled(figure, comparisons[0].unit)}")
    patients = sorted({pair.difference.patients for one in comparisons for pair in one.pairs})
    over = " to ".join(str(count) for count in dict.fromkeys((patients[0], patients[-1])))
    caption = (
        f"{figure}: mean of the paired differences over {over} patients; bars: {BOOTSTRAP}. "
        "Filled: one is shown to be better; open: no difference shown."
    )
    return Figure(path, caption, alt=f"Paired differences in {figure}")

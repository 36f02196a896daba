"""Comparison with human readers: agreement between two readers, and of the predictions with each reader."""

from __future__ import annotations

from pathlib import Path

from metseg.evaluation import METRICS
from metseg.evaluation.statistics.inter_rater import Readers
from metseg.message_text import pluralize
from metseg.reporting.blocks import Block, Paragraph, Section, Table
from metseg.reporting.formatting import INTERVAL, metric_text, titled
from metseg.reporting.report_data import Contents


def readers(contents: Contents, _figures: Path) -> Section | None:
    """Return the agreement of the readers and of the predictions with them; None without two readers."""
    known = contents.readers
    if known is None:
        return None
    explained = (
        f"{pluralize(known.cases, 'case')} of {pluralize(known.patients, 'patient')} drawn by both readers. Only "
        "symmetric figures are shown, because neither reader is the ground truth. The difference is the agreement "
        "with the readers (mean of both) minus the agreement between the readers, paired over patients."
    )
    blocks: list[Block] = [Paragraph(explained), _agreements(known), _lesions(known)]
    return Section("readers", "Comparison with human readers", tuple(blocks))


def _agreements(known: Readers) -> Table:
    titles = (
        "region",
        "figure",
        "predictions",
        "readers",
        "with the first",
        "with the second",
        "difference",
        "p (Holm)",
        "verdict",
    )
    rows: list[tuple[str, ...]] = []
    for one in known.agreements:
        metric = METRICS[one.metric]
        between = metric_text(metric, one.readers)
        for name, model in one.models.items():
            with_either = (metric_text(metric, part) for part in (model.with_first, model.with_second))
            difference = metric_text(metric, model.difference)
            figure = titled(metric.title, metric.unit)
            rows.append(
                (one.region, figure, name, between, *with_either, difference, f"{model.p_holm:.3g}", model.verdict)
            )
    return Table(titles, tuple(rows), words=3, trailing_words=1, caption=f"Agreement, mean over patients ({INTERVAL})")


def _lesions(known: Readers) -> Table:
    titles = ("region", "drawn by both", "by the first only", "by the second only")
    rows = tuple(
        (region, str(one.both), str(one.first_only), str(one.second_only)) for region, one in known.lesions.items()
    )
    return Table(titles, rows, caption="Lesions of the two readers")

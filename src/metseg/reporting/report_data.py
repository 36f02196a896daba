"""What a report is about: the one data model that every section is written from, whoever did the scoring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metseg.evaluation import METRICS, CaseScores, PairedComparison, ScoringConfig, Summary
from metseg.evaluation.statistics.inter_rater import Readers
from metseg.evaluation.statistics.model_comparison import FigureComparison
from metseg.plot.outlines import Panel


@dataclass(frozen=True)
class Overlay:
    """A case as a picture, truth and prediction outlined.

    Args:
        caption: whose it is, and how it scored.
        panel: the picture.
    """

    caption: str
    panel: Panel


@dataclass(frozen=True)
class Scored:
    """One set of predictions: a folder of masks, or a recipe after its runs.

    Args:
        name: a short one, the same in tables and figures.
        summary: all cases together.
        scores: each case; their single lesions are not needed.
        overlays: the worst cases, the worst first.
        problems: of which cases there is no picture, and why, one sentence each.
    """

    name: str
    summary: Summary
    scores: tuple[CaseScores, ...]
    overlays: tuple[Overlay, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compared:
    """Every two sets of predictions, compared on one figure.

    Args:
        figure: what is compared, such as "Dice".
        region: of which region; empty where regions were averaged.
        pairs: the tests.
        unit: of the figure.
        number_format: of its numbers; "": by the unit.
        undefined: how many patients are left out because they do not have the figure in every set.
    """

    figure: str
    region: str
    pairs: tuple[PairedComparison, ...]
    unit: str = ""
    undefined: int = 0
    number_format: str = ""

    @property
    def title(self) -> str:
        return f"{self.region}, {self.figure}" if self.region else self.figure


def compared(comparisons: Sequence[FigureComparison]) -> tuple[Compared, ...]:
    """Return comparisons as the evaluator hands them out, with titles and units for people."""
    return tuple(
        Compared(metric.title, one.region, one.pairs, metric.unit, one.undefined, metric.number_format)
        for one in comparisons
        for metric in [METRICS[one.metric]]
    )


@dataclass(frozen=True)
class Contents:
    """Everything a report tells.

    Args:
        title: what it is.
        facts: what was compared with what, when, on what: a term and what it is.
        manner: protocol and labels, for the rules in words.
        scored: at least one; all of the same cases under the same protocol.
        comparisons: the paired tests; empty where there is one set only.
        readers: the same cases drawn by two people, where they were.
        warnings: of the data set as a whole; those of the cases are in the summaries.
        no_overlays: why there is no picture, where there is none.
        shown: which slice the pictures show.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    manner: ScoringConfig
    scored: tuple[Scored, ...]
    comparisons: tuple[Compared, ...] = ()
    readers: Readers | None = None
    warnings: tuple[str, ...] = ()
    no_overlays: str = ""
    shown: str = "the slice with the most wrong voxels, in the region with the lowest score"

    @property
    def regions(self) -> tuple[str, ...]:
        return tuple(self.scored[0].summary.regions)

    @property
    def is_comparison(self) -> bool:
        return len(self.scored) > 1

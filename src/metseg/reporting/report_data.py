"""The data model of an evaluation or comparison report, shared by all sections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metseg.evaluation import METRICS, CaseScores, PairedComparison, ScoringConfig, Summary
from metseg.evaluation.statistics.groups import Groups
from metseg.evaluation.statistics.inter_rater import Readers
from metseg.evaluation.statistics.model_comparison import FigureComparison
from metseg.plot.images.outlines import Panel


@dataclass(frozen=True)
class Overlay:
    """A picture of a case with truth and prediction outlined.

    Args:
        caption: the case and its score.
        panel: the picture.
    """

    caption: str
    panel: Panel


@dataclass(frozen=True)
class Scored:
    """One set of predictions: a folder of masks, or a recipe after its runs.

    Args:
        name: short name, the same in tables and figures.
        summary: of all cases.
        scores: of each case; single lesions are not needed.
        overlays: the worst cases, the worst first.
        problems: cases without a picture and the reason, one sentence each.
    """

    name: str
    summary: Summary
    scores: tuple[CaseScores, ...]
    overlays: tuple[Overlay, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Compared:
    """All pairs of sets of predictions, compared on one metric.

    Args:
        figure: name of the metric, such as "Dice".
        region: the region; empty if regions were averaged.
        pairs: the tests.
        unit: unit of the metric.
        number_format: format of its numbers; "": by the unit.
        undefined: number of patients who are left out because a set has no value for them.
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
    """Return the evaluator's comparisons with titles and units for display."""
    return tuple(
        Compared(metric.title, one.region, one.pairs, metric.unit, one.undefined, metric.number_format)
        for one in comparisons
        for metric in [METRICS[one.metric]]
    )


@dataclass(frozen=True)
class Contents:
    """Contents of a report.

    Args:
        title: title of the report.
        facts: what was compared, when, and on which machine: pairs of a term and its value.
        manner: protocol and labels, for the description of the rules.
        scored: at least one; all with the same cases and protocol.
        comparisons: the paired tests; empty for a single set.
        readers: the comparison with two human readers, if any.
        groups: the results by an attribute of the patients, if one was given.
        warnings: on the data set as a whole; warnings on cases are in the summaries.
        no_overlays: reason for missing pictures, if there are none.
        shown: the slice that the pictures show.
    """

    title: str
    facts: tuple[tuple[str, str], ...]
    manner: ScoringConfig
    scored: tuple[Scored, ...]
    comparisons: tuple[Compared, ...] = ()
    readers: Readers | None = None
    groups: Groups | None = None
    warnings: tuple[str, ...] = ()
    no_overlays: str = ""
    shown: str = "the slice with the most wrong voxels, in the region with the lowest score"

    @property
    def regions(self) -> tuple[str, ...]:
        return tuple(self.scored[0].summary.regions)

    @property
    def counts_lesions_in_slices(self) -> bool:
        """Return whether the numbers of lesions are those of slice stacks; see `LESIONS_IN_SLICES`."""
        return any(one.counts_lesions_in_slices for one in self.scored[0].summary.regions.values())

    @property
    def is_comparison(self) -> bool:
        return len(self.scored) > 1

"""Select the cases with the lowest scores, and the metric for ranking them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metseg.evaluation import CaseScores
from metseg.evaluation.metrics.metric_table import leading_metrics

#: Number of cases shown.
WORST = 10


@dataclass(frozen=True)
class Worst:
    """A case with a low score.

    Args:
        scores: the scores of the case.
        region: the region with the lowest score.
        value: the leading metric, mean over its regions.
    """

    scores: CaseScores
    region: str
    value: float


def leading_figure(scores: Sequence[CaseScores]) -> str:
    """Return the column for ranking cases and comparing models."""
    leading = leading_metrics()
    values = [region.metrics for one in scores for region in one.regions.values()]
    return next((name for name in leading if any(one[name] is not None for one in values)), leading[-1])


def worst_cases(scores: Sequence[CaseScores], *, count: int = WORST) -> tuple[Worst, ...]:
    """Return the cases with the lowest value, mean over regions, the lowest first.

    Ties are ordered by the size of the truth, the largest first: missing a large lesion is worse than missing a small
    one. Cases without any error or without a value are left out.
    """
    column = leading_figure(scores)
    found = [worst for one in scores if (worst := _judged(one, column)) is not None and worst.value < 1]
    return tuple(sorted(found, key=lambda one: (one.value, -_true_voxels(one.scores), one.scores.case))[:count])


def _judged(scores: CaseScores, column: str) -> Worst | None:
    known = {name: value for name, region in scores.regions.items() if (value := region.metrics[column]) is not None}
    if not known:
        return None
    region = min(known, key=lambda name: (known[name], -scores[name].counts.truth))
    return Worst(scores, region, sum(known.values()) / len(known))


def _true_voxels(scores: CaseScores) -> float:
    return max(region.counts.truth for region in scores.regions.values())

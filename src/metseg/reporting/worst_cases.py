"""Which cases went worst, and on which figure that is decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from metseg.evaluation import CaseScores
from metseg.evaluation.metrics.metric_table import leading_metrics

#: How many are shown.
WORST = 10


@dataclass(frozen=True)
class Worst:
    """A case that went badly.

    Args:
        scores: its figures.
        region: in which it went worst.
        value: the leading figure, mean over its regions.
    """

    scores: CaseScores
    region: str
    value: float


def leading_figure(scores: Sequence[CaseScores]) -> str:
    """Return the column that cases are ranked and models are compared by."""
    leading = leading_metrics()
    values = [region.values for one in scores for region in one.regions.values()]
    return next((name for name in leading if any(one[name] is not None for one in values)), leading[-1])


def worst_cases(scores: Sequence[CaseScores], *, count: int = WORST) -> tuple[Worst, ...]:
    """Return the cases of the lowest figure, mean over regions, the lowest first.

    Of equal ones that with more in the truth comes first: it is worse to miss a large lesion than a small one. Cases
    without any error are left out, and those that do not have the figure.
    """
    column = leading_figure(scores)
    found = [worst for one in scores if (worst := _judged(one, column)) is not None and worst.value < 1]
    return tuple(sorted(found, key=lambda one: (one.value, -_true_voxels(one.scores), one.scores.case))[:count])


def _judged(scores: CaseScores, column: str) -> Worst | None:
    known = {name: value for name, region in scores.regions.items() if (value := region.values[column]) is not None}
    if not known:
        return None
    region = min(known, key=lambda name: (known[name], -scores[name].counts.truth))
    return Worst(scores, region, sum(known.values()) / len(known))


def _true_voxels(scores: CaseScores) -> float:
    return max(region.counts.truth for region in scores.regions.values())

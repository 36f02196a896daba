"""Compare several sets of predictions on the same cases: differences, intervals and tests for each metric."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from metseg.errors import InputError
from metseg.evaluation.metrics.metric_table import METRICS, metrics_shown
from metseg.evaluation.scores import CaseScores
from metseg.evaluation.statistics.confidence_intervals import RESAMPLES, patient_means
from metseg.evaluation.statistics.paired_tests import PairedComparison, compare_models, holm


@dataclass(frozen=True)
class FigureComparison:
    """All pairwise comparisons of sets of predictions on one metric of one region.

    Args:
        region: the region.
        metric: a column of `METRICS`.
        patients: number of patients with a value in every set: the pairs of the tests.
        undefined: number of patients without a value, who are left out.
        pairs: every pair of sets, first minus second. Holm's correction is over all regions and pairs of this metric.
    """

    region: str
    metric: str
    patients: int
    undefined: int
    pairs: tuple[PairedComparison, ...]

    @property
    def title(self) -> str:
        """Return the title of the comparison.

        >>> FigureComparison("ET", "dice", 3, 0, ()).title
        'ET, Dice'
        """
        return f"{self.region}, {METRICS[self.metric].title}"

    def to_json(self) -> dict[str, Any]:
        """Return it as stored in `summary.json`."""
        return {
            "region": self.region,
            "metric": self.metric,
            "patients": self.patients,
            "undefined": self.undefined,
            "pairs": [pair.to_json() for pair in self.pairs],
        }


def compare_sets(
    sets: Mapping[str, Sequence[CaseScores]],
    *,
    metrics: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[FigureComparison, ...]:
    """Compare sets of predictions, paired over patients.

    Args:
        sets: name to scores; the same cases in each.
        metrics: columns of `METRICS`; columns without any value are left out. None: those with the place "tests".
        resamples: of the bootstrap of the differences.
        seed: of its draws.
    Returns:
        one comparison per metric and region; empty for a single set.
    Raises:
        InputError: the sets do not have the same cases.
    """
    if len(sets) < 2:
        return ()
    _require_same_cases(sets)
    regions = tuple(next(iter(sets.values()))[0].regions)
    found: list[FigureComparison] = []
    for metric in metrics_shown("tests") if metrics is None else metrics:
        of_figure = [one for region in regions if (one := _compared(sets, region, metric, resamples, seed)) is not None]
        found += _corrected(of_figure)
    return tuple(found)


def _compared(
    sets: Mapping[str, Sequence[CaseScores]], region: str, metric: str, resamples: int, seed: int
) -> FigureComparison | None:
    figures = {
        name: patient_means((score.patient, score[region].metrics[metric]) for score in scores)
        for name, scores in sets.items()
    }
    patients = list(next(iter(figures.values())))
    defined = {
        name: {patient: value for patient in patients if (value := of_set[patient]) is not None}
        for name, of_set in figures.items()
    }
    common = [patient for patient in patients if all(patient in of_set for of_set in defined.values())]
    if not common:
        return None
    better = METRICS[metric].better
    assert better != "neither"  # such a column does not show which set is better
    pairs = compare_models(
        {name: {patient: of_set[patient] for patient in common} for name, of_set in defined.items()},
        better=better,
        resamples=resamples,
        seed=seed,
    )
    return FigureComparison(region, metric, len(common), len(patients) - len(common), tuple(pairs))


def _corrected(comparisons: Sequence[FigureComparison]) -> list[FigureComparison]:
    """Return the comparisons of one metric with Holm's correction over all its regions and pairs."""
    p_values = iter(holm([pair.p_value for one in comparisons for pair in one.pairs]))
    return [
        replace(one, pairs=tuple(replace(pair, p_holm=next(p_values)) for pair in one.pairs)) for one in comparisons
    ]


def _require_same_cases(sets: Mapping[str, Sequence[CaseScores]]) -> None:
    for (one, its), (two, others) in itertools.pairwise(sets.items()):
        odd = sorted({score.case for score in its} ^ {score.case for score in others})
        if odd:
            raise InputError(
                f"'{one}' and '{two}' were not scored on the same cases",
                got=f"{len(odd)} in one of them only, the first {odd[0]}",
                cure="predict the same cases with both, or score missing ones as empty with --missing empty",
                code="input.unpaired",
            )

"""Paired tests of models over patients, corrected for multiple comparisons.

Wilcoxon's signed-rank test over patients (1945), Holm's step-down correction (1979), and the bootstrap interval of the
mean paired difference. A model counts as better only if the interval excludes 0, the corrected p-value is below
5 %, and there are enough patients for the test to be able to show a difference.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from metseg.errors import InputError
from metseg.evaluation.statistics.confidence_intervals import RESAMPLES, Interval, bootstrap_mean
from metseg.message_text import pluralize

NO_DIFFERENCE = "no difference shown"

Direction = Literal["higher", "lower"]

#: Significance level of corrected p-values.
SIGNIFICANCE = 0.05

#: With fewer patients the signed-rank test cannot show a difference: if 5 patients all favour one model, its exact
#: two-sided p-value is 2/2^5 = 0.06; with 6 it is 0.03.
LEAST_PATIENTS = 6


@dataclass(frozen=True)
class PairedComparison:
    """Two models on the same patients.

    Args:
        first: name of one model.
        second: name of the other.
        difference: first minus second, mean over patients, with its bootstrap interval.
        p_value: Wilcoxon signed-rank, two-sided.
        p_holm: corrected for all comparisons made together.
        direction: whether higher or lower values are better.
    """

    first: str
    second: str
    difference: Interval
    p_value: float
    p_holm: float
    direction: Direction = "higher"

    @property
    def better(self) -> str | None:
        """Return the name of the better model; None if no difference was shown."""
        return better_model(
            self.first, self.second, difference=self.difference, p_value=self.p_holm, better=self.direction
        )

    @property
    def verdict(self) -> str:
        """Return the result as text."""
        return no_difference(self.difference) if self.better is None else f"{self.better} is better"

    def to_json(self) -> dict[str, Any]:
        """Return it as stored in `summary.json`."""
        return {
            "first": self.first,
            "second": self.second,
            "difference": asdict(self.difference),
            "p_value": self.p_value,
            "p_holm": self.p_holm,
            "better": self.better,
            "verdict": self.verdict,
        }


def no_difference(difference: Interval) -> str:
    """Return the text for no difference, with a note if there were too few patients to show one.

    >>> no_difference(Interval(0.1, 0.02, 0.2, 4))
    'no difference shown (4 patients, at least 6 are needed)'
    """
    if difference.patients >= LEAST_PATIENTS:
        return NO_DIFFERENCE
    return f"{NO_DIFFERENCE} ({pluralize(difference.patients, 'patient')}, at least {LEAST_PATIENTS} are needed)"


def wilcoxon_p(differences: Sequence[float]) -> float:
    """Return the two-sided p-value of Wilcoxon's signed-rank test; 1 if no pair differs.

    Args:
        differences: one per patient; zeros are dropped, as in Wilcoxon's paper.
    Raises:
        InputError: no patient, NaN or infinity.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.size == 0 or not np.isfinite(values).all():
        raise InputError("a paired test needs finite differences of at least one patient", got=values.tolist()[:5])
    if not values.any():
        return 1.0
    from scipy.stats import wilcoxon  # half a second of import that scoring one case does not need

    return float(wilcoxon(values, zero_method="wilcox").pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected by Holm's step-down procedure, in the order given.

    The smallest is multiplied by their number m, the next by m - 1, and so on; none is below a smaller one, none
    above 1.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def better_model(
    first: str, second: str, *, difference: Interval, p_value: float, better: Direction = "higher"
) -> str | None:
    """Return the better model if interval, test and number of patients all show it; otherwise None.

    Args:
        first, second: names.
        difference: first minus second.
        p_value: of the signed-rank test, corrected for all comparisons made together.
        better: which way the figure is better.

    >>> better_model("unet", "cnn", difference=Interval(0.1, 0.02, 0.2, 20), p_value=0.01)
    'unet'
    >>> better_model("unet", "cnn", difference=Interval(0.1, -0.02, 0.2, 20), p_value=0.01) is None
    True
    >>> better_model("unet", "cnn", difference=Interval(0.1, 0.02, 0.2, 20), p_value=0.2) is None
    True
    """
    if not difference.excludes_zero or p_value >= SIGNIFICANCE or difference.patients < LEAST_PATIENTS:
        return None
    return first if (difference.mean > 0) == (better == "higher") else second


def compare_models(
    figures: Mapping[str, Mapping[str, float]],
    *,
    better: Direction = "higher",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[PairedComparison]:
    """Compare all pairs of models on one metric.

    Args:
        figures: model to patient to value; every model has the same patients.
        better: which way the figure is better.
        resamples: of the bootstrap.
        seed: of its draws.
    Returns:
        one comparison per pair, in the order of the models; p-values corrected for all of them.
    Raises:
        InputError: the models do not have the same patients, or a value is not finite.
    """
    _require_same_patients(figures)
    pairs = list(itertools.combinations(figures, 2))
    differences = [[figures[one][patient] - figures[two][patient] for patient in figures[one]] for one, two in pairs]
    p_values = [wilcoxon_p(values) for values in differences]
    intervals = [bootstrap_mean(values, resamples=resamples, seed=seed) for values in differences]
    return [
        PairedComparison(
            first=one,
            second=two,
            difference=interval,
            p_value=p_value,
            p_holm=p_holm,
            direction=better,
        )
        for (one, two), interval, p_value, p_holm in zip(pairs, intervals, p_values, holm(p_values), strict=True)
    ]


def _require_same_patients(figures: Mapping[str, Mapping[str, float]]) -> None:
    reference: tuple[str, Mapping[str, float]] | None = None
    for model, by_patient in figures.items():
        if reference is None:
            reference = model, by_patient
            continue
        odd = sorted(set(by_patient) ^ set(reference[1]))
        if odd:
            raise InputError(
                "a paired comparison needs the same patients for every model",
                where=model,
                got=f"{pluralize(len(odd), 'patient')} in only one of '{reference[0]}' and '{model}': {odd[0]} first",
                cure="score the models on the same patients",
                code="input.unpaired",
            )

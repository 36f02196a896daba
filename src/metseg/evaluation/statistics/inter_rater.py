"""A model beside people: where two readers have drawn the same cases, how far do they agree, and how far does a model?

Only figures that do not change when the two masks change places are used, for neither reader is the truth of the
other. A model's agreement with the readers is the mean of that with either; its difference from the readers' own
agreement is paired over patients. A model that agrees with people as well as they agree with each other cannot be
told from one of them by these figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from metseg.errors import InputError
from metseg.evaluation.metrics.metric_table import METRICS, metrics_shown
from metseg.evaluation.scores import CaseScores
from metseg.evaluation.statistics.confidence_intervals import Interval, bootstrap_mean, patient_means
from metseg.evaluation.statistics.paired_tests import better_model, holm, no_difference, wilcoxon_p
from metseg.message_text import pluralize


@dataclass(frozen=True)
class ModelAgainstReaders:
    """One set of predictions against both readers.

    Args:
        with_first: figure against the first reader, mean over patients.
        with_second: against the second.
        with_readers: mean of the two.
        difference: `with_readers` minus the figure between the readers, paired over patients.
        p_value: Wilcoxon signed-rank of these differences, two-sided.
        p_holm: corrected for all regions and models of this figure.
        verdict: "agrees better", "agrees worse" or "no difference shown", by the rule of `better_model`.
    """

    with_first: Interval
    with_second: Interval
    with_readers: Interval
    difference: Interval
    p_value: float
    p_holm: float
    verdict: str


@dataclass(frozen=True)
class Agreement:
    """One figure of one region.

    Args:
        region: which region.
        metric: a column of `METRICS` that is shown beside readers.
        readers: between the two readers, mean over patients.
        models: each set of predictions beside them.
    """

    region: str
    metric: str
    readers: Interval
    models: Mapping[str, ModelAgainstReaders]


@dataclass(frozen=True)
class LesionAgreement:
    """Which lesions two readers have in common; matched by the protocol's rule with the first one as the truth.

    Args:
        both: lesions of the first that the second has too.
        first_only: lesions of the first that the second has not.
        second_only: lesions of the second that touch none of the first.
    """

    both: int
    first_only: int
    second_only: int


@dataclass(frozen=True)
class Readers:
    """Two readers and any number of models on the cases that both readers have drawn.

    Args:
        cases: how many both have drawn.
        patients: of how many patients.
        agreements: one per figure and region.
        lesions: by region.
    """

    cases: int
    patients: int
    agreements: tuple[Agreement, ...]
    lesions: Mapping[str, LesionAgreement]

    def to_json(self) -> dict[str, Any]:
        """Return it as `summary.json` holds it."""
        return asdict(self)


@dataclass(frozen=True)
class AgainstReaders:
    """The scores of one set of predictions, taking one reader and then the other for the truth; the same cases."""

    first: Sequence[CaseScores]
    second: Sequence[CaseScores]


def compare_with_readers(between: Sequence[CaseScores], models: Mapping[str, AgainstReaders]) -> Readers:
    """Set models beside two readers.

    Args:
        between: the second reader scored against the first.
        models: name to scores against either, at least on the cases of ``between``; others are left out.
    Raises:
        InputError: no case, or a model that was not scored on all of them.
    """
    if not between:
        raise InputError("no case was drawn by both readers", code="input.no_cases")
    cases = [score.case for score in between]
    kept = {
        name: AgainstReaders(_of_cases(scores.first, cases, name), _of_cases(scores.second, cases, name))
        for name, scores in models.items()
    }
    agreements = [
        agreement
        for region in between[0].regions
        for metric in metrics_shown("readers")
        if (agreement := _agreement(between, kept, region, metric)) is not None
    ]
    agreements = _corrected(agreements)
    lesions = {region: _lesions(between, region) for region in between[0].regions}
    return Readers(len(cases), len({score.patient for score in between}), tuple(agreements), lesions)


def _of_cases(scores: Sequence[CaseScores], cases: Sequence[str], name: str) -> list[CaseScores]:
    by_case = {score.case: score for score in scores}
    missing = [case for case in cases if case not in by_case]
    if missing:
        raise InputError(
            f"'{name}' was not scored on {pluralize(len(missing), 'case')} that both readers have drawn",
            where=missing[0],
            cure="predict these cases too",
            code="input.unpaired",
        )
    return [by_case[case] for case in cases]


def _agreement(
    between: Sequence[CaseScores], models: Mapping[str, AgainstReaders], region: str, metric: str
) -> Agreement | None:
    """Return the figure of readers and models; None where the data or the protocol do not define it."""
    readers = _by_patient(between, region, metric)
    if not readers:
        return None
    found = {
        name: _model(
            readers,
            _by_patient(scores.first, region, metric),
            _by_patient(scores.second, region, metric),
        )
        for name, scores in models.items()
    }
    return Agreement(region, metric, bootstrap_mean(list(readers.values())), found)


def _by_patient(scores: Sequence[CaseScores], region: str, metric: str) -> dict[str, float]:
    means = patient_means((score.patient, score[region].values[metric]) for score in scores)
    return {patient: value for patient, value in means.items() if value is not None}


def _model(
    readers: Mapping[str, float], first: Mapping[str, float], second: Mapping[str, float]
) -> ModelAgainstReaders:
    """Return one model beside the readers; its p-value is not corrected yet and nothing is claimed."""
    with_readers = [(first[patient] + second[patient]) / 2 for patient in readers]
    differences = [mean - own for mean, own in zip(with_readers, readers.values(), strict=True)]
    difference = bootstrap_mean(differences)
    return ModelAgainstReaders(
        with_first=bootstrap_mean([first[patient] for patient in readers]),
        with_second=bootstrap_mean([second[patient] for patient in readers]),
        with_readers=bootstrap_mean(with_readers),
        difference=difference,
        p_value=(p_value := wilcoxon_p(differences)),
        p_holm=p_value,
        verdict=no_difference(difference),
    )


def _corrected(agreements: Sequence[Agreement]) -> list[Agreement]:
    """Return the agreements with Holm's correction over regions and models of each figure, and what that shows."""
    corrected: dict[tuple[str, str, str], float] = {}
    for metric in metrics_shown("readers"):
        tests = [
            (one.region, metric, name, model.p_value)
            for one in agreements
            if one.metric == metric
            for name, model in one.models.items()
        ]
        p_holm = holm([p_value for *_, p_value in tests])
        corrected |= {(region, figure, name): p for (region, figure, name, _), p in zip(tests, p_holm, strict=True)}
    return [
        replace(
            one,
            models={
                name: _judged(model, one.metric, corrected[one.region, one.metric, name])
                for name, model in one.models.items()
            },
        )
        for one in agreements
    ]


def _judged(model: ModelAgainstReaders, metric: str, p_holm: float) -> ModelAgainstReaders:
    shown = better_model(
        "agrees better",
        "agrees worse",
        difference=model.difference,
        p_value=p_holm,
        better="higher" if METRICS[metric].better == "higher" else "lower",
    )
    return replace(model, p_holm=p_holm, verdict=shown or no_difference(model.difference))


def _lesions(between: Sequence[CaseScores], region: str) -> LesionAgreement:
    counts = (int(sum(score[region].values[name] or 0 for score in between)) for name in ("n_tp", "n_fn", "n_fp"))
    return LesionAgreement(*counts)

"""Compare models with two readers who drew the same cases: agreement between the readers, and of a model with them.

Only symmetric metrics are used, because neither reader is the ground truth. A model's agreement with the readers is the
mean over both readers. Its difference from the agreement between the readers is paired over patients. A model that
agrees with the readers as well as they agree with each other cannot be distinguished from a reader by these metrics.
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
        with_first: metric against the first reader, mean over patients.
        with_second: against the second.
        with_readers: mean of the two.
        difference: `with_readers` minus the metric between the readers, paired over patients.
        p_value: Wilcoxon signed-rank of these differences, two-sided.
        p_holm: corrected for all regions and models of this metric.
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
    """Agreement on one metric in one region.

    Args:
        region: the region.
        metric: a column of `METRICS` with the place "readers".
        readers: between the two readers, mean over patients.
        models: each set of predictions compared with them.
    """

    region: str
    metric: str
    readers: Interval
    models: Mapping[str, ModelAgainstReaders]


@dataclass(frozen=True)
class LesionAgreement:
    """Lesions that two readers have in common, matched by the protocol's rule with the first reader as the truth.

    Args:
        both: lesions of the first that the second has too.
        first_only: lesions of the first that the second does not have.
        second_only: lesions of the second that touch none of the first.
    """

    both: int
    first_only: int
    second_only: int


@dataclass(frozen=True)
class Readers:
    """Two readers and any number of models on the cases that both readers drew.

    Args:
        cases: number of cases that both readers drew.
        patients: number of patients.
        agreements: one per metric and region.
        lesions: by region.
    """

    cases: int
    patients: int
    agreements: tuple[Agreement, ...]
    lesions: Mapping[str, LesionAgreement]

    def to_json(self) -> dict[str, Any]:
        """Return it as stored in `summary.json`."""
        return asdict(self)


@dataclass(frozen=True)
class AgainstReaders:
    """The scores of one set of predictions against each reader, on the same cases."""

    first: Sequence[CaseScores]
    second: Sequence[CaseScores]


def compare_with_readers(between: Sequence[CaseScores], models: Mapping[str, AgainstReaders]) -> Readers:
    """Compare models with two readers.

    Args:
        between: the second reader scored against the first.
        models: name to scores against both readers, at least on the cases of ``between``; other cases are ignored.
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
    """Return the agreement of readers and models; None if the data or the protocol do not define the metric."""
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
    means = patient_means((score.patient, score[region].metrics[metric]) for score in scores)
    return {patient: value for patient, value in means.items() if value is not None}


def _model(
    readers: Mapping[str, float], first: Mapping[str, float], second: Mapping[str, float]
) -> ModelAgainstReaders:
    """Return the comparison of one model with the readers, without correction of the p-value and without a verdict."""
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
    """Return the agreements with Holm's correction over regions and models of each metric, and the verdicts."""
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
    counts = (int(sum(score[region].metrics[name] or 0 for score in between)) for name in ("n_tp", "n_fn", "n_fp"))
    return LesionAgreement(*counts)

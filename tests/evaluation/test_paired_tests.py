"""Paired tests against scipy and hand-made numbers; verdicts."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from metseg.errors import InputError
from metseg.evaluation.statistics.confidence_intervals import Interval
from metseg.evaluation.statistics.paired_tests import NO_DIFFERENCE, better_model, compare_models, holm, wilcoxon_p


def exact_wilcoxon(differences: list[float]) -> float:
    """Return the two-sided p-value by going through every assignment of signs (no ties, no zeros)."""
    ranks = np.argsort(np.argsort(np.abs(differences))) + 1
    observed = ranks[np.array(differences) > 0].sum()
    sums = [
        sum(r for r, s in zip(ranks, signs, strict=True) if s) for signs in itertools.product((0, 1), repeat=len(ranks))
    ]
    centre = ranks.sum() / 2
    return float(np.mean([abs(value - centre) >= abs(observed - centre) for value in sums]))


def test_wilcoxon_by_enumeration() -> None:
    for seed in range(5):
        differences = list(np.random.default_rng(seed).normal(0.3, 1.0, 9))
        assert wilcoxon_p(differences) == pytest.approx(exact_wilcoxon(differences))


def test_wilcoxon_is_scipys_for_many_patients_with_zeros() -> None:
    differences = np.random.default_rng(0).normal(0.02, 0.1, 80)
    differences[:10] = 0.0
    expected = stats.wilcoxon(differences[10:]).pvalue
    assert wilcoxon_p(list(differences)) == pytest.approx(expected)


def test_no_difference_at_all_is_p_1() -> None:
    assert wilcoxon_p([0.0, 0.0, 0.0]) == 1.0


@pytest.mark.parametrize("bad", [[], [0.1, math.nan]])
def test_wilcoxon_refuses_what_is_no_number(bad: list[float]) -> None:
    with pytest.raises(InputError):
        wilcoxon_p(bad)


def test_holm_by_hand() -> None:
    # sorted: 0.005 * 4, 0.01 * 3, 0.03 * 2, 0.04 * 1; the last may not be below the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
    assert holm([0.04]) == [0.04]


@pytest.mark.parametrize(
    ("low", "high", "better", "expected"),
    [
        (0.01, 0.2, "higher", "a"),
        (0.01, 0.2, "lower", "b"),
        (-0.2, -0.01, "higher", "b"),
        (-0.2, -0.01, "lower", "a"),
        (-0.01, 0.2, "higher", None),
        (0.0, 0.2, "higher", None),
    ],
)
def test_who_is_better(low: float, high: float, better: str, expected: str | None) -> None:
    interval = Interval((low + high) / 2, low, high, 10)
    assert better_model("a", "b", difference=interval, p_value=0.01, better=better) == expected  # type: ignore[arg-type]


def test_nobody_is_better_on_one_patient() -> None:
    assert better_model("a", "b", difference=Interval(0.5, None, None, 1), p_value=0.01) is None


@pytest.mark.parametrize(
    ("patients", "p_value", "expected"),
    [(20, 0.01, "a"), (20, 0.05, None), (20, 0.75, None), (6, 0.04, "a"), (5, 0.04, None)],
)
def test_an_interval_alone_makes_nobody_better(patients: int, p_value: float, expected: str | None) -> None:
    interval = Interval(0.1, 0.02, 0.2, patients)
    assert better_model("a", "b", difference=interval, p_value=p_value) == expected


def test_four_patients_of_whom_all_favour_one_show_nothing() -> None:
    # The exact two-sided p-value of four differences of one sign is 2/2^4 = 0.125; resampling four positive numbers
    # never gives a mean of 0 or less, so that the interval alone would call one better.
    first = {"p1": 0.9, "p2": 0.8, "p3": 0.7, "p4": 0.6}
    (pair,) = compare_models({"a": first, "b": {name: value - 0.1 - value / 50 for name, value in first.items()}})
    assert pair.difference.excludes_zero
    assert pair.p_value == 0.125
    assert pair.better is None
    assert pair.verdict == "no difference shown (4 patients, at least 6 are needed)"
    assert pair.to_json()["better"] is None


def test_the_corrected_p_value_decides() -> None:
    # Six differences of one sign: 2/2^6 = 0.03125 alone, and three times that among three equal pairs.
    base = {str(n): 0.5 + n / 100 for n in range(6)}
    better = {name: value + 0.1 + value / 50 for name, value in base.items()}
    worse = {name: value - 0.1 - value / 50 for name, value in base.items()}
    (alone,) = compare_models({"base": base, "better": better})
    assert (alone.p_holm, alone.better) == (0.03125, "better")
    found = compare_models({"base": base, "better": better, "worse": worse})
    assert [one.p_holm for one in found] == [3 * 0.03125] * 3
    assert [one.verdict for one in found] == [NO_DIFFERENCE] * 3


def test_three_models() -> None:
    generator = np.random.default_rng(1)
    base = {str(patient): float(value) for patient, value in enumerate(generator.random(40))}
    better = {patient: value + 0.05 + generator.normal(0, 0.01) for patient, value in base.items()}
    same = {patient: value + generator.normal(0, 0.01) for patient, value in reversed(base.items())}
    found = compare_models({"base": base, "better": better, "same": same})
    assert [(one.first, one.second, one.verdict) for one in found] == [
        ("base", "better", "better is better"),
        ("base", "same", NO_DIFFERENCE),
        ("better", "same", "better is better"),
    ]
    assert [one.better for one in found] == ["better", None, "better"]
    assert found[0].difference.mean == pytest.approx(-0.05, abs=0.01)
    assert [one.p_holm for one in found] == holm([one.p_value for one in found])
    assert found[0].p_holm < 0.001 < found[1].p_holm


def test_models_with_different_patients_are_not_compared() -> None:
    with pytest.raises(InputError, match="p2 first"):
        compare_models({"a": {"p1": 0.5, "p2": 0.5}, "b": {"p1": 0.5}})

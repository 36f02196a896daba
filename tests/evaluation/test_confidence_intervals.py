"""Bootstrap intervals against a plain loop, and what may not enter a mean."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metseg.errors import InputError
from metseg.evaluation.statistics.confidence_intervals import (
    FEW_PATIENTS,
    Interval,
    bootstrap_bounds,
    bootstrap_intervals,
    bootstrap_mean,
    bootstrap_pooled,
    patient_means,
)


def plain_bootstrap(values: np.ndarray, weights: np.ndarray, resamples: int, seed: int) -> tuple[float, float]:
    generator = np.random.default_rng(seed)
    means = []
    for _ in range(resamples):
        drawn = [int(generator.integers(0, len(values))) for _ in range(len(values))]
        means.append(sum(values[i] * weights[i] for i in drawn) / sum(weights[i] for i in drawn))
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


@pytest.mark.parametrize("weighted", [False, True])
def test_equals_a_plain_loop_with_the_same_draws(weighted: bool) -> None:
    generator = np.random.default_rng(4)
    values = generator.random(13)
    weights = generator.integers(1, 9, 13).astype(float) if weighted else np.ones(13)
    found = bootstrap_mean(list(values), weights=list(weights) if weighted else None, resamples=500, seed=9)
    low, high = plain_bootstrap(values, weights, 500, 9)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert found.mean == pytest.approx(float((values * weights).sum() / weights.sum()))


def test_draws_do_not_depend_on_how_many_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    values = list(np.random.default_rng(0).random(20))
    whole = bootstrap_mean(values, resamples=300)
    monkeypatch.setattr("metseg.evaluation.statistics.confidence_intervals._DRAWS_AT_ONCE", 70)
    assert bootstrap_mean(values, resamples=300) == whole


def test_close_to_the_normal_interval_for_many_patients() -> None:
    values = np.random.default_rng(2).normal(0.8, 0.1, 1000)
    half = 1.96 * values.std() / math.sqrt(1000)
    found = bootstrap_mean(list(values))
    assert found.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_cases_of_one_patient_count_once() -> None:
    grouped = patient_means([("a", 0.0), ("a", 1.0), ("b", 1.0), ("c", None), ("c", 0.5)])
    assert grouped == {"a": 0.5, "b": 1.0, "c": 0.5}


def test_undefined_patients_are_left_out_and_counted() -> None:
    table = {"dice": {"a": 0.2, "b": 0.4}, "hd95_mm": {"a": 3.0, "b": None}, "asd_mm": {"a": None, "b": None}}
    found = bootstrap_intervals(table, resamples=100)
    assert found["asd_mm"] is None
    assert found["hd95_mm"] == Interval(3.0, None, None, patients=1, undefined=1)
    dice = found["dice"]
    assert dice is not None
    assert (dice.mean, dice.patients, dice.undefined) == (pytest.approx(0.3), 2, 0)
    assert list(found) == list(table)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nan_neither_enters_nor_drops_out(bad: float) -> None:
    with pytest.raises(InputError, match="not a finite number"):
        patient_means([("a", 0.5), ("b", bad)])
    with pytest.raises(InputError, match="not a finite number"):
        bootstrap_mean([0.5, bad])


def test_no_patients_and_wrong_weights() -> None:
    with pytest.raises(InputError, match="at least one patient"):
        bootstrap_mean([])
    with pytest.raises(InputError, match="weights"):
        bootstrap_mean([0.5, 0.6], weights=[1.0, 0.0])


def test_one_patient_has_no_interval() -> None:
    assert bootstrap_mean([0.7]) == Interval(0.7, None, None, 1)
    assert not bootstrap_mean([0.7]).excludes_zero


def _share(sums: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return sums[:, :1] / sums[:, 1:]


def test_pooled_equals_a_plain_loop_with_the_same_draws() -> None:
    """Five patients with 3 of 4, 0 of 1, nothing, 2 of 2, 1 of 3: what is drawn is added up, then divided."""
    sums = np.array([[3, 4], [0, 1], [0, 0], [2, 2], [1, 3]], dtype=np.float64)
    (found,) = bootstrap_pooled(sums, _share, having=sums[:, 1:] > 0, resamples=400, seed=3)
    assert found is not None
    generator = np.random.default_rng(3)
    shares = []
    for _ in range(400):
        hits, total = sums[[int(generator.integers(0, 5)) for _ in range(5)]].sum(axis=0)
        shares += [hits / total] if total else []
    low, high = np.percentile(shares, [2.5, 97.5])
    assert found.mean == pytest.approx(0.6)
    assert (found.low, found.high) == (pytest.approx(float(low)), pytest.approx(float(high)))
    assert (found.patients, found.undefined) == (4, 1)


def test_what_one_patient_alone_has_gets_no_interval() -> None:
    sums = np.array([[1, 4], [0, 0], [0, 0]], dtype=np.float64)
    assert bootstrap_pooled(sums, _share, having=sums[:, 1:] > 0) == [Interval(0.25, None, None, 1, undefined=2)]
    assert bootstrap_pooled(sums[:1], _share) == [Interval(0.25, None, None, 1)]
    assert bootstrap_pooled(sums[1:], _share, having=sums[1:, 1:] > 0) == [None]


@pytest.mark.parametrize(("patients", "coverage"), [(5, 0.83), (10, 0.90), (FEW_PATIENTS, 0.93), (60, 0.945)])
def test_how_often_the_interval_holds_the_true_mean(patients: int, coverage: float) -> None:
    """What the docs say of few patients: columns are studies that share their draws, which changes no share."""
    studies = np.random.default_rng(1).normal(0.0, 1.0, (patients, 4000))
    low, high = bootstrap_bounds(studies, None, resamples=600, seed=2)
    assert np.mean((low <= 0) & (high >= 0)) == pytest.approx(coverage, abs=0.015)

"""What every figure of every protocol has to do: be right when perfect, stated when empty, finite always."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metseg.evaluation import METRICS, PROTOCOLS, evaluate_case
from metseg.evaluation.case_scoring import CaseScores

SPACING = (0.5, 1.0, 2.0)
DEFINED = [(protocol, name) for protocol, entry in PROTOCOLS.items() for name in entry.figures]

COUNTS = {name for name, metric in METRICS.items() if metric.whole}
VOLUMES = {name for name, metric in METRICS.items() if metric.better == "neither"}
DISTANCES = {name for name, metric in METRICS.items() if metric.unit == "mm"}
SHARES = set(METRICS) - COUNTS - VOLUMES - DISTANCES


def picture(*places: int) -> np.ndarray:
    """Return enhancing (3) blocks of 4×4×4 at these places along x; class 1 where the scheme has one class."""
    mask = np.zeros((40, 12, 8), dtype=np.uint8)
    for x in places:
        mask[x : x + 4, 4:8, 2:6] = 1
    return mask


def score(protocol: str, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float | None]:
    value = 1 if PROTOCOLS[protocol].scheme == "binary" else 3
    scores: CaseScores = evaluate_case(truth * np.uint8(value), prediction * np.uint8(value), spacing_mm=SPACING, protocol=protocol)  # fmt: skip # noqa: E501
    region = "lesion" if value == 1 else "ET"
    return dict(scores[region].metrics)


def test_every_column_belongs_to_a_protocol_and_every_figure_to_a_column() -> None:
    assert {name for _, name in DEFINED} == set(METRICS)


@pytest.mark.parametrize(("protocol", "name"), DEFINED)
def test_a_perfect_prediction(protocol: str, name: str) -> None:
    truth = picture(2, 20)
    value = score(protocol, truth, truth)[name]
    expected = {"n_tp": 2.0, **dict.fromkeys(VOLUMES, 128.0)}
    assert value == pytest.approx(expected.get(name, 1.0 if name in SHARES else 0.0))


@pytest.mark.parametrize(("protocol", "name"), DEFINED)
@pytest.mark.parametrize("wrong", [picture(3, 20), picture(2), picture(2, 20, 30), picture()])
def test_perfect_is_never_worse_than_wrong(protocol: str, name: str, wrong: np.ndarray) -> None:
    truth = picture(2, 20)
    perfect, other = score(protocol, truth, truth)[name], score(protocol, truth, wrong)[name]
    assert perfect is not None
    assert other is not None
    better = METRICS[name].better
    assert better == "neither" or (perfect >= other if better == "higher" else perfect <= other)


@pytest.mark.parametrize(("protocol", "name"), DEFINED)
def test_every_empty_combination(protocol: str, name: str) -> None:
    """Shares 1 and distances 0 where both are empty; shares 0 and the penalty where one is."""
    full, nothing = picture(20), picture()
    penalty = PROTOCOLS[protocol].penalty(full.shape, SPACING)
    false_share = 1 - 64 / full.size  # what specificity and accuracy are worth with 64 wrong voxels
    by_hand = {
        "specificity": {"both": 1.0, "truth": false_share, "prediction": 1.0},
        "accuracy": {"both": 1.0, "truth": false_share, "prediction": false_share},
        "n_tp": {"both": 0, "truth": 0, "prediction": 0},
        "n_fp": {"both": 0, "truth": 1, "prediction": 0},
        "n_fn": {"both": 0, "truth": 0, "prediction": 1},
        "truth_volume_mm3": {"both": 0, "truth": 0, "prediction": 64.0},
        "predicted_volume_mm3": {"both": 0, "truth": 64.0, "prediction": 0},
    }
    usual = (
        {"both": 0.0, "truth": penalty, "prediction": penalty}
        if name in DISTANCES
        else {"both": 1.0, "truth": 0.0, "prediction": 0.0}
    )
    pairs = {"both": (nothing, nothing), "truth": (nothing, full), "prediction": (full, nothing)}
    for empty, pair in pairs.items():
        assert score(protocol, *pair)[name] == pytest.approx(by_hand.get(name, usual)[empty]), empty


@pytest.mark.parametrize(("protocol", "name"), [pair for pair in DEFINED if METRICS[pair[1]].symmetric])
def test_symmetric_figures(protocol: str, name: str) -> None:
    one, other = picture(2, 20), picture(4, 30)
    assert score(protocol, one, other)[name] == pytest.approx(score(protocol, other, one)[name], abs=1e-12)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_figures_are_finite_and_shares_lie_between_0_and_1(protocol: str) -> None:
    generator = np.random.default_rng(0)
    for density in (0.0, 0.01, 0.5, 1.0):
        truth, prediction = ((generator.random((9, 8, 7)) < density).astype(np.uint8) for _ in range(2))
        values = score(protocol, truth, prediction)
        for name in PROTOCOLS[protocol].figures:
            value = values[name]
            assert value is not None
            assert math.isfinite(value)
            assert name not in SHARES or 0 <= value <= 1


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_a_protocol_does_not_define_is_left_empty(protocol: str) -> None:
    values = score(protocol, picture(2), picture(3))
    undefined = set(METRICS) - set(PROTOCOLS[protocol].figures)
    assert {name for name, value in values.items() if value is None} == undefined

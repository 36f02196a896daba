"""The worst cases are those of the lowest figure; of equal ones, of the largest lesion."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metseg.evaluation import CaseScores
from metseg.reporting.worst_cases import leading_figure, worst_cases

Make = Callable[..., CaseScores]


def cube(size: int, label: int = 1) -> np.ndarray:
    mask = np.zeros((8, 8, 8), np.uint8)
    mask[:size, :size, :size] = label
    return mask


def test_missed_large_lesions_come_before_missed_small_ones_and_exact_ones_are_left_out(make_scores: Make) -> None:
    scores = [
        make_scores("exact", cube(3), cube(3)),
        make_scores("small missed", cube(1), cube(0)),
        make_scores("half", cube(2), cube(3)),
        make_scores("large missed", cube(4), cube(0)),
    ]
    found = worst_cases(scores)
    assert [one.scores.case for one in found] == ["large missed", "small missed", "half"]
    assert [one.value for one in found] == [0, 0, 2 * 8 / (8 + 27)]
    assert [one.scores.case for one in worst_cases(scores, count=1)] == ["large missed"]


def test_the_region_shown_is_the_worst_and_the_rank_is_of_all(make_scores: Make) -> None:
    truth, prediction = cube(4, 1), cube(4, 1)
    truth[:2, :2, :2] = 3  # ET, which the prediction calls NETC: WT and TC are exact
    (worst,) = worst_cases([make_scores("c", truth, prediction, "brats-met-2023")])
    assert worst.region == "ET"
    assert worst.value == 2 / 3


def test_cases_are_ranked_by_what_the_protocol_ranks_by(make_scores: Make) -> None:
    assert leading_figure([make_scores("c", cube(2), cube(2))]) == "dice"
    assert leading_figure([make_scores("c", cube(2), cube(2), "brats-met-2023")]) == "lesionwise_dice"

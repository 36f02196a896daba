"""Several sets of predictions: who is compared on what, and how Holm's correction spans regions."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.errors import InputError
from metseg.evaluation import MaskPair, ScoringConfig, compare_sets, evaluate_masks, holm
from metseg.evaluation.scores import CaseScores

METS = ScoringConfig(scheme="brats-met-2023")


def scores(quality: float, *, patients: int = 8, affine: np.ndarray | None = None) -> list[CaseScores]:
    """Return patients of whom a share of the lesion was found, a little more of each further one."""
    found = []
    for patient in range(patients):
        truth = np.zeros((20, 6, 6), dtype=np.uint8)
        truth[2:12, 1:5, 1:5] = 3
        prediction = truth.copy()
        prediction[: 2 + round(10 * (1 - quality)) - patient % 2] = 0
        found.append(evaluate_masks(MaskPair(truth, prediction, affine, case=f"c{patient}"), METS))
    return found


def test_every_pair_of_sets_on_every_figure_that_all_have() -> None:
    sets = {"good": scores(0.9, patients=12), "poor": scores(0.4, patients=12), "same": scores(0.9, patients=12)}
    found = compare_sets(sets)
    assert {one.metric for one in found} == {"dice", "n_tp", "n_fp"}  # no spacing: nothing in mm
    assert [one.region for one in found if one.metric == "dice"] == ["WT", "TC", "ET"]
    dice = found[0]
    assert (dice.title, dice.patients, dice.undefined) == ("WT, Dice", 12, 0)
    verdicts = {(pair.first, pair.second): pair.better for pair in dice.pairs}
    assert verdicts == {("good", "poor"): "good", ("good", "same"): None, ("poor", "same"): "same"}
    assert dice.to_json()["pairs"][1]["verdict"] == "no difference shown"


def test_fewer_false_lesions_are_better() -> None:
    few = scores(0.9, affine=np.eye(4))
    many = []
    for patient in range(8):
        truth = np.zeros((20, 6, 6), dtype=np.uint8)
        truth[2:12, 1:5, 1:5] = 3
        prediction = truth.copy()
        prediction[15, 1, 1] = prediction[18, 4, 4] = 3
        many.append(evaluate_masks(MaskPair(truth, prediction, np.eye(4), case=f"c{patient}"), METS))
    (false,) = [one for one in compare_sets({"few": few, "many": many}) if (one.metric, one.region) == ("n_fp", "ET")]
    assert false.pairs[0].better == "few"
    assert false.pairs[0].difference.mean == pytest.approx(-2.0)


def test_holm_is_over_regions_and_pairs_of_one_figure() -> None:
    found = compare_sets({"a": scores(0.9), "b": scores(0.4), "c": scores(0.7)}, metrics=("dice",))
    p_values = [pair.p_value for one in found for pair in one.pairs]
    assert len(p_values) == 9
    assert [pair.p_holm for one in found for pair in one.pairs] == pytest.approx(holm(p_values))


def test_what_holms_correction_over_regions_takes_away_is_not_claimed() -> None:
    # Two sets in three equal regions: each p is that of 6 patients of one sign, and Holm takes the smallest times 3.
    few = compare_sets({"good": scores(0.9, patients=6), "poor": scores(0.4, patients=6)}, metrics=("dice",))
    pairs = [one.pairs[0] for one in few]
    assert all(pair.difference.excludes_zero and pair.p_value < 0.05 < pair.p_holm for pair in pairs)
    assert [pair.better for pair in pairs] == [None, None, None]


def test_one_set_has_nothing_to_be_compared_with() -> None:
    assert compare_sets({"alone": scores(0.9)}) == ()


def test_sets_of_different_cases_are_refused() -> None:
    with pytest.raises(InputError, match="c7") as caught:
        compare_sets({"all": scores(0.9), "some": scores(0.9, patients=7)})
    assert caught.value.code == "input.unpaired"

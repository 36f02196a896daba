"""A model beside two readers, by hand: blocks along a line, so that every Dice is a fraction one can see."""

from __future__ import annotations

import numpy as np
import pytest

from metseg.errors import InputError
from metseg.evaluation import MaskPair, compare_with_readers, evaluate_masks
from metseg.evaluation.scores import CaseScores
from metseg.evaluation.statistics.inter_rater import AgainstReaders


def line(start: int, stop: int) -> np.ndarray:
    mask = np.zeros((30, 3, 3), dtype=np.uint8)
    mask[start:stop, 1, 1] = 1
    return mask


def against(truths: list[np.ndarray], predictions: list[np.ndarray]) -> list[CaseScores]:
    pairs = enumerate(zip(truths, predictions, strict=True))
    return [evaluate_masks(MaskPair(truth, guess, np.eye(4), case=f"c{n}")) for n, (truth, guess) in pairs]


FIRST = [line(0, 10), line(5, 15), line(10, 20)]
SECOND = [line(2, 12), line(7, 17), line(12, 22)]  # Dice with the first: 2 · 8 / 20 = 0.8
BETWEEN = [line(1, 11), line(6, 16), line(11, 21)]  # Dice with either: 0.9
ELSEWHERE = [line(8, 18), line(13, 23), line(18, 28)]  # Dice with the first 0.2, with the second 0.4


def test_a_model_between_two_readers_agrees_better_than_they_do() -> None:
    first, second, between, elsewhere = (3 * one for one in (FIRST, SECOND, BETWEEN, ELSEWHERE))
    models = {
        name: AgainstReaders(against(first, guess), against(second, guess))
        for name, guess in (("between", between), ("elsewhere", elsewhere), ("second", second))
    }
    readers = compare_with_readers(against(first, second), models)
    assert (readers.cases, readers.patients) == (9, 9)
    (dice,) = [one for one in readers.agreements if one.metric == "dice"]
    assert dice.readers.mean == pytest.approx(0.8)
    assert dice.models["between"].with_readers.mean == pytest.approx(0.9)
    assert dice.models["between"].difference.mean == pytest.approx(0.1)
    assert dice.models["between"].verdict == "agrees better"
    assert dice.models["elsewhere"].with_first.mean == pytest.approx(0.2)
    assert dice.models["elsewhere"].with_second.mean == pytest.approx(0.4)
    assert dice.models["elsewhere"].verdict == "agrees worse"
    assert dice.models["second"].with_readers.mean == pytest.approx(0.9)  # of itself and of the first
    (distance,) = [one for one in readers.agreements if one.metric == "hd95_mm"]
    # of 11 planes of corners the end one, of 3 % of the area, is 2 mm away, and the next, of 10 %, 1 mm
    assert distance.readers.mean == pytest.approx(1.0)
    assert distance.models["between"].difference.mean == pytest.approx(-1.0)
    assert distance.models["between"].verdict == "agrees better"  # less is better here
    assert readers.to_json()["agreements"][0]["region"] == "lesion"


def test_three_patients_show_nothing() -> None:
    models = {"between": AgainstReaders(against(FIRST, BETWEEN), against(SECOND, BETWEEN))}
    agreements = compare_with_readers(against(FIRST, SECOND), models).agreements
    assert {one.models["between"].verdict for one in agreements} == {
        "no difference shown (3 patients, at least 6 are needed)"
    }


def test_lesions_of_both_and_of_one_alone() -> None:
    first = [line(0, 3) | line(10, 13), line(5, 8)]
    second = [line(1, 4) | line(20, 22) | line(25, 27), line(0, 0)]
    readers = compare_with_readers(against(first, second), {})
    lesions = readers.lesions["lesion"]
    assert (lesions.both, lesions.first_only, lesions.second_only) == (1, 2, 2)


def test_only_what_both_readers_drew_counts_and_models_need_all_of_it() -> None:
    everything = AgainstReaders(against(FIRST, BETWEEN), against(SECOND, BETWEEN))
    some = compare_with_readers(against(FIRST[:2], SECOND[:2]), {"between": everything})
    assert some.cases == 2
    assert some.agreements[0].models["between"].with_readers.patients == 2
    with pytest.raises(InputError, match="c2") as caught:
        compare_with_readers(
            against(FIRST, SECOND),
            {"lacking": AgainstReaders(against(FIRST[:2], BETWEEN[:2]), against(SECOND[:2], BETWEEN[:2]))},
        )
    assert caught.value.code == "input.unpaired"
    with pytest.raises(InputError, match="both readers"):
        compare_with_readers([], {})

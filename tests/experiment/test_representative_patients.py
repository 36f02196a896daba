"""Which patients stand for a model."""

from __future__ import annotations

import numpy as np

from metseg.experiment.representative_patients import best_median_worst, panels
from metseg.training.snapshot import Snapshot


def test_best_median_and_worst() -> None:
    assert best_median_worst({"a": 0.2, "b": 0.9, "c": 0.5, "d": 0.5, "e": 0.1}) == {
        "best": "b",
        "median": "c",
        "worst": "e",
    }
    assert best_median_worst({"a": 0.2, "b": 0.9}) == {"best": "b", "worst": "a"}


def test_of_several_cases_of_a_patient_the_one_with_most_lesion_is_shown() -> None:
    empty = np.zeros((2, 2), bool)
    small, large = (Snapshot("a", np.full((2, 2), voxels), empty, empty, voxels) for voxels in (1, 3))
    other = Snapshot("b", np.zeros((2, 2)), empty, empty, 9)
    first, second = panels([small, other, large], {"a": 0.75, "b": 0.25})
    assert first.title == "best: a\nDice 0.750"
    assert first.picture[0, 0] == 3
    assert second.title == "worst: b\nDice 0.250"

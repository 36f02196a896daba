"""The rules of every protocol are told, with the evaluator's own numbers."""

from __future__ import annotations

import pytest

from metseg.evaluation import ScoringConfig
from metseg.evaluation.empty_masks import EMPTY_VALUES
from metseg.reporting.method_text import KINDS, rules


def test_every_kind_of_figure_has_words() -> None:
    assert set(KINDS) == set(EMPTY_VALUES)


@pytest.mark.parametrize(
    ("protocol", "told"),
    [
        ("voxel", ("at least one of its voxels", "distances (HD95, ASD) the diagonal of the image in mm")),
        ("brats-met-2023", ("after 1 dilation ", "at most 2 mm³", "374 mm", "The label 4 is not scored")),
        ("brats-met-2024", ("truth and prediction alike", "at most 2 voxels", "diagonal of the image in voxels")),
        ("brats-gli-2023", ("after 3 dilations", "at most 50 mm³")),
    ],
)
def test_a_protocol_is_told_by_its_numbers(protocol: str, told: tuple[str, ...]) -> None:
    text = " ".join(rules(ScoringConfig(protocol)))
    assert all(words in text for words in told)
    assert "overlap (Dice, IoU) 1, surface overlap (NSD) 1, distances (HD95, ASD) 0." in text

"""Every empty combination of every kind of figure."""

from __future__ import annotations

import pytest

from metseg.evaluation.empty_masks import Emptiness, Kind, empty_mask_value

EXPECTED = {
    (Kind.OVERLAP, Emptiness.BOTH): 1.0,
    (Kind.OVERLAP, Emptiness.TRUTH): 0.0,
    (Kind.OVERLAP, Emptiness.PREDICTION): 0.0,
    (Kind.SURFACE_OVERLAP, Emptiness.BOTH): 1.0,
    (Kind.SURFACE_OVERLAP, Emptiness.TRUTH): 0.0,
    (Kind.SURFACE_OVERLAP, Emptiness.PREDICTION): 0.0,
    (Kind.DISTANCE, Emptiness.BOTH): 0.0,
    (Kind.DISTANCE, Emptiness.TRUTH): 374.0,
    (Kind.DISTANCE, Emptiness.PREDICTION): 374.0,
}


@pytest.mark.parametrize(("kind", "emptiness"), EXPECTED)
def test_settled_values(kind: Kind, emptiness: Emptiness) -> None:
    assert empty_mask_value(kind, emptiness, penalty=374.0) == EXPECTED[kind, emptiness]


@pytest.mark.parametrize("kind", Kind)
def test_nothing_is_settled_where_both_hold_something(kind: Kind) -> None:
    assert empty_mask_value(kind, Emptiness.NEITHER, penalty=1.0) is None


def test_no_distance_without_a_penalty() -> None:
    with pytest.raises(ValueError, match="penalty"):
        empty_mask_value(Kind.DISTANCE, Emptiness.PREDICTION)


def test_emptiness_of_sizes() -> None:
    found = [Emptiness.of(truth, predicted) for truth in (0, 3) for predicted in (0, 2.5)]
    assert found == [Emptiness.BOTH, Emptiness.TRUTH, Emptiness.PREDICTION, Emptiness.NEITHER]

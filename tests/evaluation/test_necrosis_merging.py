"""ET pieces around one necrosis, by hand along a line."""

from __future__ import annotations

import numpy as np

from metseg.evaluation.lesions.lesion_matching import MatchRule, NumberedLesions, truth_lesions
from metseg.evaluation.lesions.necrosis_merging import merge_around_necrosis

RULE = MatchRule(dilations=1)


def lesions(*positions: int) -> NumberedLesions:
    mask = np.zeros((40, 3, 3), dtype=bool)
    mask[list(positions), 1, 1] = True
    return truth_lesions(mask, RULE)


def numbers(found: NumberedLesions) -> dict[int, int]:
    """Return position -> lesion number."""
    return {int(x): int(found.ids[x, 1, 1]) for x in np.flatnonzero(found.ids[:, 1, 1])}


def test_pieces_on_both_sides_of_a_core_are_one() -> None:
    pieces, core = lesions(5, 10, 20), lesions(6, 7, 8, 9)
    assert numbers(pieces) == {5: 1, 10: 2, 20: 3}
    assert numbers(merge_around_necrosis(pieces, core)) == {5: 1, 10: 1, 20: 2}


def test_neighbours_touch_and_one_voxel_between_parts_them() -> None:
    near = merge_around_necrosis(lesions(4, 10), lesions(5, 6, 7, 8, 9))
    assert numbers(near) == {4: 1, 10: 1}
    far = merge_around_necrosis(lesions(3, 11), lesions(5, 6, 7, 8, 9))
    assert numbers(far) == {3: 1, 11: 2}


def test_a_single_touching_pair_changes_nothing() -> None:
    pieces = lesions(5, 20)
    assert merge_around_necrosis(pieces, lesions(6)) is pieces
    assert merge_around_necrosis(pieces, lesions()) is pieces


def test_the_lowest_numbered_core_wins_and_it_is_not_transitive() -> None:
    """The middle piece touches both cores and goes with the first; the last touches the second only and stays alone."""
    cores = lesions(5, 6, 7, 8, 9, 13, 14, 15)
    assert numbers(cores) == {5: 1, 6: 1, 7: 1, 8: 1, 9: 1, 13: 2, 14: 2, 15: 2}
    pieces = lesions(4, 10, 11, 12, 16)
    assert numbers(pieces) == {4: 1, 10: 2, 11: 2, 12: 2, 16: 3}
    assert numbers(merge_around_necrosis(pieces, cores)) == {4: 1, 10: 1, 11: 1, 12: 1, 16: 2}


def test_pieces_at_different_cores_stay_apart() -> None:
    assert numbers(merge_around_necrosis(lesions(4, 16), lesions(5, 15))) == {4: 1, 16: 2}

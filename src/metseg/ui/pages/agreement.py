"""Agreement of two results on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from metseg.schemas import State, Study, StudySummary
from metseg.ui.theme import BOTH, FIRST_ONLY, SECOND_ONLY
from metseg.ui.viewer.components import Mask, connected_pieces
from metseg.ui.viewer.plane_drawing import Layer


@dataclass(frozen=True)
class Agreement:
    """Comparison of two masks.

    Args:
        dice: 2 |A and B| / (|A| + |B|); None if both are empty.
        both: number of voxels or pixels in both.
        first_only: number in the first only.
        second_only: number in the second only.
        lesions_first: connected components of the first that do not overlap the second.
        lesions_second: connected components of the second that do not overlap the first.
    """

    dice: float | None
    both: int
    first_only: int
    second_only: int
    lesions_first: int
    lesions_second: int


def compare_masks(first: Mask, second: Mask) -> Agreement:
    """Compare two masks on the same grid."""
    both = int(np.count_nonzero(first & second))
    sizes = int(np.count_nonzero(first)), int(np.count_nonzero(second))
    total = sum(sizes)
    return Agreement(
        dice=2 * both / total if total else None,
        both=both,
        first_only=sizes[0] - both,
        second_only=sizes[1] - both,
        lesions_first=_alone(first, second),
        lesions_second=_alone(second, first),
    )


def _alone(mask: Mask, other: Mask) -> int:
    """Return how many connected components of a mask do not overlap another mask."""
    pieces, count = connected_pieces(mask)
    return count - len(np.unique(pieces[mask & other]))


def difference_layers(first: Mask, second: Mask) -> list[Layer]:
    """Return layers for the overlap of two masks and for the parts in only one of them."""
    return [
        Layer(first & second, BOTH),
        Layer(first & ~second, FIRST_ONLY),
        Layer(second & ~first, SECOND_ONLY),
    ]


def most_different(first: Mask, second: Mask, axis: int) -> int:
    """Return the slice in which two masks differ most; for equal masks, the slice with the most lesion.

    Args:
        first, second: masks of the same shape.
        axis: axis of the slices.
    """
    others = tuple(place for place in range(first.ndim) if place != axis)
    differing = np.count_nonzero(first != second, axis=others)
    chosen = differing if differing.any() else np.count_nonzero(first, axis=others)
    return int(chosen.argmax()) if chosen.any() else first.shape[axis] // 2


#: Maximum number of studies that are requested to find one of the same images, newest first.
LOOKED_AT: Final = 12


def worth_asking(study: Study, others: Sequence[StudySummary]) -> list[str]:
    """Return the ids of studies that may have the same images and another model, newest first."""
    fitting = (
        other.id
        for other in others
        if other.id != study.id
        and other.state == State.DONE
        and other.kind == study.kind
        and other.model != study.options.model
    )
    return [study_id for study_id, _ in zip(fitting, range(LOOKED_AT), strict=False)]


def same_images(first: Study, second: Study) -> bool:
    """Return whether two studies have the same files and the same shape."""
    same_files = sorted(file.sha256 for file in first.inputs) == sorted(file.sha256 for file in second.inputs)
    return same_files and first.facts.shape == second.facts.shape and first.facts.slices == second.facts.slices

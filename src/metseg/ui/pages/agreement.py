"""Where two results of the same images agree, and where they do not."""

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
    """How two masks compare.

    Args:
        dice: 2 |A and B| / (|A| + |B|); None where both are empty, for there is nothing to agree on.
        both: voxels or pixels in both.
        first_only: in the first alone.
        second_only: in the second alone.
        lesions_first: pieces of the first that touch nothing of the second.
        lesions_second: pieces of the second that touch nothing of the first.
    """

    dice: float | None
    both: int
    first_only: int
    second_only: int
    lesions_first: int
    lesions_second: int


def compare_masks(first: Mask, second: Mask) -> Agreement:
    """Return how two masks on one grid compare."""
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
    """Return how many pieces of a mask touch nothing of another."""
    pieces, count = connected_pieces(mask)
    return count - len(np.unique(pieces[mask & other]))


def difference_layers(first: Mask, second: Mask) -> list[Layer]:
    """Return what to draw for where two masks agree, and where only one of them is."""
    return [
        Layer(first & second, BOTH),
        Layer(first & ~second, FIRST_ONLY),
        Layer(second & ~first, SECOND_ONLY),
    ]


def most_different(first: Mask, second: Mask, axis: int) -> int:
    """Return the slice in which two masks differ most; where they are equal, that with the most lesion.

    Args:
        first, second: of one shape.
        axis: across which slices are counted.
    """
    others = tuple(place for place in range(first.ndim) if place != axis)
    differing = np.count_nonzero(first != second, axis=others)
    chosen = differing if differing.any() else np.count_nonzero(first, axis=others)
    return int(chosen.argmax()) if chosen.any() else first.shape[axis] // 2


#: How many studies at most are looked at for a partner; the list gives the newest first.
LOOKED_AT: Final = 12


def worth_asking(study: Study, others: Sequence[StudySummary]) -> list[str]:
    """Return the ids of studies that may be of the same images by another model, newest first."""
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
    """Return whether two studies were made of the same files, and lie on one grid."""
    same_files = sorted(file.sha256 for file in first.inputs) == sorted(file.sha256 for file in second.inputs)
    return same_files and first.facts.shape == second.facts.shape and first.facts.slices == second.facts.slices

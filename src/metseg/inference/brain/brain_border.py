"""Lesions at the border of a brain mask that metseg made: the mask may have cut off a part of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from metseg.inference.lesion_table import InstanceMap
from metseg.message_text import examples_text
from metseg.preprocess.prepared_case import Record
from metseg.preprocess.steps.align import brain_mask_on_reference
from metseg.volume import BRAIN_MASK, Case


def border_warnings(case: Case, instances: InstanceMap, records: Sequence[Record]) -> tuple[str, ...]:
    """Return a sentence that names the lesions at the border of a brain mask that did not come with the case, if any.

    Args:
        case: with its brain mask.
        instances: (X, Y, Z) `Lesion.id` at each voxel on the grid of the reference; 0: background.
        records: of the prepared case; they say how the mask was moved with its image.
    """
    brain = made_brain_mask(case, records) if instances.any() else None
    numbers = [] if brain is None else lesions_at_border(instances, brain)
    if not numbers:
        return ()
    if len(numbers) == 1:
        return (f"lesion {numbers[0]} touches the border of the brain mask: check it",)
    return (f"lesions {examples_text(numbers)} touch the border of the brain mask: check them",)


def made_brain_mask(case: Case, records: Sequence[Record]) -> npt.NDArray[np.bool_] | None:
    """Return (X, Y, Z) bool on the grid of the reference: the brain mask that metseg made; None where it made none.

    Args:
        case: with its brain mask.
        records: of the prepared case.
    """
    if case.brain_mask_record is None:
        return None
    aligned = next((record for record in records if record.step == "align"), None)
    mask = case.images[BRAIN_MASK] if aligned is None else brain_mask_on_reference(case, aligned)
    return np.asarray(mask.data, dtype=np.float32) > 0.5


def lesions_at_border(instances: InstanceMap, brain: npt.NDArray[np.bool_]) -> list[int]:
    """Return the `Lesion.id` of each lesion with a voxel outside a brain mask, or next to one by a face.

    The faces of the volume are no border: what lies beyond them was not imaged.

    >>> instances = np.zeros((7, 7, 7), np.uint16); instances[3, 3, 3], instances[1:3, 5, 5] = 2, 1
    >>> brain = np.zeros((7, 7, 7), bool); brain[1:6, 1:6, 1:6] = True
    >>> lesions_at_border(instances, brain)
    [1]
    """
    inner = ndimage.binary_erosion(brain, border_value=1)
    return [int(number) for number in np.unique(instances[~inner]) if number]

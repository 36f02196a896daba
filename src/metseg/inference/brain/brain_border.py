"""Lesions at the border of a brain mask that metseg made: the mask may have cut off a part of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from metseg.measure import label_instances, lesion_voxels
from metseg.message_text import examples_text
from metseg.preprocess.prepared_case import Record
from metseg.preprocess.steps.align import brain_mask_on_reference
from metseg.volume import BRAIN_MASK, Case


def border_warnings(case: Case, labels: npt.NDArray[np.uint8], records: Sequence[Record]) -> tuple[str, ...]:
    """Return a sentence that names the lesions at the border of a brain mask that did not come with the case, if any.

    Args:
        case: with its brain mask.
        labels: (X, Y, Z) class ids on the grid of the reference.
        records: of the prepared case; they say how the mask was moved with its image.
    """
    brain = made_brain_mask(case, records) if labels.any() else None
    numbers = [] if brain is None else lesions_at_border(labels, brain)
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


def lesions_at_border(labels: npt.NDArray[np.uint8], brain: npt.NDArray[np.bool_]) -> list[int]:
    """Return the `Lesion.id` of each lesion with a voxel outside a brain mask, or next to one by a face.

    The faces of the volume are no border: what lies beyond them was not imaged.

    >>> labels = np.zeros((7, 7, 7), np.uint8); labels[3, 3, 3] = labels[1:3, 5, 5] = 1
    >>> brain = np.zeros((7, 7, 7), bool); brain[1:6, 1:6, 1:6] = True
    >>> lesions_at_border(labels, brain)
    [1]
    """
    instances, count = label_instances(labels)
    inner = ndimage.binary_erosion(brain, border_value=1)
    touching = np.unique(instances[(instances > 0) & ~inner])
    ids = np.zeros(count + 1, dtype=np.intp)
    ids[1 + np.argsort(-lesion_voxels(instances), kind="stable")] = np.arange(1, count + 1)
    return sorted(int(ids[number]) for number in touching)

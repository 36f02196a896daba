"""From lesion probabilities to the mask that is handed out: threshold, holes, smallest size."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_fill_holes

from metseg.labels import LabelScheme
from metseg.measure import label_instances
from metseg.recipe import PredictPart


def labels_from_probabilities(
    probabilities: npt.NDArray[np.floating], scheme: LabelScheme, part: PredictPart, *, slicewise: bool
) -> npt.NDArray[np.uint8]:
    """Return the mask of class ids.

    Args:
        probabilities: (K, X, Y, Z); K = 1 for one class, else background first.
        scheme: names the class ids.
        part: threshold, holes, smallest size.
        slicewise: pieces are looked at slice by slice (pictures) and not through the volume.
    Returns:
        (X, Y, Z) uint8.
    """
    if probabilities.shape[0] == 1:
        indices = (probabilities[0] >= part.threshold).astype(np.uint8)
    else:
        lesion = probabilities[1:].sum(axis=0) >= part.threshold
        indices = np.where(lesion, probabilities[1:].argmax(axis=0) + 1, 0).astype(np.uint8)
    labels = scheme.from_indices(indices)
    if part.fill_holes:
        labels = _filled(labels, slicewise)
    if part.minimum_voxels > 1:
        labels = _without_small(labels, part.minimum_voxels, slicewise)
    return labels


def lesion_probability(probabilities: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Return (X, Y, Z) the probability of any lesion class from (K, X, Y, Z)."""
    lesion = probabilities if probabilities.shape[0] == 1 else probabilities[1:]
    return np.asarray(lesion.sum(axis=0), dtype=np.float32)


def _without_small(labels: npt.NDArray[np.uint8], minimum: int, slicewise: bool) -> npt.NDArray[np.uint8]:
    numbered, _ = label_instances(labels, across_slices=not slicewise)
    large = np.bincount(numbered.ravel()) >= minimum
    large[0] = False
    return np.where(large[numbered], labels, 0).astype(np.uint8)


def _filled(labels: npt.NDArray[np.uint8], slicewise: bool) -> npt.NDArray[np.uint8]:
    """Give holes in the lesion the lesion's most frequent class."""
    present = labels[labels > 0]
    if not present.size:
        return labels
    mask = labels > 0
    if slicewise:
        solid = np.stack([binary_fill_holes(mask[:, :, z]) for z in range(mask.shape[2])], axis=2)
    else:
        solid = binary_fill_holes(mask)
    most_frequent = np.bincount(present).argmax().astype(np.uint8)
    return np.where(solid & ~mask, most_frequent, labels).astype(np.uint8)

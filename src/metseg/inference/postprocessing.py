"""Postprocessing of a mask: fill holes, remove small pieces, keep one lesion only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_fill_holes

from metseg.measure import label_instances, voxels_needed
from metseg.recipe import PredictPart


def clean_labels(
    labels: npt.NDArray[np.uint8], part: PredictPart, *, slicewise: bool, voxel_mm3: float | None = None
) -> npt.NDArray[np.uint8]:
    """Return the mask with holes filled and unwanted pieces removed, as far as that is asked for.

    Args:
        labels: (X, Y, Z) class ids.
        part: holes, smallest size, whether one piece only is kept.
        slicewise: holes and small pieces are looked at slice by slice (pictures) and not through the volume.
        voxel_mm3: volume of a voxel; None: the images have no spacing, and a smallest volume removes nothing.
    """
    if part.fill_holes:
        labels = _filled(labels, slicewise)
    minimum = part.minimum_voxels
    if voxel_mm3 is not None:
        minimum = max(minimum, voxels_needed(part.minimum_mm3, voxel_mm3))
    if minimum > 1:
        labels = _without_small(labels, minimum, slicewise)
    if part.keep_largest:
        labels = _largest(labels)
    return labels


def _without_small(labels: npt.NDArray[np.uint8], minimum: int, slicewise: bool) -> npt.NDArray[np.uint8]:
    numbered, _ = label_instances(labels, across_slices=not slicewise)
    large = np.bincount(numbered.ravel()) >= minimum
    large[0] = False
    return np.where(large[numbered], labels, 0).astype(np.uint8)


def _largest(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Keep the largest piece, through all slices: of equal ones the first."""
    numbered, _ = label_instances(labels, across_slices=True)
    sizes = np.bincount(numbered.ravel())
    sizes[0] = 0
    return np.where((numbered == sizes.argmax()) & (numbered > 0), labels, 0).astype(np.uint8)


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

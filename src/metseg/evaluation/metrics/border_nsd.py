"""Surface agreement counted on border voxels, as in the script of BraTS-METS 2024.

A border voxel has at least one of its six neighbours outside (medpy's surface, connectivity 1). The result differs from
`metseg.evaluation.metrics.surface_distance.surface_dice`, which weighs by area; the protocol defines which of them a
column contains.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metseg.evaluation.empty_masks import Emptiness, Kind, empty_mask_value
from metseg.evaluation.metrics.nearest_neighbours import nearest_points
from metseg.evaluation.metrics.surface_distance import Spacing, within
from metseg.measure import bounding_box


def border_voxels(mask: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    """Return the positions, (N, 3), of the voxels that have a face neighbour outside; the image's edge is outside."""
    box = bounding_box(mask)
    if box is None:
        return np.zeros((0, 3), dtype=np.int64)
    inside = mask[box] != 0
    padded = np.pad(inside, 1)
    core = inside.copy()
    for axis in range(3):
        for start in (0, 2):
            window = [slice(1, -1)] * 3
            window[axis] = slice(start, start + inside.shape[axis])
            core &= padded[tuple(window)]
    return np.asarray(np.argwhere(inside & ~core) + [side.start for side in box], dtype=np.int64)


def border_dice(
    truth: npt.NDArray[np.generic], prediction: npt.NDArray[np.generic], spacing_mm: Spacing, tolerance_mm: float
) -> float:
    """Return the mean, over both masks, of the share of border voxels within the tolerance of the other's border.

    Args:
        truth: (X, Y, Z); nonzero voxels are inside.
        prediction: (X, Y, Z).
        spacing_mm: voxel size along the three axes.
        tolerance_mm: border voxels within this distance agree.
    """
    of_truth, of_prediction = border_voxels(truth), border_voxels(prediction)
    decided = empty_mask_value(Kind.SURFACE_OVERLAP, Emptiness.of(len(of_truth), len(of_prediction)))
    if decided is not None:
        return decided
    there = within(nearest_points(of_truth, of_prediction, spacing_mm)[0], tolerance_mm)
    back = within(nearest_points(of_prediction, of_truth, spacing_mm)[0], tolerance_mm)
    return float(there.mean() + back.mean()) / 2

"""Uncertainty of a prediction: how far the predictions of networks and mirror images differ from one another.

With k predictions (networks times mirror images), the map is the standard deviation of their probabilities of lesion,
and the range of a lesion's volume goes from the smallest to the largest of the k masks. Neither is calibrated: the
range is no confidence interval, and predictions that agree can be wrong together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor

from metseg.geometry import spacing_mm
from metseg.inference.lesion_table import InstanceMap
from metseg.inference.postprocessing import clean_labels
from metseg.lesion import Lesion
from metseg.measure import MM3_PER_ML, label_instances, label_regions, voxel_volume_mm3
from metseg.measure.boxes import bounding_box
from metseg.preprocess.pipeline import restore
from metseg.preprocess.prepared_case import Record
from metseg.recipe import PredictPart

Mask = npt.NDArray[np.bool_]


class MemberMaps:
    """The probability of lesion of each prediction on the prepared grid, in half precision: 2 k bytes a voxel.

    Args:
        members: k, the number of predictions.
        grid: (X, Y, Z) of the prepared images.
        records: of the preparation.
    """

    def __init__(self, members: int, grid: Sequence[int], records: Sequence[Record]) -> None:
        self._maps = np.zeros((members, *grid), dtype=np.float16)
        self._records = records

    def put(self, lesion: Tensor, *, axis: int, start: int) -> None:
        """Take in probabilities (k, x, y, z) that begin at ``start`` of one of the axes and fill the others."""
        place = [slice(None)] * 3
        place[axis] = slice(start, start + lesion.shape[1 + axis])
        torch.from_numpy(self._maps[(slice(None), *place)]).copy_(lesion)

    def restored(self) -> Iterator[npt.NDArray[np.float32]]:
        """Yield the map of each prediction, (X, Y, Z) float32, on the grid of the case as it was read."""
        for member in self._maps:
            yield np.asarray(restore(member[None].astype(np.float32), self._records)[0])


@dataclass(frozen=True)
class Spread:
    """How far k predictions differ.

    Args:
        deviation: (X, Y, Z) float32, standard deviation of the k probabilities of lesion, 0 to 0.5.
        masks: (X, Y, Z) bool, the lesion in each prediction.
    """

    deviation: npt.NDArray[np.float32]
    masks: tuple[Mask, ...]


def spread_of(maps: MemberMaps, part: PredictPart, *, slicewise: bool) -> Spread:
    """Return the spread of predictions on the grid of the case.

    Args:
        maps: of the predictions.
        part: threshold, and whether holes are filled. Small pieces stay: the lesions of the mean are measured alone.
        slicewise: pictures.
    """
    plain = part.model_copy(update={"minimum_voxels": 0, "minimum_mm3": 0.0, "keep_largest": False})
    total, squares, masks = None, None, []
    for lesion in maps.restored():
        mask = (lesion >= part.threshold).astype(np.uint8)
        masks.append(clean_labels(mask, plain, slicewise=slicewise) > 0)
        total = lesion.copy() if total is None else total + lesion
        squares = np.square(lesion) if squares is None else squares + np.square(lesion)
    assert total is not None
    assert squares is not None
    variance = squares / len(masks) - np.square(total / len(masks))
    return Spread(np.sqrt(np.clip(variance, 0, 0.25)).astype(np.float32), tuple(masks))


def with_ranges(
    lesions: Sequence[Lesion],
    instances: InstanceMap,
    spread: Spread,
    affine: npt.NDArray[np.float64] | None,
    *,
    slicewise: bool,
    gaps: Sequence[bool] = (),
) -> tuple[Lesion, ...]:
    """Return lesions with the range of their sizes over the predictions.

    The size of a lesion in a prediction is that of the connected pieces that overlap the lesion. A piece that overlaps
    several lesions is divided among them: each of its voxels belongs to the nearest. A prediction without the lesion
    counts as 0.

    Args:
        lesions: of the mean prediction.
        instances: (X, Y, Z) the id of the lesion at each voxel; 0: background.
        spread: of the predictions.
        affine: (4, 4) voxel-to-RAS, mm; None: sizes in voxels only.
        slicewise: pictures: pieces of neighbouring slices that overlap are connected.
        gaps: as `metseg.volume.Case.slice_gaps`.
    """
    spacing = (1.0, 1.0, 1.0) if affine is None else spacing_mm(affine)
    sizes = np.stack([
        _sizes_in(label_regions(mask, gaps)[0] if slicewise else label_instances(mask)[0], instances, spacing)
        for mask in spread.masks
    ])  # fmt: skip
    voxel_ml = None if affine is None else voxel_volume_mm3(affine) / MM3_PER_ML
    return tuple(_with_range(lesion, sizes[:, lesion.id], voxel_ml) for lesion in lesions)


def _with_range(lesion: Lesion, sizes: npt.NDArray[np.int64], voxel_ml: float | None) -> Lesion:
    low, high = int(sizes.min()), int(sizes.max())
    return lesion.model_copy(
        update={
            "voxels_range": (low, high),
            "volume_ml_range": None if voxel_ml is None else (round(low * voxel_ml, 4), round(high * voxel_ml, 4)),
            "range_predictions": len(sizes),
        }
    )


def _sizes_in(
    pieces: npt.NDArray[np.uint32], instances: InstanceMap, spacing: Sequence[float]
) -> npt.NDArray[np.int64]:
    """Return the number of voxels that each lesion, by id, has in the pieces of a prediction."""
    sizes = np.zeros(int(instances.max(initial=0)) + 1, dtype=np.int64)
    both = (pieces > 0) & (instances > 0)
    pairs = np.unique(np.column_stack([pieces[both], instances[both]]), axis=0)
    voxels = np.bincount(pieces.ravel())
    for piece in np.unique(pairs[:, 0]):
        ids = pairs[pairs[:, 0] == piece, 1]
        if len(ids) == 1:
            sizes[ids[0]] += voxels[piece]
        else:
            sizes += np.bincount(_nearest_ids(pieces == piece, instances, ids, spacing), minlength=len(sizes))
    sizes[0] = 0
    return sizes


def _nearest_ids(
    piece: Mask, instances: InstanceMap, ids: npt.NDArray[np.integer], spacing: Sequence[float]
) -> npt.NDArray[np.integer]:
    """Return the id of the lesion nearest to each voxel of a piece."""
    lesions = np.where(np.isin(instances, ids), instances, 0)
    box = bounding_box(piece | (lesions > 0))
    assert box is not None  # the piece overlaps lesions
    nearest = ndimage.distance_transform_edt(lesions[box] == 0, spacing, return_distances=False, return_indices=True)
    found: npt.NDArray[np.integer] = lesions[box][tuple(nearest)][piece[box]]
    return found

"""Labels on another grid than the phantom's, computed from the tissue shares of the images and not from its labels.

As in the phantom, a core consists of the voxels with the largest shares of it; their number is given by its volume and
is at least one. So volumes are correct to half a voxel in thick slices too, and no lesion is lost.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from metseg.simulation.lesions.lesion_shapes import ET, EVERY_NEIGHBOUR, NETC, SNFH, LesionMaps
from metseg.simulation.scanner.grid_resampling import Box, Placement

FloatArray = npt.NDArray[np.float32]
ByteArray = npt.NDArray[np.uint8]
BoolArray = npt.NDArray[np.bool_]


def voxelise(maps: LesionMaps, placement: Placement) -> tuple[ByteArray, ByteArray]:
    """Return the labels and the instances on another grid.

    A voxel of a core is NETC where at least half of what it holds of the tumour is; SNFH is where at least half of a
    voxel is lesion without being core.

    Args:
        maps: the lesions on the phantom's grid.
        placement: of the other grid.
    Returns:
        Two arrays of the placement's shape; a lesion outside it is left out.
    """
    labels, instances = (np.zeros(placement.shape, dtype=np.uint8) for _ in range(2))
    cores = np.where(maps.core >= 0.5, maps.instances, 0).astype(np.uint8)
    sizes = np.bincount(cores.ravel())
    # The smallest last: where two want one voxel, the larger one can do without.
    for number in sorted(np.flatnonzero(sizes[1:]) + 1, key=lambda number: -sizes[number]):
        _add_core(labels, instances, maps=maps, cores=cores, number=int(number), placement=placement)
    _add_oedema(labels, instances, maps=maps, placement=placement)
    return labels, instances


def _add_core(
    labels: ByteArray,
    instances: ByteArray,
    *,
    maps: LesionMaps,
    cores: ByteArray,
    number: int,
    placement: Placement,
) -> None:
    """Add one core to the new arrays, in place."""
    old = _box_around(cores == number, 2)
    own = ndimage.binary_dilation(cores[old] == number, EVERY_NEIGHBOUR) & np.isin(cores[old], (0, number))
    shares = np.where(own, maps.core[old], 0)
    new = placement.seen_from(old)
    if _is_empty(new):
        return
    part = placement.within(new).out_of(old)
    share = part.share(shares)
    dead = part.share(np.where(maps.labels[old] == NETC, shares, 0))
    count = max(1, round(int((cores[old] == number).sum()) / placement.old_voxels))
    chosen = largest(share, count)
    labels[new][chosen] = np.where(dead >= 0.5 * share, NETC, ET)[chosen]
    instances[new][chosen] = number


def largest(share: FloatArray, count: int) -> BoolArray:
    """Return where the ``count`` largest values are that are not 0.

    >>> largest(np.array([0.0, 0.3, 0.9, 0.4], dtype=np.float32), 2)
    array([False, False,  True,  True])
    """
    order = np.argsort(-share, axis=None, kind="stable")[:count]
    chosen = np.zeros(share.size, dtype=bool)
    chosen[order] = True
    return chosen.reshape(share.shape) & (share > 0)


def _add_oedema(labels: ByteArray, instances: ByteArray, *, maps: LesionMaps, placement: Placement) -> None:
    if not (maps.labels == SNFH).any():
        return
    old = _box_around(maps.labels > 0, 3)
    new = placement.seen_from(old)
    if _is_empty(new):
        return
    part = placement.within(new).out_of(old)
    share = part.share((maps.labels[old] > 0).astype(np.float32))
    # Beyond its border a lesion goes on: the centre of a voxel may lie beside the half that is lesion.
    nearest = ndimage.distance_transform_edt(maps.instances[old] == 0, return_distances=False, return_indices=True)
    owner = part.nearest(maps.instances[old][tuple(nearest)])
    swollen = (share >= 0.5) & (labels[new] == 0) & np.isin(owner, np.unique(instances)[1:])
    labels[new][swollen] = SNFH
    instances[new][swollen] = owner[swollen]


def _is_empty(box: Box) -> bool:
    return any(side.stop <= side.start for side in box)


def _box_around(mask: BoolArray, margin: int) -> Box:
    """Return the bounding box of a mask that is not empty, with a margin."""
    x, y, z = (
        slice(max(0, side.start - margin), min(size, side.stop + margin))
        for side, size in zip(ndimage.find_objects(mask.astype(np.uint8))[0], mask.shape, strict=True)
    )
    return x, y, z

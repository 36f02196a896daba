"""The oedema around a metastasis: a front that runs along white matter."""

from __future__ import annotations

from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from metseg.random_fields import smooth_field
from metseg.simulation.anatomy.normal_anatomy import Grid
from metseg.simulation.lesions.lesion_shapes import SNFH, LesionMaps
from metseg.simulation.patient import SimulatedLesion

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
Box = tuple[slice, slice, slice]

#: Oedema is worked out on voxels of at least about this size: it has no finer detail, and takes an eighth of the time.
OEDEMA_GRID_MM = 2.0

#: How fast oedema spreads in white matter, grey matter and anything else, relative to white matter.
SPEED_WHITE, SPEED_GREY, SPEED_OTHER = 1.0, 0.10, 0.03

#: Millimetres over which oedema fades.
OEDEMA_EDGE_MM = 2.5

#: Cortex swells less than white matter: the most that oedema can be of a voxel of grey matter.
OEDEMA_IN_GREY = 0.3

#: How strong oedema is beside the core and where it ends, as a share of the signal of pure oedema.
OEDEMA_NEAR, OEDEMA_FAR = 0.95, 0.65


def add_oedema(
    maps: LesionMaps,
    lesion: SimulatedLesion,
    *,
    grid: Grid,
    white: FloatArray,
    grey: FloatArray,
    rng: np.random.Generator,
) -> None:
    """Draw a lesion's oedema into the maps, in place, after all cores are there.

    Oedema reaches as far as a front gets that starts at the core and runs fast through white matter, slowly through
    grey, hardly through anything else (the eikonal equation |grad T| = 1 / speed, in millimetres of white matter).

    Args:
        maps: changed; holds the lesion's core.
        lesion: has the oedema.
        grid: of the patient.
        white, grey: (X, Y, Z) tissue shares of the patient.
        rng: for the ragged front.
    """
    if lesion.oedema_mm == 0:
        return
    step = max(1, round(OEDEMA_GRID_MM / grid.spacing_mm))
    box = _box_of(maps.instances == lesion.lesion_id, (lesion.oedema_mm + 4) / grid.spacing_mm, step)
    white_share, grey_share = _block_mean(white[box], step), _block_mean(grey[box], step)
    ragged = np.exp(0.3 * smooth_field(white_share.shape, scale_voxels=8.0 / (step * grid.spacing_mm), rng=rng))
    slowness = 1 / (ragged * (SPEED_WHITE * white_share + SPEED_GREY * grey_share + SPEED_OTHER))
    own = (maps.instances[box] == lesion.lesion_id) & (maps.core[box] >= 0.5)
    source = _block_mean(own.astype(np.float32), step) > 0.2
    time = travel_time(
        source, slowness.astype(np.float32), spacing=step * grid.spacing_mm, limit=lesion.oedema_mm + OEDEMA_EDGE_MM
    )
    time = _refined(time, step, own.shape)
    share = np.clip(0.5 + (lesion.oedema_mm - time) / OEDEMA_EDGE_MM, 0, 1)
    share *= np.clip(white[box] + OEDEMA_IN_GREY * grey[box], 0, 1)
    labelled = (share >= 0.5) & (maps.core[box] < 0.5) & (maps.labels[box] == 0)
    strength = OEDEMA_FAR + (OEDEMA_NEAR - OEDEMA_FAR) * np.exp(-time / (0.5 * lesion.oedema_mm))
    np.maximum(maps.oedema[box], share * strength, out=maps.oedema[box])
    maps.labels[box][labelled] = SNFH
    maps.instances[box][labelled] = lesion.lesion_id


def _refined(coarse: FloatArray, step: int, shape: tuple[int, ...]) -> FloatArray:
    """Return means over blocks of ``step`` voxels, linearly between their centres, on the fine grid."""
    if step == 1:
        return coarse
    # Coarse voxel k is the mean of fine voxels step * k ... step * k + step - 1: its centre lies between them.
    axes = [(np.arange(size) - (step - 1) / 2) / step for size in shape]
    coordinates = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    return np.asarray(ndimage.map_coordinates(coarse, coordinates, order=1, mode="nearest"), dtype=np.float32)


def _box_of(mask: BoolArray, margin: float, step: int) -> Box:
    """Return the bounding box of a mask with a margin in voxels, its sides multiples of ``step``."""
    found = []
    for axis in range(3):
        hit = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        start = max(0, int(hit[0] - margin))
        stop = min(mask.shape[axis], int(hit[-1] + margin) + 2)
        found.append(slice(start, stop - (stop - start) % step))
    return found[0], found[1], found[2]


def _block_mean(image: FloatArray, step: int) -> FloatArray:
    """Return the mean over blocks of ``step`` voxels along each axis.

    >>> _block_mean(np.arange(8, dtype=np.float32).reshape(2, 2, 2), 2)
    array([[[3.5]]], dtype=float32)
    """
    x, y, z = (size // step for size in image.shape)
    return np.asarray(image.reshape(x, step, y, step, z, step).mean(axis=(1, 3, 5)), dtype=np.float32)


def travel_time(source: BoolArray, slowness: FloatArray, *, spacing: float, limit: float) -> FloatArray:
    """Return the least cost of a path from a source to each voxel over its 26 neighbours.

    Args:
        source: (X, Y, Z) where the front starts.
        slowness: (X, Y, Z) cost of one mm; a step costs its length times the mean of its two ends.
        spacing: edge of a voxel in mm.
        limit: what costs more need not be right; it is at least this.
    Returns:
        (X, Y, Z) float32, 0 in the source.

    >>> travel_time(np.arange(4).reshape(4, 1, 1) == 0, np.ones((4, 1, 1), np.float32), spacing=2.0, limit=9.0).ravel()
    array([0., 2., 4., 6.], dtype=float32)
    """
    time = np.where(source, 0, np.float32(1e6)).astype(np.float32)
    steps = [
        (_pair(offset, time.shape), 0.5 * spacing * float(np.linalg.norm(offset)))
        for offset in product((-1, 0, 1), repeat=3)
        if any(offset)
    ]
    costs = [((slowness[there] + slowness[here]) * np.float32(length)) for (here, there), length in steps]
    for _ in range(int(np.ceil(limit / spacing)) * 3):
        before = time.copy()
        for ((here, there), _), cost in zip(steps, costs, strict=True):
            np.minimum(time[here], time[there] + cost, out=time[here])
        if (
            np.array_equal(before[before < limit], time[before < limit])
            and (time < limit).sum() == (before < limit).sum()
        ):
            break
    return time


def _pair(offset: tuple[int, ...], shape: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return two views of an array that are shifted against each other by an offset."""
    here = tuple(slice(max(0, -step), size - max(0, step)) for step, size in zip(offset, shape, strict=True))
    there = tuple(slice(max(0, step), size - max(0, -step)) for step, size in zip(offset, shape, strict=True))
    return here, there

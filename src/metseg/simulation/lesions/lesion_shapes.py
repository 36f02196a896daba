"""Metastases as voxels: the core and its necrosis. The labels are exact by construction.

Every part is a share of the voxel in 0..1 that falls off over one voxel at the part's surface; the label is set where
that share is at least one half. So image and label derive from the same number and cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from metseg.random_fields import smooth_field
from metseg.simulation.anatomy.deformation import box_around
from metseg.simulation.anatomy.normal_anatomy import Grid
from metseg.simulation.patient import SimulatedLesion

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]
Box = tuple[slice, slice, slice]

NETC, SNFH, ET = 1, 2, 3

#: Of a lobe, in radii of the lesion: how far its middle lies from the lesion's, its own radius, and `_Lobe.hardness`.
LOBE_OFFSET, LOBE_RADIUS, LOBE_HARDNESS = (0.6, 1.0), (0.4, 0.75), (-0.1, 0.5)

EVERY_NEIGHBOUR = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True)
class LesionMaps:
    """Everything lesions add to a head; each is (X, Y, Z).

    Args:
        core: share of tumour, necrosis included.
        necrosis: share of the core that is necrotic.
        fluidity: of the necrosis, 0 dead tissue to 1 water.
        uptake: how strongly the living tumour takes contrast agent up, 0..1.
        oedema: share of each voxel that has the signal of pure oedema.
        labels: 0, NETC 1, SNFH 2, ET 3.
        instances: the lesion each labelled voxel belongs to, 1..N.
    """

    core: FloatArray
    necrosis: FloatArray
    fluidity: FloatArray
    uptake: FloatArray
    oedema: FloatArray
    labels: npt.NDArray[np.uint8]
    instances: npt.NDArray[np.uint8]

    @classmethod
    def empty(cls, shape: tuple[int, int, int]) -> LesionMaps:
        core, necrosis, fluidity, uptake, oedema = (np.zeros(shape, dtype=np.float32) for _ in range(5))
        labels, instances = (np.zeros(shape, dtype=np.uint8) for _ in range(2))
        return cls(core, necrosis, fluidity, uptake, oedema, labels, instances)


def add_core(
    maps: LesionMaps,
    lesion: SimulatedLesion,
    centre: npt.NDArray[np.float64],
    *,
    grid: Grid,
    hull_mm: FloatArray,
    rng: np.random.Generator,
) -> None:
    """Draw a lesion's core into the maps, in place.

    The core is the N voxels that lie deepest in its dented lobes, or the least outside, N being the wished-for volume
    in voxels (at least one), outside the skull's reach and a voxel away from every other core.

    Args:
        maps: changed.
        lesion: what to draw.
        centre: (3,) in voxels of the patient.
        grid: of the patient.
        hull_mm: (X, Y, Z) signed distance from the brain's outline.
        rng: for the shape.
    """
    radius = lesion.diameter_mm / 2
    box = _box_of_core(radius, centre, grid)
    # Drawn first: what is drawn for the dents depends on where the lesion lies to the voxel.
    slope = _slope_to_one_side(lesion, rng)
    lobes = _lobes(lesion, rng)
    distance, hardness = _dented_distance(lesion, lobes, centre, box, grid=grid, rng=rng)
    taken = ndimage.binary_dilation(maps.core[box] >= 0.5, EVERY_NEIGHBOUR)
    allowed = (hull_mm[box] < -0.5 * grid.spacing_mm) & ~taken
    count = max(1, round(4 / 3 * np.pi * radius**3 / grid.spacing_mm**3))
    core, level = _nearest(distance, allowed, count)
    share = np.where(allowed, np.clip(0.5 + (level - distance) / grid.spacing_mm, 0, 1), 0)
    share = np.where(core, share, np.minimum(share, 0.49)).astype(np.float32)
    depth = distance + hardness + _plane(slope, centre, box, grid=grid)
    necrosis, necrotic = _necrosis(lesion, depth, core, grid=grid, rng=rng)
    np.maximum(maps.core[box], share, out=maps.core[box])
    maps.necrosis[box][share > 0] = necrosis[share > 0]
    maps.fluidity[box][share > 0] = lesion.fluidity
    mottle = smooth_field(core.shape, scale_voxels=max(2.0, 0.35 * radius / grid.spacing_mm), rng=rng)
    maps.uptake[box][share > 0] = np.clip(lesion.uptake * (1 + lesion.patchiness * mottle), 0.05, 1)[share > 0]
    maps.labels[box][core] = np.where(necrotic, NETC, ET)[core]
    maps.instances[box][core] = lesion.lesion_id


@dataclass(frozen=True)
class _Lobe:
    """One lobe of a lesion, lengths in radii of the lesion: the harder, the less of the necrosis lies in it."""

    centre: tuple[float, float, float]
    radius: float
    hardness: float


def _lobes(lesion: SimulatedLesion, rng: np.random.Generator) -> list[_Lobe]:
    """Return the lesion's first lobe, in its middle, and those that have grown out of it."""
    lobes = [_Lobe((0.0, 0.0, 0.0), 1.0, 0.0)]
    for _ in range(lesion.lobes):
        direction = rng.standard_normal(3)
        x, y, z = direction / np.linalg.norm(direction) * rng.uniform(*LOBE_OFFSET)
        lobes.append(_Lobe((x, y, z), rng.uniform(*LOBE_RADIUS), rng.uniform(*LOBE_HARDNESS)))
    return lobes


def _dented_distance(
    lesion: SimulatedLesion,
    lobes: list[_Lobe],
    centre: npt.NDArray[np.float64],
    box: Box,
    *,
    grid: Grid,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Return the distance from the lesion's ideal surface in mm, an ellipsoid or several with smooth dents.

    Returns:
        The distance, and how much less deep each voxel counts than it is, since its lobe is a solid one.
    """
    radius = lesion.diameter_mm / 2
    stretch = np.exp(rng.normal(0, 0.09, 3))
    axes = [
        (np.arange(side.start, side.stop) - middle) * grid.spacing_mm * factor
        for side, middle, factor in zip(box, centre, stretch / np.cbrt(stretch.prod()), strict=True)
    ]
    x, y, z = np.meshgrid(*axes, indexing="ij", sparse=True)
    dents = _dents(lesion, centre, box, grid=grid, rng=rng)
    nearest = np.full(dents.shape, np.inf, dtype=np.float32)
    hardness = np.zeros(dents.shape, dtype=np.float32)
    for lobe in lobes:
        away = [axis - radius * middle for axis, middle in zip((x, y, z), lobe.centre, strict=True)]
        distance = np.sqrt(away[0] ** 2 + away[1] ** 2 + away[2] ** 2) - radius * lobe.radius
        hardness[distance < nearest] = radius * lobe.hardness
        np.minimum(nearest, distance, out=nearest)
    return np.asarray(nearest - radius * lesion.irregularity * dents, dtype=np.float32), hardness


def _dents(
    lesion: SimulatedLesion, centre: npt.NDArray[np.float64], box: Box, *, grid: Grid, rng: np.random.Generator
) -> FloatArray:
    """Return the dents of a lesion in a box: those of its first examination, as much larger as the lesion is."""
    drawn = _box_of_core(lesion.drawn_mm / 2, centre, grid)
    scale = max(1.5, 0.8 * lesion.drawn_mm / 2 / grid.spacing_mm)
    dents = smooth_field([side.stop - side.start for side in drawn], scale_voxels=scale, rng=rng)
    if lesion.drawn_mm == lesion.diameter_mm:
        return dents
    smaller = lesion.drawn_mm / lesion.diameter_mm
    axes = [
        (np.arange(side.start, side.stop) - middle) * smaller + middle - first.start
        for side, middle, first in zip(box, centre, drawn, strict=True)
    ]
    coordinates = np.stack(np.meshgrid(*axes, indexing="ij"))
    return np.asarray(ndimage.map_coordinates(dents, coordinates, order=1, mode="nearest"), dtype=np.float32)


def _box_of_core(radius_mm: float, centre: npt.NDArray[np.float64], grid: Grid) -> Box:
    return box_around(centre, (1.7 * radius_mm + 3 * grid.spacing_mm) / grid.spacing_mm, grid.shape)


def _nearest(distance: FloatArray, allowed: BoolArray, count: int) -> tuple[BoolArray, float]:
    """Return the ``count`` allowed voxels of least distance, in one piece, and the distance of the last one."""
    values = distance[allowed]
    count = min(count, values.size)
    level = float(np.partition(values, count - 1)[count - 1])
    chosen = allowed & (distance <= level)
    pieces, found = ndimage.label(chosen, EVERY_NEIGHBOUR)
    if found > 1:
        chosen = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    return chosen, level


def _slope_to_one_side(lesion: SimulatedLesion, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return by how much the depth of a necrosis rises with each mm along the axes, (3,)."""
    direction = rng.standard_normal(3)
    return np.asarray(lesion.eccentricity * direction / np.linalg.norm(direction), dtype=np.float64)


def _plane(slope: npt.NDArray[np.float64], centre: npt.NDArray[np.float64], box: Box, *, grid: Grid) -> FloatArray:
    """Return heights in mm that are 0 at the centre and rise evenly."""
    x, y, z = (
        (np.arange(side.start, side.stop) - middle) * grid.spacing_mm * rise
        for side, middle, rise in zip(box, centre, slope, strict=True)
    )
    return np.asarray(x[:, None, None] + y[:, None] + z, dtype=np.float32)


def _necrosis(
    lesion: SimulatedLesion, depth: FloatArray, core: BoolArray, *, grid: Grid, rng: np.random.Generator
) -> tuple[FloatArray, BoolArray]:
    """Return the necrotic share of the core and the voxels labelled so: its faces touch the core only."""
    inner = ndimage.binary_erosion(core)
    count = min(round(lesion.necrotic_share * int(core.sum())), int(inner.sum()))
    if count == 0:
        return np.zeros(core.shape, dtype=np.float32), np.zeros(core.shape, dtype=bool)
    radius = lesion.diameter_mm / 2
    ragged = smooth_field(core.shape, scale_voxels=max(2.0, 0.5 * radius / grid.spacing_mm), rng=rng)
    depth = depth + np.float32(0.14 * radius) * ragged
    level = float(np.partition(depth[inner], count - 1)[count - 1])
    necrotic = inner & (depth <= level)
    share = np.clip(0.5 + (level - depth) / grid.spacing_mm, 0, 1)
    return np.where(necrotic, share, np.minimum(share, 0.3)).astype(np.float32), necrotic

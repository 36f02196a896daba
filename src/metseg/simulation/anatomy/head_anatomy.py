"""Anatomy around the brain: dura and its folds, skull, scalp, face and eyes, as shares of each voxel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from metseg.random_fields import smooth_field
from metseg.simulation.anatomy.normal_anatomy import Grid, ellipsoid_mm
from metseg.simulation.patient import Patient, Point

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

#: How far from tissue skull-stripping still takes fluid for a part of the brain.
SULCUS_MM = 2

#: Fluid between brain and dura, in mm: narrowest, and added by full atrophy.
SUBARACHNOID_MM = (0.4, 1.8)
DURA_MM, BONE_MM, SKIN_MM, FAT_MM = 0.9, 6.5, 1.8, 3.6

#: Ellipsoids in MNI mm, mirrored in x: centre and half axes.
EYE: tuple[Point, Point] = ((33.0, 59.0, -40.0), (12.0, 12.0, 12.0))
LENS: tuple[Point, Point] = ((33.5, 69.0, -40.0), (4.5, 2.2, 4.5))
ORBIT: tuple[Point, Point] = ((29.0, 47.0, -40.0), (17.0, 29.0, 17.0))
AIR: tuple[tuple[Point, Point], ...] = (
    ((5.0, 46.0, -46.0), (6.5, 24.0, 15.0)),  # ethmoid cells and nasal cavity
    ((7.0, 14.0, -40.0), (8.0, 11.0, 9.0)),  # sphenoid sinus
    ((29.0, 49.0, -68.0), (12.0, 16.0, 12.0)),  # maxillary sinus
    ((10.0, 78.0, -8.0), (9.0, 4.0, 9.0)),  # frontal sinus
)


def subarachnoid_mm(patient: Patient) -> float:
    """Return how far fluid reaches beyond the outline of the brain."""
    return SUBARACHNOID_MM[0] + SUBARACHNOID_MM[1] * patient.atrophy


@dataclass(frozen=True)
class Place:
    """Where a patient's voxels lie.

    Args:
        grid: of the patient.
        coordinates: (3, X, Y, Z) where each voxel lies in the average head, voxels.
        hull_mm: (X, Y, Z) signed distance from the brain's outline.
    """

    grid: Grid
    coordinates: FloatArray
    hull_mm: FloatArray

    def template_mm(self, where: BoolArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the MNI coordinates of the N voxels of a mask."""
        x, y, z = (
            axis[where] * np.float32(self.grid.spacing_mm) + np.float32(start)
            for axis, start in zip(self.coordinates, self.grid.origin_mm, strict=True)
        )
        return x, y, z


def dura_share(patient: Patient, place: Place, *, fluid: FloatArray) -> FloatArray:
    """Return the share of dura: a thin shell around the brain, patchy as it looks on MRI, the falx and the tentorium.

    Args:
        patient: has the dura.
        place: where the voxels lie.
        fluid: (X, Y, Z) share of fluid: the folds lie in fissures and never cut tissue.
    Returns:
        (X, Y, Z) float32 in 0..1.
    """
    grid, start = place.grid, subarachnoid_mm(patient)
    field = smooth_field(grid.shape, scale_voxels=12 / grid.spacing_mm, rng=patient.stream("dura"))
    where = (place.hull_mm < start + DURA_MM + grid.spacing_mm) & (
        (fluid > 0.1) | (place.hull_mm > start - grid.spacing_mm)
    )
    hull, patches = place.hull_mm[where], field[where]
    x, y, z = place.template_mm(where)
    shell = _layer(hull, start, start + DURA_MM, grid)
    callosum = np.hypot((y + 22) / 52, (z - 4) / 36)
    falx = _layer(np.abs(x), -1.0, 0.6, grid) * _rise(20 * callosum.astype(np.float32) - 20) * _rise(z + 6)
    height = z + 0.42 * np.abs(x) + 8 + 0.12 * (y + 50)
    tentorium = _layer(np.abs(height), -1.0, 0.6, grid) * _rise(-y - 38)
    folds = np.maximum(falx, tentorium) * _rise(2.2 * fluid[where] - 0.2)
    share = np.zeros(grid.shape, dtype=np.float32)
    share[where] = np.maximum(
        shell * np.clip(0.65 + 0.3 * patches, 0.15, 1), folds * np.clip(0.6 + 0.25 * patches, 0.1, 0.9)
    )
    return share


def outer_shares(patient: Patient, place: Place, head_mm: FloatArray, *, vessel: FloatArray) -> dict[str, FloatArray]:
    """Return the shares of bone, marrow, fat, muscle, skin and eye; they add up to at most 1 outside the dura.

    Args:
        patient: has the head.
        place: where the voxels lie.
        head_mm: (X, Y, Z) signed distance from the skin.
        vessel: (X, Y, Z) share of vessel, which runs through the bone here and there.
    Returns:
        Tissue to (X, Y, Z) float32 in 0..1.
    """
    grid, dura = place.grid, subarachnoid_mm(patient) + DURA_MM
    rng = patient.stream("skull")
    slow = smooth_field(grid.shape, scale_voxels=35 / grid.spacing_mm, rng=rng)
    fine = smooth_field(grid.shape, scale_voxels=5 / grid.spacing_mm, rng=rng)
    where = (place.hull_mm > dura - grid.spacing_mm) & (head_mm < grid.spacing_mm)
    template = place.template_mm(where)
    depth = place.hull_mm[where] - np.float32(dura)
    found = _layers(depth, head_mm[where], template[2], slow=slow[where], fine=fine[where], grid=grid)
    _carve_face(found, depth, template, ragged=2.0 * fine[where], grid=grid)
    shares = {}
    for name, values in found.items():
        shares[name] = np.zeros(grid.shape, dtype=np.float32)
        shares[name][where] = values * (1 - vessel[where])
    return shares


def _layers(
    depth: FloatArray, head_mm: FloatArray, z_mm: FloatArray, *, slow: FloatArray, fine: FloatArray, grid: Grid
) -> dict[str, FloatArray]:
    """Return the layers from the skull outwards, all arguments and results (N,).

    Args:
        depth: outwards from the dura, mm.
        head_mm: signed distance from the skin.
        z_mm: height in the average head.
        slow, fine: smooth fields for the thickness of the layers and what is patchy in them.
        grid: of the patient.
    """
    thickness = np.float32(BONE_MM) * np.exp(np.float32(0.14) * slow)
    within = _step(-head_mm, grid)
    skull = _step(depth, grid) * _step(thickness - depth, grid) * within
    beyond = _step(depth - thickness, grid) * within
    # Diploe: marrow between two tables of compact bone, patchy, and less at the base of the skull.
    marrow = skull * _step(depth - 0.28 * thickness, grid) * _step(0.74 * thickness - depth, grid)
    marrow *= (0.4 + 0.6 * _rise((z_mm + np.float32(22)) / np.float32(6))) * np.clip(0.62 + 0.22 * fine, 0, 1)
    skin = beyond * _step(head_mm + SKIN_MM, grid)
    fat = np.maximum(beyond * _step(head_mm + SKIN_MM + FAT_MM * np.exp(0.3 * slow), grid) - skin, 0)
    deep = np.maximum(beyond - fat - skin, 0)
    lobules = np.clip(0.25 + 0.2 * fine, 0, 0.8)
    return {
        "bone": skull - marrow,
        "marrow": marrow,
        "fat": fat * np.clip(0.88 + 0.08 * fine, 0, 1) + deep * lobules,
        "muscle": deep * (1 - lobules),
        "skin": skin,
        "eye": np.zeros_like(skin),
    }


def _carve_face(
    shares: dict[str, FloatArray],
    depth: FloatArray,
    template: tuple[FloatArray, FloatArray, FloatArray],
    *,
    ragged: FloatArray,
    grid: Grid,
) -> None:
    """Put orbits, eyes and air into the face, in place; ``ragged`` is how far the walls of the sinuses stray, mm."""
    face = np.flatnonzero((template[2] < 12) & (template[1] > -10))
    x, y, z = (axis[face] for axis in template)
    free = _step(depth[face] - 2.0, grid)
    lining = 1 - shares["skin"][face]
    _replace(shares, face, "fat", _step(-ellipsoid_mm((x, y, z), *ORBIT), grid) * free * lining)
    _replace(shares, face, "eye", _step(-ellipsoid_mm((x, y, z), *EYE), grid) * free)
    _replace(shares, face, "muscle", _step(-ellipsoid_mm((x, y, z), *LENS), grid) * free)
    for centre, half_axes in AIR:
        wall = ellipsoid_mm((x, y, z), centre, half_axes) + ragged[face]
        _replace(shares, face, None, _step(-wall, grid) * free * lining)


def _replace(shares: dict[str, FloatArray], part: npt.NDArray[np.intp], name: str | None, share: FloatArray) -> None:
    """Give a share of the voxels to one tissue (None: air) at the others' cost, in place."""
    for tissue in shares.values():
        tissue[part] *= 1 - share
    if name is not None:
        shares[name][part] += share


def _step(depth_mm: FloatArray, grid: Grid) -> FloatArray:
    """Return the share of a voxel behind a surface, from the depth of its centre."""
    share = depth_mm * np.float32(1 / grid.spacing_mm)
    share += np.float32(0.5)
    return np.asarray(np.clip(share, 0, 1, out=share), dtype=np.float32)


def _layer(depth_mm: FloatArray, start: float, stop: float, grid: Grid) -> FloatArray:
    """Return the share of a voxel within a layer; thin layers fill a part of each voxel."""
    return _step(depth_mm - np.float32(start), grid) - _step(depth_mm - np.float32(stop), grid)


def _rise(value: FloatArray) -> FloatArray:
    """Return 0 below, 1 above, with a linear ramp between 0 and 1."""
    return np.asarray(np.clip(value, 0, 1), dtype=np.float32)


def brain_mask(hull_mm: FloatArray, tissue: FloatArray, grid: Grid, *, rim_mm: float) -> BoolArray:
    """Return what a skull-stripping program keeps: the brain, its fissures and a rim.

    Args:
        hull_mm: (X, Y, Z) signed distance from the brain's outline.
        tissue: (X, Y, Z) share of grey and white matter.
        grid: of the patient.
        rim_mm: how far beyond the outline: the more, the more dura and sinuses are left.
    """
    reach = max(1, round((SULCUS_MM + round(rim_mm)) / grid.spacing_mm))
    near = ndimage.maximum_filter(tissue > 0.25, size=2 * reach + 1)
    return np.asarray((hull_mm < rim_mm) & (near | (hull_mm < -4)))

"""Deformation from a patient to the average head: size, tilt, smooth warp, wider ventricles, displaced tissue."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from metseg.random_fields import elastic_displacement
from metseg.simulation.anatomy.normal_anatomy import Anatomy, Grid
from metseg.simulation.patient import Patient, SimulatedLesion

FloatArray = npt.NDArray[np.float32]

#: (amplitude, distance of nodes) of the random warps in mm: the shape of the head, and the course of the gyri.
HEAD_WARP_MM, GYRI_WARP_MM = (2.6, 55.0), (1.5, 14.0)

#: Where the lateral ventricles are, and how far the patient's own width of them reaches.
VENTRICLE_CENTRE_MM, VENTRICLE_REACH_MM = (0.0, -18.0, 14.0), (22.0, 45.0, 22.0)

#: How much a lesion pushes its surroundings away, as a share of its radius.
MASS_EFFECT = 0.45


def anatomy_coordinates(patient: Patient, anatomy: Anatomy) -> FloatArray:
    """Return for each voxel of the patient where it lies in the average head.

    Returns:
        (3, X, Y, Z) voxel coordinates on the same grid.
    """
    grid = anatomy.grid
    linear, offset = _affine(patient, grid)
    x, y, z = (np.arange(size, dtype=np.float32) for size in grid.shape)
    coordinates = np.zeros((3, *grid.shape), dtype=np.float32)
    for axis in range(3):
        row = linear[axis].astype(np.float32)
        coordinates[axis] = (row[0] * x + np.float32(offset[axis]))[:, None, None]
        coordinates[axis] += (row[1] * y)[:, None] + row[2] * z
    rng = patient.stream("warp")
    coordinates += _warp(HEAD_WARP_MM, grid, rng)
    # Gyri wander, the skull does not: the fine warp fades out at the outline of the brain.
    coordinates += _warp(GYRI_WARP_MM, grid, rng) * np.clip((3 - anatomy.hull_mm) / 10, 0, 1)
    _widen_ventricles(coordinates, patient, grid)
    return coordinates


def _warp(amplitude_and_scale_mm: tuple[float, float], grid: Grid, rng: np.random.Generator) -> FloatArray:
    amplitude, scale = (length / grid.spacing_mm for length in amplitude_and_scale_mm)
    return elastic_displacement(grid.shape, amplitude_voxels=amplitude, scale_voxels=scale, rng=rng)


def _affine(patient: Patient, grid: Grid) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the matrix and offset from patient voxels to template voxels: about the middle of the brain."""
    linear = np.diag(1 / np.asarray(patient.size))
    for axis, angle in enumerate(patient.tilt_rad):
        first, second = (axis + 1) % 3, (axis + 2) % 3
        rotation = np.eye(3)
        rotation[[first, first, second, second], [first, second, first, second]] = (
            np.cos(angle),
            -np.sin(angle),
            np.sin(angle),
            np.cos(angle),
        )
        linear = linear @ rotation
    middle = grid.to_voxel((0.0, -18.0, 5.0))
    return linear, middle - linear @ (middle + np.asarray(patient.shift_mm) / grid.spacing_mm)


def _widen_ventricles(coordinates: FloatArray, patient: Patient, grid: Grid) -> None:
    """Pull the coordinates towards the midline near the ventricles, in place: what lies there is seen wider."""
    bell = np.float32(1.0)
    for axis, (middle, reach) in enumerate(zip(VENTRICLE_CENTRE_MM, VENTRICLE_REACH_MM, strict=True)):
        distance = (grid.axes_mm()[axis] - middle) / reach
        bell = bell * np.exp(-(distance**2))
    middle_x = np.float32(grid.to_voxel(VENTRICLE_CENTRE_MM)[0])
    coordinates[0] -= np.float32(patient.ventricles) * bell * (coordinates[0] - middle_x)


def to_patient(points: npt.NDArray[np.float64], coordinates: FloatArray) -> npt.NDArray[np.float64]:
    """Return where points of the average head lie in the patient: the inverse map, by fixed-point iteration.

    Args:
        points: (N, 3) voxel coordinates in the average head.
        coordinates: (3, X, Y, Z) the map from the patient to the average head.
    Returns:
        (N, 3) voxel coordinates in the patient, to about a tenth of a voxel.
    """
    found = points.copy()
    for _ in range(8):
        seen = [ndimage.map_coordinates(axis, found.T, order=1, mode="nearest") for axis in coordinates]
        found += points - np.stack(seen, axis=-1)
    return found


def push_aside(coordinates: FloatArray, centre: npt.NDArray[np.float64], lesion: SimulatedLesion, grid: Grid) -> None:
    """Let a lesion displace the tissue around it, in place.

    Args:
        coordinates: (3, X, Y, Z) the map from the patient to the average head.
        centre: (3,) of the lesion in the patient, voxels.
        lesion: how large it is.
        grid: of both.
    """
    radius = lesion.diameter_mm / 2 / grid.spacing_mm
    box = box_around(centre, 3.5 * radius, grid.shape)
    offsets = [
        (np.arange(side.start, side.stop) - middle).astype(np.float32) for side, middle in zip(box, centre, strict=True)
    ]
    dx, dy, dz = np.meshgrid(*offsets, indexing="ij")
    weight = np.float32(MASS_EFFECT) * np.exp(-(dx**2 + dy**2 + dz**2) / np.float32((1.3 * radius) ** 2))
    for axis, distance in enumerate((dx, dy, dz)):
        coordinates[axis][box] -= weight * distance


def box_around(
    centre: npt.NDArray[np.float64], reach: float, shape: tuple[int, int, int]
) -> tuple[slice, slice, slice]:
    """Return the part of the grid within ``reach`` voxels of a point, along each axis.

    >>> box_around(np.array([1.0, 5.0, 9.0]), 2.0, (10, 10, 10))
    (slice(0, 4, None), slice(3, 8, None), slice(7, 10, None))
    """
    x, y, z = (
        slice(max(0, int(np.ceil(middle - reach))), min(size, int(np.floor(middle + reach)) + 1))
        for middle, size in zip(centre, shape, strict=True)
    )
    return x, y, z

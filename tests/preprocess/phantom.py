"""A head defined for every point in space, so that what it looks like on any grid is known without resampling."""

from __future__ import annotations

import numpy as np

from metseg.geometry import Grid
from metseg.volume import Volume

RADII_MM = np.array([60.0, 78.0, 56.0])
LESION_MM, LESION_RADIUS_MM = np.array([22.0, 18.0, 12.0]), 13.0


def rotation(x: float = 0, y: float = 0, z: float = 0, shift_mm: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
    """(4, 4): turns about the three axes by degrees, one after the other, then a shift."""
    out = np.eye(4)
    for axis, degrees in enumerate((x, y, z)):
        a, (i, j) = np.radians(degrees), [other for other in range(3) if other != axis]
        turned = np.eye(4)
        turned[i, i] = turned[j, j] = np.cos(a)
        turned[i, j], turned[j, i] = -np.sin(a), np.sin(a)
        out = turned @ out
    out[:3, 3] = shift_mm
    return out


def grid(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], tilt: np.ndarray | None = None) -> Grid:
    """A grid about the origin."""
    affine = np.diag([*spacing_mm, 1.0])
    affine[:3, 3] = -(np.array(shape) - 1) / 2 * spacing_mm
    return Grid(shape, affine if tilt is None else tilt @ affine)


def points_mm(where: Grid) -> np.ndarray:
    """(X, Y, Z, 3)"""
    index = np.moveaxis(np.indices(where.shape), 0, -1)
    return index @ where.affine[:3, :3].T + where.affine[:3, 3]


def inside(where: Grid, scale: float = 1.0) -> np.ndarray:
    return (((points_mm(where) / RADII_MM) ** 2).sum(axis=-1) < scale**2).astype(bool)


def lesion(where: Grid) -> np.ndarray:
    return np.linalg.norm(points_mm(where) - LESION_MM, axis=-1) < LESION_RADIUS_MM


def sequence(where: Grid, name: str, *, noise: float = 0.0) -> Volume:
    """A head whose tissue is dark in one sequence where it is bright in the other; air is 0, or noise."""
    x, y, z = np.moveaxis(points_mm(where), -1, 0)
    tissue = np.cos(x / 13 + 0.5) * np.cos(y / 15) + np.sin(z / 12 + x / 40)
    value = {"t1c": 300 + 90 * tissue, "t2f": 420 - 110 * np.sin(tissue), "t2w": 200 + 60 * tissue**2}[name]
    value = value + (250 if name != "t2w" else 150) * lesion(where)
    rim = inside(where) & ~inside(where, 0.92)
    shown = np.where(rim, 550 if name == "t2f" else 150, value) * inside(where)
    if noise:
        shown = np.abs(shown + np.random.default_rng(len(name)).normal(0, noise, where.shape))
    return Volume(shown.astype(np.float32), where.affine)

"""Rigid motion of the head in the scanner, as matrices on RAS millimetres."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial.transform import Rotation

Matrix = npt.NDArray[np.float64]

#: About which point heads turn: the middle of the brain.
PIVOT_MM = (0.0, -18.0, 5.0)

#: Draws beyond this many standard deviations are cut: a head holder lets no head go further.
MOST_DEVIATIONS = 2.0


def rigid_matrix(tilt_deg: npt.ArrayLike, shift_mm: npt.ArrayLike, *, about_mm: npt.ArrayLike = PIVOT_MM) -> Matrix:
    """Return ``p -> R (p - c) + c + t`` as a (4, 4) matrix.

    Args:
        tilt_deg: (3,) rotation about the fixed axes x, then y, then z.
        shift_mm: (3,) ``t``.
        about_mm: (3,) ``c``.

    >>> rigid_matrix((0, 0, 90), (1, 0, 0), about_mm=(0, 0, 0)).round(6)[:2].tolist()
    [[0.0, -1.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]]
    """
    centre = np.asarray(about_mm, dtype=np.float64)
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", np.asarray(tilt_deg, dtype=np.float64), degrees=True).as_matrix()
    matrix[:3, 3] = centre + np.asarray(shift_mm, dtype=np.float64) - matrix[:3, :3] @ centre
    return matrix


def draw_rigid(rng: np.random.Generator, *, shift_mm: float, tilt_deg: float) -> Matrix:
    """Return a random rigid move; both arguments are standard deviations along or about each axis."""
    tilt, shift = np.clip(rng.normal(0, 1, (2, 3)), -MOST_DEVIATIONS, MOST_DEVIATIONS)
    return rigid_matrix(tilt_deg * tilt, shift_mm * shift)

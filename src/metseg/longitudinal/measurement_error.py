"""Error of the size of one lesion: how much it differs if the same lesion is measured again.

Two sources are known. Both are computed or measured, none is assumed:

- **The grid.** A lesion that lies a fraction of a voxel elsewhere consists of other voxels. This is simulated: an
  ellipsoid of the lesion's volume is placed at random positions on its grid and measured each time, as lesions are.
- **The outline.** A model, or a reader, outlines the same lesion a little differently each time. By how much is unknown
  unless the caller gives it.

The larger of the two counts: what was measured on images includes their grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from metseg.longitudinal.measured_lesion import MeasuredLesion
from metseg.longitudinal.repeatability import Repeatability
from metseg.measure import axial_size

#: Number of standard deviations that 95 % of a normal distribution lie within.
TWO_SIDED_95 = 1.96

#: Positions and angles of the simulated ellipsoid, and their seed.
PLACEMENTS, SEED = 48, 20

#: Long axis of the ellipsoid relative to the two others. A sphere would have a longest diameter in every direction, and
#: so a smaller error than any real lesion.
ELONGATION = 1.25

#: Radius up to which it is simulated, in voxels; for larger lesions the error of this one is an upper bound.
LARGEST_VOXELS = 10.0

#: Radii are simulated on a grid of this ratio, and the error is that of the smaller one: it is the larger error.
RADIUS_RATIO = 1.1


class GridError(NamedTuple):
    """Mean and standard deviation of the measurements of an ellipsoid over its positions on a grid.

    Args:
        volume_bias, volume_sd: of measured / true volume, minus 1.
        diameter_bias_mm, diameter_sd_mm: of the longest axial diameter minus the true one.
    """

    volume_bias: float
    volume_sd: float
    diameter_bias_mm: float
    diameter_sd_mm: float


@dataclass(frozen=True)
class SizeError:
    """Error of the size of one lesion.

    Args:
        log_volume_sd: standard deviation of the logarithm of its volume.
        log_volume_bias: mean error of the logarithm.
        diameter_sd_mm: standard deviation of the longest axial diameter.
        diameter_bias_mm: mean error of the longest axial diameter.
    """

    log_volume_sd: float
    log_volume_bias: float
    diameter_sd_mm: float
    diameter_bias_mm: float


def size_error(lesion: MeasuredLesion, outline: Repeatability) -> SizeError:
    """Return the error of the size of a lesion.

    Args:
        lesion: as measured.
        outline: repeatability of what drew the outline.
    """
    x, y, z = (round(step, 2) for step in lesion.spacing_mm)
    grid = grid_error(_rounded_radius(lesion.radius_mm), (x, y, z))
    return SizeError(
        log_volume_sd=max(float(np.log1p(grid.volume_sd)), 3 * outline.radius_sd_mm / lesion.radius_mm),
        log_volume_bias=float(np.log1p(grid.volume_bias)),
        diameter_sd_mm=max(grid.diameter_sd_mm, outline.diameter_sd_mm),
        diameter_bias_mm=grid.diameter_bias_mm,
    )


def _rounded_radius(radius_mm: float) -> float:
    """Return the next smaller of the simulated radii."""
    return float(RADIUS_RATIO ** np.floor(np.log(radius_mm) / np.log(RADIUS_RATIO)))


@lru_cache(maxsize=512)
def grid_error(radius_mm: float, spacing_mm: tuple[float, float, float]) -> GridError:
    """Return how much the measured size of an ellipsoid depends on its position on the grid.

    Its long axis lies in the axial plane, so that its length is the true longest axial diameter.

    Args:
        radius_mm: of the sphere with its volume.
        spacing_mm: of the voxels; the last axis is across the axial slices.

    >>> small, large = grid_error(2.0, (1.0, 1.0, 1.0)), grid_error(8.0, (1.0, 1.0, 1.0))
    >>> 0.02 < small.volume_sd < 0.2, large.volume_sd < 0.02
    (True, True)
    """
    spacing = np.asarray(spacing_mm)
    radius = min(radius_mm, LARGEST_VOXELS * float(np.cbrt(spacing.prod())))
    short = radius / float(np.cbrt(ELONGATION))
    long = ELONGATION * short
    rng = np.random.default_rng(SEED)
    affine = np.diag([*spacing, 1.0])
    extent = np.ceil(long / spacing).astype(int) + 1
    axes = [np.arange(-reach, reach + 1) * step for reach, step in zip(extent, spacing, strict=True)]
    volumes, diameters = [], []
    for centre, angle in zip(
        rng.uniform(-0.5, 0.5, (PLACEMENTS, 3)) * spacing, rng.uniform(0, np.pi, PLACEMENTS), strict=True
    ):
        x, y, z = np.meshgrid(*(axis - middle for axis, middle in zip(axes, centre, strict=True)), indexing="ij")
        along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
        mask = (along / long) ** 2 + (across / short) ** 2 + (z / short) ** 2 <= 1
        size = axial_size(mask, affine)
        volumes.append(np.count_nonzero(mask) * spacing.prod())
        diameters.append(0.0 if size is None else size.longest_mm)
    ratios = np.asarray(volumes) / (4 / 3 * np.pi * radius**3)
    return GridError(
        float(ratios.mean() - 1), float(ratios.std()), float(np.mean(diameters) - 2 * long), float(np.std(diameters))
    )

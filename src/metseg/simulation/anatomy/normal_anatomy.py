"""Normal anatomy: the MNI152 tissue maps that ship inside nilearn, and the head drawn around them.

Source: ICBM 2009a nonlinear symmetric template (Fonov et al. 2011, NeuroImage 54:313), as packed in nilearn's wheel.
The template is skull-stripped, so the skull, the scalp and the face are synthetic: shells and ellipsoids around it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from metseg.errors import UsageError

FloatArray = npt.NDArray[np.float32]
BoolArray = npt.NDArray[np.bool_]

#: Mean intensity of each tissue in the template, which is scaled to [0, 1]; measured where a map exceeds 0.9.
TEMPLATE_WHITE, TEMPLATE_GREY, TEMPLATE_FLUID = 0.875, 0.65, 0.27

#: Voxel size of the grid for smooth quantities (distances, possible sites of lesions), independent of the resolution.
COARSE_MM = 2.0

#: Millimetres by which the brain mask is closed: bridges the fissures, keeps the outline of the brain.
CLOSING_MM = 12.0


@dataclass(frozen=True)
class Grid:
    """A box of cubic voxels in template space, RAS+.

    Args:
        shape: voxels along x (to the right), y (to the front), z (upwards).
        spacing_mm: edge of a voxel.
        origin_mm: centre of the first voxel in MNI coordinates.
    """

    shape: tuple[int, int, int]
    spacing_mm: float
    origin_mm: tuple[float, float, float]

    @property
    def affine(self) -> npt.NDArray[np.float64]:
        """Return the (4, 4) voxel-to-RAS matrix in mm."""
        affine = np.diag([self.spacing_mm] * 3 + [1.0])
        affine[:3, 3] = self.origin_mm
        return affine

    def to_voxel(self, points_mm: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return (..., 3) MNI coordinates as voxel coordinates.

        >>> Grid((4, 4, 4), 2.0, (-3.0, -3.0, -3.0)).to_voxel([-3.0, -1.0, 0.0])
        array([0. , 1. , 1.5])
        """
        return (np.asarray(points_mm, dtype=np.float64) - self.origin_mm) / self.spacing_mm

    def axes_mm(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the coordinates along each axis, shaped to broadcast: (X, 1, 1), (1, Y, 1), (1, 1, Z)."""
        x, y, z = (
            (start + self.spacing_mm * np.arange(size)).astype(np.float32)
            for start, size in zip(self.origin_mm, self.shape, strict=True)
        )
        return x[:, None, None], y[None, :, None], z[None, None, :]


@dataclass(frozen=True)
class Anatomy:
    """The average head on one grid; every map is (X, Y, Z) float32.

    Args:
        grid: where the maps lie.
        grey: share of grey matter, 0..1.
        white: share of white matter, 0..1.
        texture: the template's own intensity over what its tissue shares explain, about 1.
        hull_mm: signed distance from the smooth outline of the brain, negative inside.
        head_mm: signed distance from the skin, negative inside.
    """

    grid: Grid
    grey: FloatArray
    white: FloatArray
    texture: FloatArray
    hull_mm: FloatArray
    head_mm: FloatArray

    @property
    def fluid(self) -> FloatArray:
        """Return the share of cerebrospinal fluid inside the brain's outline."""
        inside = np.clip(0.5 - self.hull_mm / self.grid.spacing_mm, 0, 1)
        return np.asarray(np.clip(inside - self.grey - self.white, 0, 1), dtype=np.float32)


def require_nilearn() -> None:
    """Raise a UsageError (``usage.missing_extra``) if nilearn, which contains the template, is not installed."""
    if find_spec("nilearn") is None:
        raise UsageError(
            "nilearn, which provides the anatomy of the phantom, is not installed",
            cure="pip install 'metseg[simulate]'",
            code="usage.missing_extra",
        )


@lru_cache(maxsize=2)
def load_anatomy(spacing_mm: float) -> Anatomy:
    """Return the average head at a voxel size; kept for the life of the process.

    Raises:
        UsageError: nilearn, which carries the template, is not installed.
    """
    template, grey, white, fine = _read_template()
    grid = _grid_like(fine, spacing_mm)
    brain, grey, white = (_resample(image, fine, grid) for image in (template, grey, white))
    fluid = np.clip(1 - grey - white, 0, 1)
    expected = TEMPLATE_GREY * grey + TEMPLATE_WHITE * white + TEMPLATE_FLUID * fluid
    texture = np.where(brain > 0.1, np.clip(brain / expected, 0.75, 1.25), 1).astype(np.float32)
    hull, head, coarse = _outlines()
    hull, head = (_resample(image, coarse, grid) for image in (hull, head))
    return Anatomy(grid, grey, white, texture, hull, head)


@lru_cache(maxsize=1)
def _read_template() -> tuple[FloatArray, FloatArray, FloatArray, Grid]:
    require_nilearn()
    from nilearn import datasets

    images = [
        datasets.load_mni152_template(resolution=1),
        datasets.load_mni152_gm_template(resolution=1),
        datasets.load_mni152_wm_template(resolution=1),
    ]
    x, y, z = (float(value) for value in images[0].affine[:3, 3])
    template, grey, white = (np.asarray(image.dataobj, dtype=np.float32) for image in images)
    return template, grey, white, Grid(template.shape, 1.0, (x, y, z))


def _grid_like(grid: Grid, spacing_mm: float) -> Grid:
    """Return the same box with other voxels: the outer corner stays, so that the centre of the first one moves."""
    factor = spacing_mm / grid.spacing_mm
    x, y, z = (int(size / factor) for size in grid.shape)
    first = [start + (spacing_mm - grid.spacing_mm) / 2 for start in grid.origin_mm]
    return Grid((x, y, z), spacing_mm, (first[0], first[1], first[2]))


def _resample(image: FloatArray, old: Grid, new: Grid) -> FloatArray:
    """Return the image on another grid, low-passed first where voxels grow."""
    factor = new.spacing_mm / old.spacing_mm
    if new == old:
        return image
    smooth = ndimage.gaussian_filter(image, 0.4 * factor) if factor > 1 else image
    first = old.to_voxel(new.origin_mm)
    return np.asarray(
        ndimage.affine_transform(
            smooth, np.full(3, factor), offset=first, output_shape=new.shape, order=1, mode="nearest"
        ),
        dtype=np.float32,
    )


@lru_cache(maxsize=1)
def _outlines() -> tuple[FloatArray, FloatArray, Grid]:
    """Return the signed distances from the brain's outline and from the skin, on the coarse grid."""
    template, _, _, fine = _read_template()
    grid = _grid_like(fine, COARSE_MM)
    # The template ends at the lower border while the head goes on: without this the outline would close there.
    below = int(2 * CLOSING_MM / COARSE_MM)
    brain = np.pad(_resample(template, fine, grid) > 0.2, ((0, 0), (0, 0), (below, 0)), mode="edge")
    closed = signed_distance(signed_distance(brain) * COARSE_MM < CLOSING_MM) * COARSE_MM + CLOSING_MM < 0
    hull = ndimage.gaussian_filter(signed_distance(closed | brain) * COARSE_MM, 1.0)[:, :, below:]
    return hull.astype(np.float32), _head(hull, grid), grid


#: Parts of the head that do not follow the brain: centre, half axes (mm) of ellipsoids; x mirrored.
FACE = (
    ((0.0, 12.0, -78.0), (68.0, 84.0, 74.0)),
    ((60.0, 18.0, -22.0), (17.0, 40.0, 42.0)),
)

#: From the outline of the brain to the skin over the vault.
SCALP_MM = 14.5


def _head(hull: FloatArray, grid: Grid) -> FloatArray:
    """Return the signed distance from the skin: the vault at a fixed distance, smoothly joined with the face."""
    distance = (hull - SCALP_MM).astype(np.float32)
    for centre, half_axes in FACE:
        part = ellipsoid_mm(grid.axes_mm(), centre, half_axes)
        blend = np.clip(0.5 + 0.5 * (part - distance) / 14.0, 0, 1)
        distance = part * (1 - blend) + distance * blend - 14.0 * blend * (1 - blend)
    return np.asarray(ndimage.gaussian_filter(distance, 1.0), dtype=np.float32)


def ellipsoid_mm(
    axes_mm: tuple[FloatArray, FloatArray, FloatArray],
    centre: tuple[float, float, float],
    half_axes: tuple[float, float, float],
) -> FloatArray:
    """Return about the signed distance from an ellipsoid and its mirror image in x, negative inside.

    First order: ``(|p / a| - 1) * |p / a| / |p / a^2|``; exact for spheres.

    Args:
        axes_mm: coordinates that broadcast to the wanted shape.
        centre: of the ellipsoid on the right; its mirror image lies at -x.
        half_axes: of the ellipsoid, mm.
    """
    x, y, z = axes_mm
    parts = [
        (coordinate - middle) / half
        for coordinate, middle, half in zip((np.abs(x), y, z), centre, half_axes, strict=True)
    ]
    length = np.sqrt(sum(part**2 for part in parts)) + np.float32(1e-6)
    slope = np.sqrt(sum((part / half) ** 2 for part, half in zip(parts, half_axes, strict=True))) + np.float32(1e-6)
    return np.asarray((length - 1) * length / slope, dtype=np.float32)


def signed_distance(mask: BoolArray) -> FloatArray:
    """Return the distance from a mask's border in voxels, negative inside.

    >>> signed_distance(np.array([False, False, True, True]))
    array([ 1.5,  0.5, -0.5, -1.5], dtype=float32)
    """
    outside = ndimage.distance_transform_edt(~mask)
    inside = ndimage.distance_transform_edt(mask)
    return np.asarray(np.where(mask, 0.5 - inside, outside - 0.5), dtype=np.float32)

"""Distances between two surfaces, weighted by surface area: HD95, average surface distance, surface Dice (NSD).

Definitions of DeepMind's surface-distance package (Nikolov et al., arXiv:1809.04430): surface elements are at the
corners of voxels, if the 2×2×2 voxels around a corner are neither all inside nor all outside. The weight of an element
is the surface area inside its cube (`surface_area`). Distances go from each element to the nearest element of the
other mask.

Only the surface elements are stored (a few thousand points), and distances are computed between them (`nearest`): time
and memory grow with the surface, not with the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metseg.errors import GeometryError
from metseg.evaluation.empty_masks import Emptiness, Kind, empty_mask_value
from metseg.evaluation.metrics.nearest_neighbours import nearest_points
from metseg.evaluation.metrics.overlap import require_same_shape
from metseg.measure import bounding_box
from metseg.measure.surface_area import FULL, surface_areas_mm2

Spacing = tuple[float, float, float]

#: Percentile of the robust Hausdorff distance.
HD_PERCENT = 95.0


#: Relative error of a distance from affines in single precision.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Surface:
    """The surface elements of one mask.

    Args:
        positions: (N, 3) int32, to save memory; corner (i, j, k) lies between voxels i - 1 and i, and so on.
        areas_mm2: (N,) area of the surface around each.
    """

    positions: npt.NDArray[np.int32]
    areas_mm2: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.areas_mm2)


@dataclass(frozen=True)
class Directed:
    """Distances from each element of one surface to the other surface, nearest first, and the elements' areas."""

    distances_mm: npt.NDArray[np.float64]
    areas_mm2: npt.NDArray[np.float64]

    @classmethod
    def of(cls, distances_mm: npt.NDArray[np.float64], areas_mm2: npt.NDArray[np.float64]) -> Directed:
        """Return distances and areas, (N,) each, sorted, ties by area: independent of the order of the axes."""
        order = np.lexsort((areas_mm2, distances_mm))
        return cls(distances_mm[order], areas_mm2[order])

    def percentile(self, percent: float) -> float:
        """Return the area-weighted percentile of the distance."""
        share = np.cumsum(self.areas_mm2) / np.sum(self.areas_mm2)
        position = int(np.searchsorted(share, percent / 100.0))
        return float(self.distances_mm[min(position, len(share) - 1)])

    def mean(self) -> float:
        """Return the mean distance over the area."""
        return float(np.sum(self.distances_mm * self.areas_mm2) / np.sum(self.areas_mm2))

    def area_within(self, tolerance_mm: float) -> float:
        """Return the area, mm², no further than the tolerance from the other surface."""
        return float(np.sum(self.areas_mm2[within(self.distances_mm, tolerance_mm)]))


def within(distances_mm: npt.NDArray[np.float64], tolerance_mm: float) -> npt.NDArray[np.bool_]:
    """Return which distances are within a tolerance, with an allowance for the rounding of a file's affine.

    The affine of an oblique image with 1 mm voxels, in single precision as in NIfTI, has a spacing of 1.00000002 mm.
    Without this allowance, a border one voxel away would be further than 1 mm.
    """
    return np.asarray(distances_mm <= tolerance_mm * (1 + _ROUNDING), dtype=np.bool_)


@dataclass(frozen=True)
class SurfaceDistances:
    """Surface distances of one pair of masks, computed once and shared by all surface metrics.

    Args:
        emptiness: which of the masks is empty; the directed distances exist only if neither is.
        to_prediction: from the truth's surface to the prediction's.
        to_truth: from the prediction's surface to the truth's.
    """

    emptiness: Emptiness
    to_prediction: Directed | None = None
    to_truth: Directed | None = None

    @property
    def both(self) -> tuple[Directed, Directed]:
        if self.to_prediction is None or self.to_truth is None:
            raise ValueError("there are no distances to an empty mask; see metseg.evaluation.empty_masks")
        return self.to_prediction, self.to_truth


def surface_distances(
    truth: npt.NDArray[np.generic], prediction: npt.NDArray[np.generic], spacing_mm: Spacing
) -> SurfaceDistances:
    """Return the distances between the surfaces of two masks.

    Args:
        truth: (X, Y, Z); what is not zero is inside.
        prediction: (X, Y, Z).
        spacing_mm: voxel size along the three axes.
    Raises:
        GeometryError: shapes differ, not three axes, or a spacing that is not three positive numbers.
    """
    require_same_shape(truth, prediction)
    spacing = check_spacing(spacing_mm, truth.ndim)
    of_truth, of_prediction = surface_of(truth, spacing), surface_of(prediction, spacing)
    emptiness = Emptiness.of(len(of_truth), len(of_prediction))
    if emptiness is not Emptiness.NEITHER:
        return SurfaceDistances(emptiness)
    there, _ = nearest_points(of_truth.positions, of_prediction.positions, spacing)
    back, _ = nearest_points(of_prediction.positions, of_truth.positions, spacing)
    return SurfaceDistances(
        emptiness, Directed.of(there, of_truth.areas_mm2), Directed.of(back, of_prediction.areas_mm2)
    )


def check_spacing(spacing_mm: tuple[float, ...], axes: int = 3) -> Spacing:
    """Return the spacing as three floats.

    Raises:
        GeometryError: not one positive finite number per axis of a volume.
    """
    if axes != 3 or len(spacing_mm) != 3 or not all(np.isfinite(side) and side > 0 for side in spacing_mm):
        raise GeometryError(
            "distances need a volume with three axes and its voxel size in mm",
            expected="three positive numbers",
            got=f"{tuple(spacing_mm)} for {axes} axes",
            cure="give spacing_mm along the array's axes, or leave it out if the data have none",
            code="input.spacing",
        )
    x, y, z = (float(side) for side in spacing_mm)
    return x, y, z


def surface_of(mask: npt.NDArray[np.generic], spacing_mm: Spacing) -> Surface:
    """Return the surface elements of a mask, found in its bounding box.

    Args:
        mask: (X, Y, Z); what is not zero is inside.
        spacing_mm: voxel size along the three axes.
    """
    box = bounding_box(mask)
    if box is None:
        return Surface(np.zeros((0, 3), dtype=np.int32), np.zeros(0))
    codes = _neighbour_codes(mask[box] != 0)
    # Use flat indices: numpy needs ten times as long to find nonzero entries along several axes.
    places = np.flatnonzero((codes != 0) & (codes != FULL))
    positions = np.column_stack(np.unravel_index(places, codes.shape)).astype(np.int32)
    positions += np.array([side.start for side in box], dtype=np.int32)
    return Surface(positions, surface_areas_mm2(spacing_mm)[codes.reshape(-1)[places]])


def _neighbour_codes(inside: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Return, for each voxel corner, which of the 8 voxels around it are inside: (X + 1, Y + 1, Z + 1) of 0..255."""
    codes = np.pad(inside.view(np.uint8), 1)
    # Voxel (i, j, k) has bit 7 - (4 i + 2 j + k): along each axis, the one before is moved up by 1, 2 and 4 bits.
    for axis, bits in ((2, 1), (1, 2), (0, 4)):
        before, after = ((slice(None),) * axis + (part,) for part in (slice(None, -1), slice(1, None)))
        moved = codes[before] << np.uint8(bits)
        moved |= codes[after]
        codes = moved
    return codes


def hd95_mm(distances: SurfaceDistances, penalty: float) -> float:
    """Return the larger of the two directed 95th percentiles of the surface distance, mm.

    Args:
        distances: of `surface_distances`.
        penalty: the value if one mask is empty, mm.
    """
    decided = empty_mask_value(Kind.DISTANCE, distances.emptiness, penalty=penalty)
    return max(side.percentile(HD_PERCENT) for side in distances.both) if decided is None else decided


def asd_mm(distances: SurfaceDistances, penalty: float) -> float:
    """Return the mean of the two directed average surface distances, mm; ``penalty`` as in `hd95_mm`."""
    decided = empty_mask_value(Kind.DISTANCE, distances.emptiness, penalty=penalty)
    if decided is not None:
        return decided
    there, back = distances.both
    return (there.mean() + back.mean()) / 2


def surface_dice(distances: SurfaceDistances, tolerance_mm: float) -> float:
    """Return the share of the area of both surfaces within the tolerance of the other surface (NSD)."""
    decided = empty_mask_value(Kind.SURFACE_OVERLAP, distances.emptiness)
    if decided is not None:
        return decided
    within = sum(side.area_within(tolerance_mm) for side in distances.both)
    return within / sum(float(np.sum(side.areas_mm2)) for side in distances.both)

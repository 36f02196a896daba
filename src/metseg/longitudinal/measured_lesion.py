"""Lesions of one examination, measured on the grid of its own mask; nothing is resampled before it is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metseg.geometry import Affine, spacing_mm
from metseg.labels import LABEL_SCHEMES
from metseg.longitudinal.timepoint import Timepoint
from metseg.measure import (
    MM3_PER_ML,
    axial_axis,
    axial_size,
    instance_boxes,
    label_instances,
    typical_voxel,
    voxel_volume_mm3,
)

Points = npt.NDArray[np.float64]


@dataclass(frozen=True)
class MeasuredLesion:
    """A connected piece of tumour core at one examination.

    Args:
        number: in the examination, 1 is the largest.
        volume_ml: of the core.
        volume_ml_by_label: the same by class.
        longest_axial_mm: longest diameter within one axial slice.
        perpendicular_axial_mm: extent across it, in the same slice.
        axial_slices: number of axial slices that show the lesion.
        planes_seen: number of directions along which the lesion is at least two voxels long.
        typical_voxel: array indices of the voxel farthest from the border.
        points_mm: (N, 3) voxel centres, RAS mm.
        spacing_mm: of the voxels: twice within the axial slices, then across them.
    """

    number: int
    volume_ml: float
    volume_ml_by_label: dict[str, float]
    longest_axial_mm: float
    perpendicular_axial_mm: float
    axial_slices: int
    planes_seen: int
    typical_voxel: tuple[int, int, int]
    points_mm: Points
    spacing_mm: tuple[float, float, float]

    @cached_property
    def centre_mm(self) -> Points:
        """Return the centre of mass, (3,) RAS mm."""
        return np.asarray(self.points_mm.mean(axis=0), dtype=np.float64)

    @property
    def slice_thickness_mm(self) -> float:
        """Return the distance of the axial slices."""
        return self.spacing_mm[2]

    @property
    def radius_mm(self) -> float:
        """Return the radius of the sphere with the lesion's volume."""
        return equivalent_radius_mm(self.volume_ml)


def equivalent_radius_mm(volume_ml: float) -> float:
    """Return the radius of the sphere of a volume.

    >>> round(equivalent_radius_mm(0.5236), 3)
    5.0
    """
    return float(np.cbrt(volume_ml * MM3_PER_ML * 3 / (4 * np.pi)))


def measure_lesions(timepoint: Timepoint) -> tuple[MeasuredLesion, ...]:
    """Return the lesions of an examination, largest first.

    A lesion is a connected piece (26 neighbours) of the tumour core: oedema joins neighbouring metastases and would
    make them one.
    """
    labels, affine = timepoint.labels.data, timepoint.labels.affine
    assert affine is not None
    core = np.isin(labels, timepoint.core_values)
    instances, _ = label_instances(core)
    found = [
        _measure(labels[box], instances[box] == number, [side.start for side in box], affine, timepoint)
        for number, box in enumerate(instance_boxes(instances), start=1)
    ]
    found.sort(key=lambda lesion: (-lesion.volume_ml, *lesion.typical_voxel))
    return tuple(replace(lesion, number=number) for number, lesion in enumerate(found, start=1))


def _measure(
    labels: npt.NDArray[np.generic],
    mask: npt.NDArray[np.bool_],
    corner: Sequence[int],
    affine: Affine,
    timepoint: Timepoint,
) -> MeasuredLesion:
    size = axial_size(mask, affine)
    assert size is not None
    voxel_ml = voxel_volume_mm3(affine) / MM3_PER_ML
    voxels = np.argwhere(mask) + np.asarray(corner)
    spacing = spacing_mm(affine)
    x, y, z = (at + low for at, low in zip(typical_voxel(mask, spacing), corner, strict=True))
    classes = LABEL_SCHEMES[timepoint.scheme].classes
    counts = {classes[value]: np.count_nonzero(labels[mask] == value) for value in timepoint.core_values}
    return MeasuredLesion(
        number=0,
        volume_ml=len(voxels) * voxel_ml,
        volume_ml_by_label={name: count * voxel_ml for name, count in counts.items()},
        longest_axial_mm=size.longest_mm,
        perpendicular_axial_mm=size.perpendicular_mm,
        axial_slices=size.slices,
        planes_seen=sum(extent >= 2 for extent in mask.shape),
        typical_voxel=(x, y, z),
        points_mm=voxels @ affine[:3, :3].T + affine[:3, 3],
        spacing_mm=_axial_last(spacing, axial_axis(affine)),
    )


def _axial_last(spacing: tuple[float, float, float], axis: int) -> tuple[float, float, float]:
    first, second = (step for place, step in enumerate(spacing) if place != axis)
    return first, second, spacing[axis]

"""The lesion table of a prediction."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metseg.labels import LabelScheme
from metseg.measure import (
    IDENTITY,
    ConfidenceMap,
    instance_boxes,
    label_instances,
    lesion_centres,
    lesion_diameters_mm,
    lesion_volumes_ml,
    lesion_voxels,
)


@dataclass(frozen=True)
class Lesion:
    """One connected lesion. What is in millimetres or millilitres is None where the images have no spacing.

    Args:
        id: 1 is the largest.
        label: the class with the most voxels in it.
        voxels: how many voxels (pixels of a picture) it has.
        voxels_by_label: the same by class.
        volume_ml: its volume.
        longest_diameter_mm: the largest distance between two of its voxel corners.
        longest_axial_diameter_mm: the same within one axial slice.
        centre_voxel: centre of mass as array indices (x, y, z); for pictures column, row, slice.
        centre_mm: centre of mass in RAS mm.
        confidence: mean probability over its voxels; where the bundle has an operating point, turned into the share of
            validation lesions of that probability that were lesions.
        slice_index: for pictures, the slice it lies in.
    """

    id: int
    label: str
    voxels: int
    voxels_by_label: dict[str, int]
    volume_ml: float | None
    longest_diameter_mm: float | None
    longest_axial_diameter_mm: float | None
    centre_voxel: tuple[float, float, float]
    centre_mm: tuple[float, float, float] | None
    confidence: float
    slice_index: int | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def find_lesions(
    labels: npt.NDArray[np.uint8],
    probability: npt.NDArray[np.float32],
    affine: npt.NDArray[np.float64] | None,
    scheme: LabelScheme,
    *,
    slicewise: bool,
    confidence: ConfidenceMap = IDENTITY,
) -> tuple[Lesion, ...]:
    """Return the connected lesions of a mask, largest first.

    Args:
        labels: (X, Y, Z) class ids; a lesion is a connected piece of any classes.
        probability: (X, Y, Z) of lesion.
        affine: (4, 4) voxel-to-RAS, mm, or None.
        scheme: names the classes.
        slicewise: pictures: a lesion ends with its slice.
        confidence: from the mean probability of a lesion to its confidence.
    """
    instances, count = label_instances(labels, across_slices=not slicewise)
    if count == 0:
        return ()
    voxels = lesion_voxels(instances)
    centres = lesion_centres(instances)
    inside = instances > 0
    sums = np.bincount(instances[inside], weights=probability[inside], minlength=count + 1)[1:]
    confidences = confidence(np.asarray(sums / voxels, dtype=np.float64))
    sizes = _sizes_mm(instances, affine)
    boxes = instance_boxes(instances)
    lesions = []
    for number, index in enumerate(np.argsort(-voxels, kind="stable"), start=1):
        box = boxes[index]
        by_label = _voxels_by_label(labels[box][instances[box] == index + 1], scheme)
        volume, diameter, axial = (None, None, None) if sizes is None else (round(float(v), 4) for v in sizes[index])
        lesions.append(
            Lesion(
                id=number,
                label=max(by_label, key=lambda name: by_label[name]),
                voxels=int(voxels[index]),
                voxels_by_label=by_label,
                volume_ml=volume,
                longest_diameter_mm=diameter,
                longest_axial_diameter_mm=axial,
                centre_voxel=_rounded(centres[index]),
                centre_mm=None if affine is None else _rounded(affine[:3, :3] @ centres[index] + affine[:3, 3]),
                confidence=round(float(confidences[index]), 4),
                slice_index=int(box[2].start) if slicewise else None,
            )
        )
    return tuple(lesions)


def _sizes_mm(
    instances: npt.NDArray[np.integer], affine: npt.NDArray[np.float64] | None
) -> npt.NDArray[np.float64] | None:
    """Return (N, 3): volume in mL, longest diameter and longest axial diameter in mm; None without an affine."""
    if affine is None:
        return None
    return np.column_stack([lesion_volumes_ml(instances, affine), lesion_diameters_mm(instances, affine)])


def _voxels_by_label(labels: npt.NDArray[np.uint8], scheme: LabelScheme) -> dict[str, int]:
    counts = np.bincount(labels, minlength=max(scheme.values) + 1)
    return {name: int(counts[value]) for value, name in scheme.classes.items() if counts[value]}


def _rounded(point: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (round(float(value), 3) for value in point)
    return x, y, z

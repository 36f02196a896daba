"""The lesion table of a prediction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from metseg.labels import LabelScheme
from metseg.measure import (
    IDENTITY,
    ConfidenceMap,
    instance_boxes,
    label_instances,
    label_regions,
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
        slice_index: for pictures, the slice that holds its largest region; the first of several.
        slices: for pictures, all slices that it lies in.
        slice_voxels: for pictures, pixels of this region: they share an edge or a corner within the slice.
        slice_centre: column and row of the centre of this region.
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
    slices: tuple[int, ...] = ()
    slice_voxels: int | None = None
    slice_centre: tuple[float, float] | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def find_lesions(
    labels: npt.NDArray[np.uint8],
    probability: npt.NDArray[np.float32],
    affine: npt.NDArray[np.float64] | None,
    scheme: LabelScheme,
    *,
    slicewise: bool,
    gaps: Sequence[bool] = (),
    confidence: ConfidenceMap = IDENTITY,
) -> tuple[Lesion, ...]:
    """Return the connected lesions of a mask, largest first.

    Args:
        labels: (X, Y, Z) class ids; a lesion is a connected piece of any classes.
        probability: (X, Y, Z) of lesion.
        affine: (4, 4) voxel-to-RAS, mm, or None.
        scheme: names the classes.
        slicewise: pictures: regions of neighbouring slices that overlap are one lesion; see `label_regions`.
        gaps: as `metseg.volume.Case.slice_gaps`.
        confidence: from the mean probability of a lesion to its confidence.
    """
    instances, count = label_regions(labels, gaps) if slicewise else label_instances(labels)
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
                **(_in_slices(instances[box] == index + 1, box) if slicewise else {"slice_index": None}),
            )
        )
    return tuple(lesions)


def lesion_numbers(labels: npt.NDArray[np.uint8], gaps: Sequence[bool] = ()) -> npt.NDArray[np.intp]:
    """Return (X, Y, Z), for a stack of pictures the `Lesion.id` that `find_lesions` gives each pixel; 0: background."""
    instances, count = label_regions(labels, gaps)
    ids = np.zeros(count + 1, dtype=np.intp)
    if count:
        ids[1 + np.argsort(-lesion_voxels(instances), kind="stable")] = np.arange(1, count + 1)
    return np.asarray(ids[instances])


def joined(one: Lesion, two: Lesion) -> Lesion:
    """Return two lesions of pictures that are one: a stack was measured in parts, and it goes on from part to part.

    Its confidence is the mean of theirs by size.
    """
    voxels = one.voxels + two.voxels
    share = two.voxels / voxels
    by_label = Counter(one.voxels_by_label) + Counter(two.voxels_by_label)
    main = min(one, two, key=_region_order)
    centre = (1 - share) * np.asarray(one.centre_voxel) + share * np.asarray(two.centre_voxel)
    return replace(
        one,
        label=max(by_label, key=lambda name: by_label[name]),
        voxels=voxels,
        voxels_by_label=dict(by_label),
        centre_voxel=_rounded(centre),
        confidence=round((1 - share) * one.confidence + share * two.confidence, 4),
        slice_index=main.slice_index,
        slices=tuple(sorted({*one.slices, *two.slices})),
        slice_voxels=main.slice_voxels,
        slice_centre=main.slice_centre,
    )


def _region_order(lesion: Lesion) -> tuple[float, ...]:
    """Return the key that puts the lesion with the largest region first; ties as in `_in_slices`."""
    return -(lesion.slice_voxels or 0), lesion.slice_index or 0, *(lesion.slice_centre or ())


def _in_slices(inside: npt.NDArray[np.bool_], box: tuple[slice, ...]) -> dict[str, Any]:
    """Return the slices of a lesion of pictures, and its largest region within one slice.

    A lesion may have several regions in a slice, joined through its neighbours. The largest region is the same whether
    a stack is measured whole or in parts: of equal ones the first by slice, column and row of its centre.

    Args:
        inside: (X, Y, Z) its pixels, in its bounding box.
        box: position of the bounding box.
    """
    regions = label_instances(inside, across_slices=False)[0]
    voxels = lesion_voxels(regions)
    centres = np.round(lesion_centres(regions) + [axis.start for axis in box], 3)
    index = min(np.flatnonzero(voxels == voxels.max()), key=lambda region: tuple(centres[region][[2, 0, 1]]))
    x, y, z = centres[index]
    return {
        "slice_index": round(float(z)),
        "slices": tuple(int(at) + box[2].start for at in np.flatnonzero(inside.any(axis=(0, 1)))),
        "slice_voxels": int(voxels[index]),
        "slice_centre": (float(x), float(y)),
    }


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

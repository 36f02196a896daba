"""The lesion table of a prediction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from metseg.geometry import spacing_mm
from metseg.labels import LabelScheme, most_important
from metseg.lesion import Lesion
from metseg.measure import (
    IDENTITY,
    MM3_PER_ML,
    ConfidenceMap,
    instance_boxes,
    label_instances,
    label_regions,
    lesion_centres,
    lesion_voxels,
    longest_axial_diameter_mm,
    longest_diameter_mm,
    typical_voxel,
    voxel_volume_mm3,
)

Mask = npt.NDArray[np.bool_]

#: (X, Y, Z) number of the lesion at each voxel, 0: background; 16 bits where these suffice.
InstanceMap = npt.NDArray[np.unsignedinteger[Any]]


def find_lesions(
    labels: npt.NDArray[np.uint8],
    probability: npt.NDArray[np.float32],
    affine: npt.NDArray[np.float64] | None,
    scheme: LabelScheme,
    *,
    slicewise: bool,
    gaps: Sequence[bool] = (),
    confidence: ConfidenceMap = IDENTITY,
) -> tuple[tuple[Lesion, ...], InstanceMap]:
    """Return the connected lesions of a mask, largest first, and which voxel belongs to which.

    Args:
        labels: (X, Y, Z) class ids; a lesion is a connected piece of any classes.
        probability: (X, Y, Z) of lesion.
        affine: (4, 4) voxel-to-RAS, mm, or None.
        scheme: names the classes.
        slicewise: pictures: regions of neighbouring slices that overlap are one lesion; see `label_regions`.
        gaps: as `metseg.volume.Case.slice_gaps`.
        confidence: from the mean probability of a lesion to its confidence.
    Returns:
        The lesions, with no side yet, and (X, Y, Z) the `Lesion.id` at each voxel; 0: background.
    """
    instances, count = _numbered_by_size(*(label_regions(labels, gaps) if slicewise else label_instances(labels)))
    if count == 0:
        return (), instances
    voxels = lesion_voxels(instances)
    centres = lesion_centres(instances)
    inside = instances > 0
    sums = np.bincount(instances[inside], weights=probability[inside], minlength=count + 1)[1:]
    confidences = confidence(np.asarray(sums / voxels, dtype=np.float64))
    lesions = []
    for index, box in enumerate(instance_boxes(instances)):
        mask = np.asarray(instances[box] == index + 1)
        parts = _by_label(labels[box], mask, scheme)
        by_label = {name: int(np.count_nonzero(part)) for name, part in parts.items()}
        lesions.append(
            Lesion(
                id=index + 1,
                label=most_important(by_label),
                voxels=int(voxels[index]),
                voxels_by_label=by_label,
                centre_voxel=_rounded(centres[index]),
                centre_mm=None if affine is None else _rounded(affine[:3, :3] @ centres[index] + affine[:3, 3]),
                confidence=round(float(confidences[index]), 4),
                **_sizes(mask, parts, affine),
                **(_in_slices(mask, parts, box) if slicewise else _typical(parts, box, affine)),
            )
        )
    return tuple(lesions), instances


def number_lesions(labels: npt.NDArray[np.uint8]) -> InstanceMap:
    """Return (X, Y, Z) the `Lesion.id` that `find_lesions` gives each voxel of a volume's mask; 0: background."""
    return _numbered_by_size(*label_instances(labels))[0]


def _numbered_by_size(instances: npt.NDArray[np.uint32], count: int) -> tuple[InstanceMap, int]:
    """Return instances renumbered, the largest first, and their number."""
    dtype = np.uint16 if count <= np.iinfo(np.uint16).max else np.uint32
    ids: InstanceMap = np.zeros(count + 1, dtype=dtype)
    if count:
        ids[1 + np.argsort(-lesion_voxels(instances), kind="stable")] = np.arange(1, count + 1)
    return ids[instances], count


def joined(one: Lesion, two: Lesion) -> Lesion:
    """Return two lesions of pictures that are one: a stack was measured in parts, and it goes on from part to part.

    Its confidence is the mean of theirs by size. The ends of its range are the sums of theirs, which can make the range
    wider than that of the whole lesion.
    """
    voxels = one.voxels + two.voxels
    share = two.voxels / voxels
    by_label = Counter(one.voxels_by_label) + Counter(two.voxels_by_label)
    main = min(one, two, key=_region_order)
    centre = (1 - share) * np.asarray(one.centre_voxel) + share * np.asarray(two.centre_voxel)
    return one.model_copy(
        update={
            "label": most_important(by_label),
            "voxels": voxels,
            "voxels_by_label": dict(by_label),
            "centre_voxel": _rounded(centre),
            "confidence": round((1 - share) * one.confidence + share * two.confidence, 4),
            "slice_index": main.slice_index,
            "slices": tuple(sorted({*one.slices, *two.slices})),
            "slice_voxels": main.slice_voxels,
            "slice_centre": main.slice_centre,
            "typical_voxel": main.typical_voxel,
            "voxels_range": _sum_of_ranges(one.voxels_range, two.voxels_range),
        }
    )


def _sum_of_ranges(one: tuple[int, int] | None, two: tuple[int, int] | None) -> tuple[int, int] | None:
    return None if one is None or two is None else (one[0] + two[0], one[1] + two[1])


def _region_order(lesion: Lesion) -> tuple[float, ...]:
    """Return the key that puts the lesion with the largest region first; ties as in `_in_slices`."""
    return -(lesion.slice_voxels or 0), lesion.slice_index or 0, *(lesion.slice_centre or ())


def _typical(
    parts: Mapping[str, Mask], box: tuple[slice, ...], affine: npt.NDArray[np.float64] | None
) -> dict[str, Any]:
    """Return the typical voxel of a lesion of a volume, in indices and in mm.

    Args:
        parts: class to (X, Y, Z) its part of the lesion, in the bounding box of the lesion.
        box: position of the bounding box.
        affine: (4, 4) voxel-to-RAS, mm, or None.
    """
    spacing = (1.0, 1.0, 1.0) if affine is None else spacing_mm(affine)
    inside = typical_voxel(parts[most_important(parts)], spacing)
    voxel = tuple(at + side.start for at, side in zip(inside, box, strict=True))
    place = None if affine is None else _rounded(affine[:3, :3] @ np.asarray(voxel) + affine[:3, 3])
    return {"typical_voxel": voxel, "typical_mm": place}


def _in_slices(inside: Mask, parts: Mapping[str, Mask], box: tuple[slice, ...]) -> dict[str, Any]:
    """Return the slices of a lesion of pictures, its largest region within one slice, and the typical voxel of that.

    A lesion may have several regions in a slice, joined through its neighbours. The largest region is the same whether
    a stack is measured whole or in parts: of equal ones the first by slice, column and row of its centre.

    Args:
        inside: (X, Y, Z) its pixels, in its bounding box.
        parts: class to (X, Y, Z) its part of them.
        box: position of the bounding box.
    """
    regions = label_instances(inside, across_slices=False)[0]
    voxels = lesion_voxels(regions)
    centres = np.round(lesion_centres(regions) + [axis.start for axis in box], 3)
    index = min(np.flatnonzero(voxels == voxels.max()), key=lambda region: tuple(centres[region][[2, 0, 1]]))
    x, y, z = centres[index]
    region, at = regions == index + 1, round(float(z))
    plane = {name: (part & region)[:, :, at - box[2].start] for name, part in parts.items()}
    main = plane[most_important(name for name, part in plane.items() if part.any())]
    column, row = typical_voxel(main, (1.0, 1.0))
    return {
        "typical_voxel": (column + box[0].start, row + box[1].start, at),
        "slice_index": at,
        "slices": tuple(int(at) + box[2].start for at in np.flatnonzero(inside.any(axis=(0, 1)))),
        "slice_voxels": int(voxels[index]),
        "slice_centre": (float(x), float(y)),
    }


def _sizes(
    mask: Mask, by_label: Mapping[str, Mask], affine: npt.NDArray[np.float64] | None
) -> dict[str, float | dict[str, float]]:
    """Return the fields of a lesion in mL and mm, as a whole and by class; none without an affine.

    Args:
        mask: (X, Y, Z) the lesion, in its bounding box.
        by_label: class to its part of the lesion.
        affine: (4, 4) voxel-to-RAS, mm.
    """
    if affine is None:
        return {}
    whole = _measured(mask, affine)
    # Most lesions are of one class: nothing is measured twice.
    parts = {label: whole if len(by_label) == 1 else _measured(part, affine) for label, part in by_label.items()}
    return {
        **whole,
        **{f"{name}_by_label": {label: part[name] for label, part in parts.items()} for name in whole},
    }


def _measured(mask: Mask, affine: npt.NDArray[np.float64]) -> dict[str, float]:
    """Return volume and diameters of a mask, rounded."""
    sizes = {
        "volume_ml": np.count_nonzero(mask) * voxel_volume_mm3(affine) / MM3_PER_ML,
        "longest_diameter_mm": longest_diameter_mm(mask, affine),
        "longest_axial_diameter_mm": longest_axial_diameter_mm(mask, affine),
    }
    return {name: round(float(size), 4) for name, size in sizes.items()}


def _by_label(labels: npt.NDArray[np.uint8], mask: Mask, scheme: LabelScheme) -> dict[str, Mask]:
    """Return where in a lesion each class is, of the classes that it has."""
    parts = {name: mask & (labels == value) for value, name in scheme.classes.items()}
    return {name: part for name, part in parts.items() if part.any()}


def _rounded(point: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (round(float(value), 3) for value in point)
    return x, y, z

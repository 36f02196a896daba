"""Index of a cached case (lesions, head), for selecting training items later without reading voxels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from metseg.labels import LABEL_SCHEMES, LabelScheme
from metseg.measure.boxes import Box, bounding_box, instance_boxes
from metseg.measure.instances import label_instances
from metseg.preprocess.cache.cache_arrays import Extent
from metseg.preprocess.head_mask import head_mask
from metseg.preprocess.prepared_case import Prepared
from metseg.recipe import DataPart

#: The region that is split into lesions, where a scheme has it: oedema often joins several metastases into one.
CORE = "TC"

Labels = npt.NDArray[np.uint8]


class Content(NamedTuple):
    """What a prepared case holds.

    Args:
        label_counts: for each slice, class id to number of voxels, background left out; empty without truth.
        lesion_boxes: where each lesion is, see `lesion_boxes`.
        head_slices: slices that show tissue; None: not computed.
        head_box: the box around all tissue; None: not computed, or no tissue.
    """

    label_counts: tuple[dict[int, int], ...]
    lesion_boxes: tuple[Extent, ...]
    head_slices: tuple[int, ...] | None
    head_box: Extent | None


def content_of(prepared: Prepared, data: DataPart) -> Content:
    """Return what is noted of a case; the head is looked for where slices with brain or patches will be wanted."""
    labels, head = prepared.labels, prepared.head
    if head is None and (data.with_brain or data.dimensions == 3):
        head = head_mask(prepared.image)
    box = None if head is None else bounding_box(head)
    return Content(
        label_counts=() if labels is None else tuple(_counts(labels[..., z]) for z in range(labels.shape[-1])),
        lesion_boxes=() if labels is None else lesion_boxes(labels, LABEL_SCHEMES[data.labels]),
        head_slices=None if head is None else tuple(int(z) for z in np.flatnonzero(head.any(axis=(0, 1)))),
        head_box=None if box is None else _extent(box),
    )


def lesion_boxes(labels: Labels, scheme: LabelScheme) -> tuple[Extent, ...]:
    """Return the box of every lesion.

    A lesion is a connected piece (26 neighbours) of the tumour core; labelled tissue with no core in it, such as
    oedema alone, is a lesion as a whole. In a scheme without a core every connected piece is one.

    Args:
        labels: (X, Y, Z) class ids of the scheme.
    """
    instances, count = label_instances(labels)
    core_ids = scheme.regions.get(CORE)
    if core_ids is not None and count:
        is_core = np.zeros(256, dtype=np.bool_)
        is_core[list(core_ids)] = True
        core = is_core[labels]
        coreless = np.ones(count + 1, dtype=np.bool_)
        coreless[instances[core]] = False
        coreless[0] = False
        instances, count = label_instances(core | coreless[instances])
    return tuple(_extent(box) for box in instance_boxes(instances))


def _extent(box: Box) -> Extent:
    x, y, z = ((int(side.start), int(side.stop)) for side in box)
    return x, y, z


def _counts(plane: Labels) -> dict[int, int]:
    counts = np.bincount(plane.ravel(), minlength=1)
    return {int(label): int(counts[label]) for label in np.flatnonzero(counts) if label}

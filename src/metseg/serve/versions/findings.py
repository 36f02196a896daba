"""The findings of a version: class ids, the number of the lesion at each voxel, and the lesion table.

The same code as for predictions measures the lesions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from metseg.inference.lesion_sides import with_sides
from metseg.inference.lesion_table import InstanceMap, find_lesions
from metseg.labels import LABEL_SCHEMES, LabelScheme
from metseg.lesion import Lesion
from metseg.measure import IDENTITY, MM3_PER_ML, ConfidenceMap, instance_boxes, voxel_volume_mm3
from metseg.version_schemas import Comparison, LesionState, VersionLesion

Labels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class StudyPixels:
    """What the corrections of a study need of its result; all arrays are (X, Y, Z) on one grid.

    Args:
        image: the reference image.
        probability: of any lesion, 0 to 1.
        affine: (4, 4) voxel-to-RAS, mm; None: the study is made of pictures.
        scheme_name: label scheme of the model.
        threshold: of the model.
        gaps: as `metseg.volume.Case.slice_gaps`.
        confidence: from the mean probability of a lesion to its confidence.
    """

    image: npt.NDArray[np.generic]
    probability: npt.NDArray[np.float32]
    affine: npt.NDArray[np.float64] | None
    scheme_name: str
    threshold: float
    gaps: tuple[bool, ...] = ()
    confidence: ConfidenceMap = IDENTITY

    @property
    def scheme(self) -> LabelScheme:
        return LABEL_SCHEMES[self.scheme_name]

    @property
    def shape(self) -> tuple[int, int, int]:
        x, y, z = self.probability.shape
        return x, y, z

    @property
    def voxel_ml(self) -> float | None:
        """Return the volume of a voxel; None for pictures."""
        return None if self.affine is None else voxel_volume_mm3(self.affine) / MM3_PER_ML


@dataclass(frozen=True)
class Findings:
    """The findings of a version.

    Args:
        labels: (X, Y, Z) class ids of all findings, the rejected ones too.
        instances: (X, Y, Z) number of the lesion at each voxel; 0: background.
        table: the lesions: those that count by size, then the rejected ones.
    """

    labels: Labels
    instances: InstanceMap
    table: tuple[VersionLesion, ...]

    @property
    def counted(self) -> tuple[VersionLesion, ...]:
        """Return the lesions that are not rejected."""
        return tuple(lesion for lesion in self.table if lesion.state != LesionState.REJECTED)

    @property
    def mask(self) -> Labels:
        """Return (X, Y, Z) class ids without the rejected findings."""
        return np.where(self.instances <= len(self.counted), self.labels, 0).astype(np.uint8)


@dataclass(frozen=True)
class Draft:
    """The findings of a version before they are measured.

    Args:
        labels: (X, Y, Z) class ids of the findings that count.
        rejected: (X, Y, Z) class ids of the rejected ones; no voxel has both.
        states: state of each lesion of the parent.
        drawn: state of lesions that differ from the parent's; None: they keep its state.
    """

    labels: Labels
    rejected: Labels
    states: Mapping[int, LesionState] = field(default_factory=dict)
    drawn: LesionState | None = None


def measure_draft(draft: Draft, parent: Findings, pixels: StudyPixels) -> Findings:
    """Return the findings of a draft, measured: lesions that count are numbered by size, then the rejected ones."""
    counted, instances = _measured(draft.labels, pixels)
    rejected, others = _measured(draft.rejected, pixels)
    table = [_with_state(lesion, mask, draft, parent) for lesion, mask in _with_masks(counted, instances)]
    for lesion, mask in _with_masks(rejected, others):
        known = _with_state(lesion, mask, draft, parent)
        update = {"id": lesion.id + len(counted), "state": LesionState.REJECTED}
        table.append(known.model_copy(update=update))
    dtype = np.uint16 if len(table) <= np.iinfo(np.uint16).max else np.uint32
    numbers: InstanceMap = np.where(others > 0, others.astype(np.uint32) + len(counted), instances).astype(dtype)
    return Findings(np.where(draft.labels > 0, draft.labels, draft.rejected), numbers, tuple(table))


def compare(before: Findings, after: Findings, voxel_ml: float | None) -> Comparison:
    """Return the comparison of a version with its parent."""
    one, two = before.mask > 0, after.mask > 0
    sizes = int(np.count_nonzero(one)), int(np.count_nonzero(two))
    known = {lesion.id for lesion in before.counted}
    still = {number for lesion in after.counted for number in lesion.was}
    volumes = (None, None) if voxel_ml is None else tuple(round(size * voxel_ml, 4) for size in sizes)
    return Comparison(
        lesions_before=len(before.counted),
        lesions=len(after.counted),
        voxels_before=sizes[0],
        voxels=sizes[1],
        volume_ml_before=volumes[0],
        volume_ml=volumes[1],
        dice=round(2 * int(np.count_nonzero(one & two)) / sum(sizes), 6) if sum(sizes) else None,
        gone=tuple(sorted(known - still)),
        new=tuple(lesion.id for lesion in after.counted if not known & set(lesion.was)),
    )


def number_lesions(labels: Labels, pixels: StudyPixels) -> InstanceMap:
    """Return (X, Y, Z) the number of the lesion at each voxel of a mask, by size."""
    return _measured(labels, pixels)[1]


def _measured(labels: Labels, pixels: StudyPixels) -> tuple[tuple[Lesion, ...], InstanceMap]:
    lesions, instances = find_lesions(
        labels,
        pixels.probability,
        pixels.affine,
        pixels.scheme,
        slicewise=pixels.affine is None,
        gaps=pixels.gaps,
        confidence=pixels.confidence,
    )
    return with_sides(lesions, pixels.image, pixels.affine), instances


#: Where a lesion is: its bounding box, and (X, Y, Z) its voxels in the box.
_Place = tuple[tuple[slice, ...], Mask]


def _with_masks(lesions: Sequence[Lesion], instances: InstanceMap) -> list[tuple[Lesion, _Place]]:
    if not lesions:
        return []
    boxes = instance_boxes(instances)
    return [
        (lesion, (box, np.asarray(instances[box] == lesion.id))) for lesion, box in zip(lesions, boxes, strict=True)
    ]


def _with_state(lesion: Lesion, place: _Place, draft: Draft, parent: Findings) -> VersionLesion:
    """Return a lesion with its state, by the lesions of the parent that its voxels belonged to."""
    box, inside = place
    numbers = parent.instances[box][inside]
    # Voxels of a lesion that was removed and added again belong to no lesion of the parent.
    was = tuple(int(number) for number in np.unique(numbers) if number in draft.states)
    labels = np.where(draft.labels[box] > 0, draft.labels[box], draft.rejected[box])
    is_same = bool(
        len(was) == 1
        and numbers.all()
        and np.count_nonzero(parent.instances == was[0]) == numbers.size
        and np.array_equal(labels[inside], parent.labels[box][inside])
    )
    return VersionLesion(**lesion.model_dump(), state=_state(was, draft, is_same), was=was, changed=not is_same)


def _state(was: Sequence[int], draft: Draft, is_same: bool) -> LesionState:
    if not was:
        return LesionState.ADDED
    if draft.drawn is not None and not is_same:
        return draft.drawn
    states = {draft.states[number] for number in was}
    for state in (LesionState.ACCEPTED, LesionState.UNREVIEWED, LesionState.ADDED):
        if state in states:
            return state
    # Only rejected ones: the reviewer has drawn the lesion again.
    return draft.drawn or LesionState.REJECTED

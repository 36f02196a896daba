"""Apply edits to the findings of a version, or replace them by an uploaded mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from metseg.errors import UsageError
from metseg.labels import most_important
from metseg.measure import grow_region
from metseg.serve.versions.findings import Draft, Findings, Labels, StudyPixels
from metseg.version_schemas import AddEdit, Edit, Grown, LesionEdit, LesionState

#: Largest share of the pixels of a picture that an added region may have.
PICTURE_SHARE: Final = 0.1

_STATES: Final = {"accept": LesionState.ACCEPTED, "reject": LesionState.REJECTED}


def apply_edits(parent: Findings, edits: Sequence[Edit], pixels: StudyPixels) -> tuple[Draft, tuple[Grown, ...]]:
    """Return the findings after the edits, in their order, and the regions that were added.

    Raises:
        UsageError: ``usage.lesion``, no such lesion in the parent version, or it was removed by an earlier edit;
            ``usage.point``, a point outside of the grid or in a finding; ``usage.unknown_name``, an unknown class.
        InputError: see `metseg.measure.grow_region`.
    """
    editor = _Editor(parent, pixels)
    for place, edit in enumerate(edits):
        editor.apply(edit, place)
    return editor.draft(), tuple(editor.grown)


def replace_by_mask(parent: Findings, labels: Labels) -> Draft:
    """Return a draft with an uploaded mask (X, Y, Z); rejected findings that it does not touch stay in the table."""
    rejected = np.where(parent.mask > 0, 0, parent.labels)
    drawn_again = np.unique(parent.instances[(labels > 0) & (rejected > 0)])
    rejected[np.isin(parent.instances, drawn_again)] = 0
    states = {lesion.id: lesion.state for lesion in parent.table}
    return Draft(labels, rejected.astype(np.uint8), states, drawn=LesionState.ACCEPTED)


class _Editor:
    """The findings while edits are applied.

    Args:
        parent: the version that is corrected.
        pixels: of the study.
    """

    def __init__(self, parent: Findings, pixels: StudyPixels) -> None:
        self.parent = parent
        self.pixels = pixels
        self.labels = parent.labels.copy()
        self.states = {lesion.id: lesion.state for lesion in parent.table}
        self.grown: list[Grown] = []

    def apply(self, edit: Edit, place: int) -> None:
        if isinstance(edit, AddEdit):
            self._add(edit, place)
        else:
            self._review(edit, place)

    def draft(self) -> Draft:
        rejected = [number for number, state in self.states.items() if state == LesionState.REJECTED]
        is_rejected = np.isin(self.parent.instances, rejected)
        return Draft(np.where(is_rejected, 0, self.labels), np.where(is_rejected, self.labels, 0), self.states)

    def _review(self, edit: LesionEdit, place: int) -> None:
        if edit.lesion not in self.states:
            known = ", ".join(map(str, self.states))
            raise UsageError(
                "the parent version has no such lesion, or an earlier edit removed it",
                where=f"edits.{place}",
                expected=known or "no lesion is left",
                got=edit.lesion,
                cure="use the numbers of the parent version's lesion table",
                code="usage.lesion",
            )
        if edit.action == "remove":
            self.labels[self.parent.instances == edit.lesion] = 0
            del self.states[edit.lesion]
        else:
            self.states[edit.lesion] = _STATES[edit.action]

    def _add(self, edit: AddEdit, place: int) -> None:
        voxel = self._voxel(edit, place)
        if self.labels[voxel]:
            raise self._occupied(voxel, place)
        x, y, z = voxel
        # Of pictures, only the one with the point: nothing is known of the distance to the next.
        planes = slice(None) if self.pixels.affine is not None else slice(z, z + 1)
        # Findings are left out, so that a region beside a lesion does not contain it.
        free = np.where(self.labels[:, :, planes] > 0, np.float32(0), self.pixels.probability[:, :, planes])
        region = grow_region(
            free,
            (x, y, z if self.pixels.affine is not None else 0),
            highest=self.pixels.threshold,
            most_voxels=self._most_voxels(edit),
            threshold=edit.threshold,
        )
        value, name = self._class(edit)
        self.labels[:, :, planes][region.mask] = value
        size, voxel_ml = int(np.count_nonzero(region.mask)), self.pixels.voxel_ml
        self.grown.append(
            Grown(
                edit=place,
                voxel=voxel,
                probability=round(region.probability, 6),
                threshold=round(region.threshold, 6),
                voxels=size,
                volume_ml=None if voxel_ml is None else round(size * voxel_ml, 4),
                label=name,
            )
        )

    def _voxel(self, edit: AddEdit, place: int) -> tuple[int, int, int]:
        if edit.voxel is not None:
            point = np.asarray(edit.voxel, dtype=np.float64)
        elif self.pixels.affine is None:
            raise UsageError(
                "pictures have no position in mm",
                where=f"edits.{place}",
                cure="give voxel: column, row, slice",
                code="usage.point",
            )
        else:
            inverse = np.linalg.inv(self.pixels.affine)
            point = np.rint(inverse[:3, :3] @ np.asarray(edit.point_mm) + inverse[:3, 3])
        if not ((point >= 0) & (point < self.pixels.shape)).all():  # not the reverse: NaN is outside too
            raise UsageError(
                "the point is outside of the image",
                where=f"edits.{place}",
                expected=f"voxels from 0 to {', '.join(str(size - 1) for size in self.pixels.shape)}",
                got=", ".join(f"{value:g}" for value in point),
                cure="choose a point inside of the image",
                code="usage.point",
            )
        x, y, z = (int(value) for value in point)
        return x, y, z

    def _occupied(self, voxel: tuple[int, int, int], place: int) -> UsageError:
        number = int(self.parent.instances[voxel])
        is_known = number in self.states
        return UsageError(
            "the point lies in a finding",
            where=f"edits.{place}",
            got=f"lesion {number}" if is_known else "a region that an earlier edit added",
            cure=f"accept lesion {number}, or choose another point" if is_known else "choose another point",
            code="usage.point",
        )

    def _most_voxels(self, edit: AddEdit) -> int:
        if self.pixels.voxel_ml is None:
            return max(int(PICTURE_SHARE * self.pixels.shape[0] * self.pixels.shape[1]), 1)
        return max(int(edit.max_ml / self.pixels.voxel_ml), 1)

    def _class(self, edit: AddEdit) -> tuple[int, str]:
        """Return class id and name of the added voxels."""
        classes = self.pixels.scheme.classes
        name = most_important(classes.values()) if edit.label is None else edit.label
        for value, known in classes.items():
            if known == name:
                return value, name
        raise UsageError(
            "the model has no such class",
            expected=", ".join(classes.values()),
            cure="use one of these, or leave it out",
            code="usage.unknown_name",
        )


def with_joined(grown: Sequence[Grown], findings: Findings) -> tuple[Grown, ...]:
    """Return the added regions with the lesions of the parent that each is now one lesion with."""
    was = {lesion.id: lesion.was for lesion in findings.table}
    return tuple(
        region.model_copy(update={"joined": was.get(int(findings.instances[region.voxel]), ())}) for region in grown
    )

"""What metseg works on: a `Volume` is one image and its place in space, a `Case` all there is of one examination.

Axes, said once for the whole project:

- A volume is ``(X, Y, Z)``. With an affine, it is in the file's own axis order until `reorient` brings it to RAS+.
- A stack of slices is a volume too: ``x`` is the column of the picture, ``y`` its row, ``z`` the slice in numeric
  order. ``data[:, :, z].T`` is the picture as it lies in the file. Plain pictures have no affine, and nothing is ever
  measured in millimetres for them.
- Several modalities together are ``(C, X, Y, Z)``; tensors are ``(N, C, X, Y, Z)``; a slice network sees
  ``(N, C, X, Y)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from metseg.errors import GeometryError
from metseg.geometry import Grid, spacing_mm

Array = npt.NDArray[np.generic]

#: Canonical modality names and what else they are called in file names, headers and recipes.
MODALITY_ALIASES: Mapping[str, tuple[str, ...]] = {
    "t1n": ("t1", "t1w", "t1pre", "t1_pre", "t1native"),
    "t1c": ("t1ce", "t1gd", "t1post", "t1_post", "t1wce", "t1contrast"),
    "t2w": ("t2", "t2tse"),
    "t2f": ("flair", "t2flair", "t2_flair", "fla"),
}

#: Under this name a case holds the brain mask that came with it, among its images: above 1/2 is brain.
BRAIN_MASK = "brain_mask"


def canonical_modality(name: str) -> str:
    """Return metseg's name of a modality: ``FLAIR`` -> ``t2f``. Unknown names come back in lower case.

    >>> canonical_modality("T1ce"), canonical_modality("flair"), canonical_modality("adc")
    ('t1c', 't2f', 'adc')
    """
    plain = name.strip().lower().replace("-", "_")
    for modality, aliases in MODALITY_ALIASES.items():
        if plain == modality or plain in aliases:
            return modality
    return plain


@dataclass(frozen=True)
class Volume:
    """One image, or one mask.

    Args:
        data: (X, Y, Z) of any real type.
        affine: (4, 4) voxel-to-RAS matrix in mm, or None where the file says nothing about space.
    Raises:
        GeometryError: the array is not three-dimensional, or the affine is not (4, 4), finite and invertible.
    """

    data: Array
    affine: npt.NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.data.ndim != 3:
            raise GeometryError("a volume has three axes", expected="(X, Y, Z)", got=self.data.shape)
        if self.affine is None:
            return
        if self.affine.shape != (4, 4) or not np.isfinite(self.affine).all():
            raise GeometryError("the affine is not a finite 4x4 matrix", got=self.affine.tolist())
        if abs(np.linalg.det(self.affine[:3, :3])) < 1e-12:
            raise GeometryError("the affine is singular", got=self.affine.tolist())

    @property
    def shape(self) -> tuple[int, int, int]:
        x, y, z = self.data.shape
        return x, y, z

    @property
    def spacing_mm(self) -> tuple[float, float, float] | None:
        """Return the voxel size along the array's axes in mm, or None without an affine."""
        if self.affine is None:
            return None
        return spacing_mm(self.affine)

    @property
    def grid(self) -> Grid:
        """Return shape and affine, to compare by `metseg.geometry.same_grid`."""
        return Grid(self.shape, self.affine)


@dataclass(frozen=True)
class SequenceRecord:
    """Which file or series was read as a sequence, and why; carried into every result.

    Args:
        sequence: metseg's name of it, such as ``t1c``.
        source: name of the file without its folders, or of the DICOM series.
        reason: how it was decided, in a clause that repeats no header and no name.
    """

    sequence: str
    source: str
    reason: str


@dataclass(frozen=True)
class BrainMaskRecord:
    """How a brain mask was made that did not come with the case.

    Args:
        method: what made it: a value of the option ``source`` of the step `brain_mask`, such as ``network``.
        sequence: the image it was made from; the mask lies on its grid.
        volume_ml: of the mask.
        model: fingerprint of the bundle; empty for another program.
    """

    method: str
    sequence: str
    volume_ml: float
    model: str = ""


@dataclass(frozen=True)
class Case:
    """All images of one patient at one time point, on one grid or several.

    Args:
        case_id: unique in a data set; names the output files.
        patient: who it is; splits, folds and bootstraps are by this.
        images: modality name to volume, in the order the data set names them.
        labels: the truth as class ids, or None.
        timepoint: which examination of the patient, where the data set says so.
        slice_names: for stacks of pictures, the relative path of each slice without ending, in order of z.
        slice_gaps: for stacks of pictures, before which slices others are missing: for each slice, whether it does not
            follow the one before it. Empty: each follows the one before.
        attributes: what tables beside the data say of the patient (institution, grade), for stratified splits.
        warnings: what was noticed while reading, one sentence each; carried into every result.
        sequence_records: where each image came from and why it was taken for its sequence; empty where that is not
            known, as for simulated cases.
        brain_mask_record: how the image `BRAIN_MASK` was made; None: it came with the case, or there is none.
    """

    case_id: str
    patient: str
    images: Mapping[str, Volume]
    labels: Volume | None = None
    timepoint: str | None = None
    slice_names: tuple[str, ...] = ()
    slice_gaps: tuple[bool, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    sequence_records: tuple[SequenceRecord, ...] = ()
    brain_mask_record: BrainMaskRecord | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        return tuple(self.images)

    @property
    def is_slice_stack(self) -> bool:
        """Return whether the case came from pictures, which know nothing of space."""
        return bool(self.slice_names)

    @property
    def background(self) -> Volume:
        """Return the image to draw on: FLAIR where there is one, for lesions stand out there, else the first."""
        return self.images.get("t2f") or next(iter(self.images.values()))

    def take_slices(self, indices: Sequence[int]) -> Case:
        """Return the case with these slices only, in this order; for stacks of pictures, which have no affine."""
        if not self.is_slice_stack:
            raise GeometryError("only stacks of pictures can be taken apart", where=self.case_id)
        chosen = list(indices)
        images = {name: Volume(image.data[:, :, chosen]) for name, image in self.images.items()}
        labels = None if self.labels is None else Volume(self.labels.data[:, :, chosen])
        names = tuple(self.slice_names[index] for index in chosen)
        return replace(self, images=images, labels=labels, slice_names=names, slice_gaps=self._gaps_of(chosen))

    def _gaps_of(self, chosen: Sequence[int]) -> tuple[bool, ...]:
        """Return `slice_gaps` of some slices; the first keeps its own, for the parts of a stack are joined again."""
        known = self.slice_gaps or (False,) * len(self.slice_names)
        before = [chosen[0] - 1, *chosen[:-1]] if chosen else []
        gaps = tuple(known[index] or index != last + 1 for last, index in zip(before, chosen, strict=True))
        return gaps if any(gaps) else ()

"""One outlined tumour with its images, as the features see it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metseg.geometry import same_grid, spacing_mm, turn_to_ras
from metseg.labels import LABEL_SCHEMES, tissues_of
from metseg.measure import label_instances, label_regions
from metseg.measure.surface_area import surface_areas_mm2
from metseg.preprocess.head_mask import head_mask
from metseg.volume import BRAIN_MASK, Case, Volume

Mask = npt.NDArray[np.bool_]
Image = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tumour:
    """The tumour of one examination.

    Args:
        images: sequence to (X, Y, Z) on the grid of the mask, at least one. Volumes point right, anterior, superior.
        labels: (X, Y, Z) class ids.
        scheme: name of their label scheme.
        spacing_mm: voxel size; None: pictures, which have no size in millimetres.
        brain: (X, Y, Z) brain mask; None: the head is used instead.
        gaps: as `metseg.volume.Case.slice_gaps`.
    """

    images: Mapping[str, Image]
    labels: npt.NDArray[np.uint8]
    scheme: str
    spacing_mm: tuple[float, float, float] | None
    brain: Mask | None = None
    gaps: tuple[bool, ...] = ()

    @cached_property
    def mask(self) -> Mask:
        """Return the whole tumour: all classes together."""
        return self.labels > 0

    @cached_property
    def voxels(self) -> int:
        return int(np.count_nonzero(self.mask))

    @cached_property
    def known_tissues(self) -> frozenset[str]:
        """Return the tissues that the label scheme tells apart."""
        return frozenset(tissues_of(LABEL_SCHEMES[self.scheme]).values())

    def part(self, tissues: Iterable[str]) -> Mask:
        """Return the voxels of some tissues, by the names of `metseg.labels.TISSUES`."""
        ids = [value for value, name in tissues_of(LABEL_SCHEMES[self.scheme]).items() if name in set(tissues)]
        return np.isin(self.labels, ids)

    @cached_property
    def head(self) -> Mask:
        """Return the brain mask, or the head where there is none."""
        if self.brain is not None and self.brain.any():
            return self.brain
        return head_mask(np.stack(list(self.images.values())))

    @cached_property
    def healthy(self) -> Mask:
        """Return the head without the tumour: the reference for intensities."""
        return self.head & ~self.mask

    def values(self, sequence: str) -> Image:
        """Return the intensities of the tumour in a sequence; empty if it is absent."""
        image = self.images.get(sequence)
        return np.zeros(0, np.float32) if image is None else image[self.mask]

    def healthy_values(self, sequence: str) -> Image:
        """Return the intensities of the reference in a sequence; empty if it is absent."""
        image = self.images.get(sequence)
        return np.zeros(0, np.float32) if image is None else image[self.healthy]

    @cached_property
    def component_voxels(self) -> npt.NDArray[np.int64]:
        """Return the number of voxels of each connected piece."""
        if self.spacing_mm is None:
            pieces, _ = label_regions(self.mask, self.gaps)
        else:
            pieces, _ = label_instances(self.mask)
        return np.bincount(pieces.ravel())[1:]

    @cached_property
    def surface_mm2(self) -> float:
        """Return the area of the surface by marching cubes with midpoints; volumes only."""
        assert self.spacing_mm is not None
        padded = np.pad(self.mask, 1).astype(np.uint8)
        codes = np.zeros([side - 1 for side in padded.shape], dtype=np.uint8)
        x, y, z = codes.shape
        for corner in range(8):
            i, j, k = corner >> 2 & 1, corner >> 1 & 1, corner & 1
            codes |= padded[i : i + x, j : j + y, k : k + z] << (7 - corner)
        counts = np.bincount(codes.ravel(), minlength=256)
        return float(counts @ surface_areas_mm2(self.spacing_mm))

    @cached_property
    def largest_slice(self) -> Mask:
        """Return (X, Y) the tumour in the slice along the last axis that shows most of it."""
        return self.mask[:, :, int(self.mask.sum(axis=(0, 1)).argmax())]

    @cached_property
    def axis_lengths(self) -> npt.NDArray[np.float64]:
        """Return the standard deviations of the tumour along its principal axes, the longest first.

        Three in mm for volumes; two in pixels, of `largest_slice`, for pictures.
        """
        if self.spacing_mm is None:
            places = np.argwhere(self.largest_slice).astype(np.float64)
        else:
            places = np.argwhere(self.mask) * np.asarray(self.spacing_mm)
        if len(places) < 2:
            return np.zeros(places.shape[1])
        variances = np.linalg.eigvalsh(np.cov(places.T, bias=True))
        return np.asarray(np.sqrt(np.clip(variances[::-1], 0, None)), dtype=np.float64)


def tumour_of(case: Case, labels: npt.NDArray[np.uint8], scheme: str, *, grid: Volume) -> Tumour:
    """Return the tumour of a case.

    Sequences on another grid than the mask are left out, and so is a sequence that is a copy of another: data sets put
    FLAIR in the place of a sequence that was not acquired.

    Args:
        case: its images.
        labels: (X, Y, Z) class ids, of the truth or of a prediction.
        scheme: name of their label scheme.
        grid: an image or mask on the grid of the labels.
    """
    found = {name: image.data for name, image in case.images.items() if same_grid(image.grid, grid.grid)}
    brain = found.pop(BRAIN_MASK, None)
    arrays = [labels, *found.values(), *(() if brain is None else (brain,))]
    if grid.affine is not None:
        turn = turn_to_ras(grid.affine)
        arrays = [turn(array) for array in arrays]
        sides = spacing_mm(turn.affine(grid.affine, grid.shape))
    images = dict(zip(found, (np.asarray(array, np.float32) for array in arrays[1:]), strict=False))
    return Tumour(
        _without_copies(images),
        np.asarray(arrays[0], np.uint8),
        scheme,
        None if grid.affine is None else sides,
        None if brain is None else np.asarray(arrays[-1]) > 0.5,
        case.slice_gaps,
    )


def joined_slices(tumours: Sequence[Tumour]) -> Tumour:
    """Return the tumour of a stack of pictures from its parts in order; of a single part, the part itself.

    Sequences that a part lacks are left out.
    """
    first = tumours[0]
    if len(tumours) == 1:
        return first
    names = [name for name in first.images if all(name in tumour.images for tumour in tumours)]
    return replace(
        first,
        images={name: np.concatenate([tumour.images[name] for tumour in tumours], axis=2) for name in names},
        labels=np.concatenate([tumour.labels for tumour in tumours], axis=2),
        brain=None,
        gaps=_joined_gaps(tumours),
    )


def _joined_gaps(tumours: Sequence[Tumour]) -> tuple[bool, ...]:
    """Return the gaps of all slices; a part without gaps counts as one of slices without gaps."""
    gaps = [tumour.gaps or (False,) * tumour.labels.shape[2] for tumour in tumours]
    return tuple(gap for part in gaps for gap in part)


def _without_copies(images: Mapping[str, Image]) -> dict[str, Image]:
    """Return the images without copies of an image before them; FLAIR is the first, because it is what is copied."""
    kept: dict[str, Image] = {}
    for name in sorted(images, key=lambda name: name != "t2f"):
        if not any(np.array_equal(images[name], other) for other in kept.values()):
            kept[name] = images[name]
    return kept

"""`Prepared`: a case during preprocessing, with the record of all steps so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from metseg.errors import GeometryError, InputError
from metseg.geometry import grid_difference, is_sheared, shear_degrees
from metseg.recipe import DataPart
from metseg.volume import BRAIN_MASK, Array, BrainMaskRecord, Case, Volume


@dataclass(frozen=True)
class Record:
    """What one step did: enough to undo it exactly and to tell a reader of the result.

    Args:
        step: the step's name in `STEPS`.
        details: JSON values only; for spatial steps what the inverse needs, on the step's own input grid.
    """

    step: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"step": self.step, **self.details}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        return cls(str(raw["step"]), {key: value for key, value in raw.items() if key != "step"})


@dataclass(frozen=True)
class Prepared:
    """The images of one case as one array, between two steps.

    Args:
        image: (C, X, Y, Z) uint8, uint16 or float32.
        modalities: C names, in the order of the channels.
        labels: (X, Y, Z) uint8 class ids, or None.
        affine: (4, 4) voxel-to-RAS of the array as it is now, mm, or None for plain pictures.
        full_scale: the largest value the files could hold (255, 65535); None once the values are no longer the files'.
        head: (X, Y, Z) bool, the tissue as seen before values change, or None where no step asked for it. After the
            step `brain_mask` it is the brain.
        brain: (X, Y, Z) bool, the brain mask of the case, until `brain_mask` takes it as the head.
        brain_record: how that mask was made; None: it came with the case.
        slice_names: as in `Case`.
        records: what was done, in order.
        warnings: of the case and of every step.
    """

    image: Array
    modalities: tuple[str, ...]
    labels: npt.NDArray[np.uint8] | None = None
    affine: npt.NDArray[np.float64] | None = None
    full_scale: float | None = None
    head: npt.NDArray[np.bool_] | None = None
    brain: npt.NDArray[np.bool_] | None = None
    brain_record: BrainMaskRecord | None = None
    slice_names: tuple[str, ...] = ()
    records: tuple[Record, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def grid(self) -> tuple[int, int, int]:
        """Return (X, Y, Z)."""
        _, x, y, z = self.image.shape
        return x, y, z

    def after(self, record: Record, *, warnings: Sequence[str] = (), **changes: Any) -> Prepared:
        """Return a copy with ``changes``, one more record and further warnings."""
        return replace(self, records=(*self.records, record), warnings=(*self.warnings, *warnings), **changes)

    def warned(self, warnings: Sequence[str]) -> Prepared:
        """Return a copy with further warnings."""
        return replace(self, warnings=(*self.warnings, *warnings))


def reference_name(case: Case, data: DataPart) -> str:
    """Return which image's grid the others are brought to and results lie on.

    Raises:
        InputError: the reference that the recipe names is missing, or there is no image at all.
    """
    if data.reference is not None:
        check_present([data.reference], case.modalities, where=case.case_id)
        return data.reference
    wanted = data.inputs or tuple(name for name in case.modalities if name != BRAIN_MASK)
    present = [name for name in wanted if name in case.images]
    check_present(present or wanted, case.modalities, where=case.case_id)
    return present[0]


def stack_case(
    case: Case, modalities: Sequence[str] = (), *, standing_in: Mapping[str, str] = MappingProxyType({})
) -> Prepared:
    """Return the named images of a case as one (C, X, Y, Z) array; no value is changed.

    Whole numbers keep their 8 or 16 bits; everything else becomes float32.

    Args:
        case: with images on one grid.
        modalities: which images, in this order; empty: all, in the case's order.
        standing_in: from a missing modality to the modality that replaces it.
    Raises:
        InputError: a modality is missing (``input.missing_sequence``).
        GeometryError: images or labels of different shapes, or at different places.
    """
    wanted = tuple(modalities) or tuple(name for name in case.modalities if name != BRAIN_MASK)
    sources = [standing_in.get(name, name) for name in wanted]
    check_present(sources, case.modalities, where=case.case_id)
    check_grids(case, sources)
    volumes = [case.images[name] for name in sources]
    types = [_plain_type(volume.data) for volume in volumes]
    # Filled in place: at no time is there more than the files' arrays and this one.
    image = np.empty((len(volumes), *volumes[0].shape), dtype=np.result_type(*types))
    for channel, volume in zip(image, volumes, strict=True):
        channel[...] = volume.data
    brain = case.images.get(BRAIN_MASK)
    return Prepared(
        image=image,
        modalities=wanted,
        labels=None if case.labels is None else _label_type(case.labels, case.case_id),
        affine=volumes[0].affine,
        full_scale=full_scale(image),
        brain=None if brain is None else brain.data.astype(np.float32, copy=False) > 0.5,
        brain_record=case.brain_mask_record,
        slice_names=case.slice_names,
        warnings=(*case.warnings, *_stack_warnings(types, volumes[0])),
    )


def _stack_warnings(types: Sequence[np.dtype[Any]], volume: Volume) -> list[str]:
    """Return what is remarkable about the types of the images and about their common grid."""
    warnings = []
    if len(set(types)) > 1:
        names = ", ".join(str(each) for each in types)
        warnings.append(f"images of different data types ({names}) were combined as {np.result_type(*types)}")
    if volume.affine is not None and is_sheared(volume.affine):
        warnings.append(f"the voxel axes deviate from right angles by {shear_degrees(volume.affine):.1f} degrees")
    return warnings


def full_scale(image: Array) -> float | None:
    """Return the largest value an unsigned type can hold; None for other types."""
    return float(2 ** (8 * image.dtype.itemsize) - 1) if image.dtype.kind == "u" else None


def check_present(wanted: Sequence[str], present: Sequence[str], *, where: object) -> None:
    """Raise unless every wanted modality is there.

    Raises:
        InputError: ``input.missing_sequence``, naming the missing ones; also where nothing at all is there.
    """
    missing = [name for name in wanted if name not in present]
    if missing or not wanted:
        raise InputError(
            f"missing sequence {', '.join(missing)}" if missing else "the case has no image",
            where=where,
            expected=", ".join(wanted) or None,
            got=", ".join(present) or "none",
            cure="give the missing sequence, or name the channels of the pictures in data.channels",
            code="input.missing_sequence",
        )


def check_grids(case: Case, wanted: Sequence[str]) -> None:
    """Refuse images, labels and a brain mask that are not on the grid of the first image.

    Raises:
        GeometryError: names the first that is not; nothing is resampled unasked.
    """
    first = case.images[wanted[0]]
    others = {name: case.images[name] for name in (*wanted[1:], BRAIN_MASK) if name in case.images}
    for name, volume in others.items() if case.labels is None else {**others, "labels": case.labels}.items():
        difference = grid_difference(first.grid, volume.grid)
        if difference is not None:
            raise GeometryError(
                f"{name} is not on the grid of {wanted[0]}",
                where=case.case_id,
                expected=first.shape if first.shape != volume.shape else None,
                got=volume.shape if first.shape != volume.shape else difference,
                cure='resample all images to one grid, or put the step {name = "align"} first in the recipe',
                code="input.affine_mismatch" if first.shape == volume.shape else "input.shape_mismatch",
            )
    if 0 in first.shape:
        raise GeometryError(
            "the image has no voxels", where=case.case_id, got=first.shape, cure="remove the case, or export it again"
        )


def _plain_type(data: Array) -> np.dtype[Any]:
    """Return the smallest of uint8, uint16 and float32 that keeps every value; bool and uint8 are uint8."""
    if data.dtype in (np.uint8, np.uint16):
        return data.dtype
    if data.dtype.kind == "b":
        return np.dtype(np.uint8)
    if data.dtype.kind in "iu" and data.min() >= 0 and data.max() <= np.iinfo(np.uint16).max:
        return np.dtype(np.uint16)
    return np.dtype(np.float32)


def _label_type(labels: Volume, where: str) -> npt.NDArray[np.uint8]:
    """Return labels as uint8; what their values mean is checked against the scheme by `prepare`."""
    if labels.data.dtype == np.uint8:
        return np.asarray(labels.data, dtype=np.uint8)
    as_bytes = labels.data.astype(np.uint8)
    if not np.array_equal(as_bytes, labels.data):
        raise InputError(
            "the mask holds values that are not class ids (0 to 255)",
            where=where,
            cure="export the mask as class ids",
            code="input.labels",
        )
    return as_bytes

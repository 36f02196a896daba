"""Brain masks: recognised by the name of the file; read for a DICOM study, whose axes may run otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from metseg.errors import GeometryError
from metseg.geometry import grid_difference, turn_onto
from metseg.io.nifti import read_mask_nifti
from metseg.io.sequences import NamedSequence, is_brain_mask, name_sequence
from metseg.volume import BRAIN_MASK, Volume


def name_sequence_or_mask(stem: str) -> NamedSequence:
    """Return which sequence a file shows by its name, or that it is a brain mask.

    >>> [name_sequence_or_mask(stem).modality for stem in ("t1c_brain_mask", "t1c", "scan")]
    ['brain_mask', 't1c', None]
    """
    return NamedSequence(BRAIN_MASK, "its name says brain mask") if is_brain_mask(stem) else name_sequence(stem)


def read_brain_mask(path: Path, images: Mapping[str, Volume]) -> Volume:
    """Return a brain mask on the grid of one of the images; axes are turned, and no voxel is resampled.

    Converters from DICOM to NIfTI reverse axes, so the mask of a converted series runs otherwise than the series.

    Args:
        path: NIfTI.
        images: at least one; the first grid that fits is taken.
    Raises:
        GeometryError: ``input.affine_mismatch`` or ``input.shape_mismatch``: it lies on no image's grid.
        InputError: the file cannot be read, see `read_mask_nifti`.
    """
    mask = read_mask_nifti(path)
    candidates = [turned for image in images.values() if (turned := _turned(mask, image)) is not None]
    if candidates:
        return candidates[0]
    name, first = next(iter(images.items()))
    alike = any(sorted(image.shape) == sorted(mask.shape) for image in images.values())
    raise GeometryError(
        f"the brain mask lies on no image's grid; against {name}: {grid_difference(first.grid, mask.grid)}",
        where=path,
        cure="masks are never resampled silently: make the mask from one of the series",
        code="input.affine_mismatch" if alike else "input.shape_mismatch",
    )


def _turned(mask: Volume, image: Volume) -> Volume | None:
    """Return a mask with the axes of an image, or None where it does not lie on the image's grid."""
    if mask.affine is None or image.affine is None:
        return None
    turn = turn_onto(mask.affine, image.affine)
    turned = Volume(turn(mask.data), turn.affine(mask.affine, mask.shape))
    return turned if grid_difference(image.grid, turned.grid) is None else None

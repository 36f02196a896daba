"""Brain masks: recognise them by file name, and match their axes to a DICOM study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from metseg.errors import GeometryError
from metseg.geometry import grid_difference, turn_onto
from metseg.io.sequence_names import NamedSequence, is_brain_mask, name_sequence, shared_prefix, without_patient
from metseg.io.volumes.nifti import read_mask_nifti
from metseg.volume import BRAIN_MASK, Volume


def name_sequences_or_masks(stems: Sequence[str]) -> list[NamedSequence]:
    """Return which sequence each file of one study shows by its name, or that it is a brain mask.

    >>> [named.modality for named in name_sequences_or_masks(["t1c_brain_mask", "t1c", "scan"])]
    ['brain_mask', 't1c', None]
    >>> [named.modality for named in name_sequences_or_masks(["CT_001_T1", "CT_001_FLAIR"])]
    ['t1n', 't2f']
    """
    prefix = shared_prefix(stems)
    return [name_sequence_or_mask(stem, prefix=prefix) for stem in stems]


def name_sequence_or_mask(stem: str, *, prefix: str = "") -> NamedSequence:
    """Return which sequence a file shows by its name, or that it is a brain mask; see `name_sequence`."""
    if is_brain_mask(without_patient(stem, prefix)):
        return NamedSequence(BRAIN_MASK, "its name contains brain mask")
    return name_sequence(stem, prefix=prefix)


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
        f"the brain mask fits no image's grid; compared with {name}: {grid_difference(first.grid, mask.grid)}",
        where=path,
        cure="create the mask from one of the series; masks are never resampled silently",
        code="input.affine_mismatch" if alike else "input.shape_mismatch",
    )


def _turned(mask: Volume, image: Volume) -> Volume | None:
    """Return a mask with the axes of an image, or None where it does not lie on the image's grid."""
    if mask.affine is None or image.affine is None:
        return None
    turn = turn_onto(mask.affine, image.affine)
    turned = Volume(turn(mask.data), turn.affine(mask.affine, mask.shape))
    return turned if grid_difference(image.grid, turned.grid) is None else None

"""Compute the affine in mm from a NIfTI header, and notes on unusual headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from metseg.errors import GeometryError
from metseg.geometry import Affine, Grid, Shape, grid_difference, is_sheared, shear_degrees, spacing_mm
from metseg.volume import Volume

#: How far sform and qform may put a corner of the image apart, in mm, before it is worth a word.
FORMS_TOLERANCE_MM = 0.5

#: The spatial bits of ``xyzt_units``, and the standard's codes in mm. Files without a unit are in mm by custom.
UNIT_BITS = 0b111
UNITS: Mapping[int, tuple[str, float]] = {
    0: ("unknown", 1.0),
    1: ("metre", 1000.0),
    2: ("millimetre", 1.0),
    3: ("micrometre", 0.001),
}
#: Voxel sizes outside these come from a wrong unit: no MR image of a head has them.
SMALLEST_MM, LARGEST_MM = 1e-2, 1e2
#: So long is the longest axis of an image of a head, or of a part of one; outside these the unit is wrong.
SMALLEST_EXTENT_MM, LARGEST_EXTENT_MM = 5.0, 2000.0

#: A quaternion's imaginary part may be so much longer than 1, by rounding; the reference library scales it to 1.
QUATERNION_EXCESS = 1e-3


def affine_of(header: Any, shape: Sequence[int], path: Path) -> Affine:
    """Return the voxel-to-RAS matrix in mm that the standard prefers: sform, else qform, else voxel sizes alone.

    Args:
        header: of the file.
        shape: of the image; what comes after three axes does not count.
        path: named in a message.
    Raises:
        GeometryError: ``input.geometry``, no such matrix, or voxels or a whole image of an impossible size.
    """
    try:
        affine = _in_mm(_standard(header).get_best_affine(), header)
    except (nib.spatialimages.HeaderDataError, ValueError) as error:
        raise GeometryError(
            "the file's affine is invalid", where=path, got=error, cure="export the file again with a valid affine"
        ) from None
    _check_sizes(affine, shape, header, path)
    return affine


def geometry_notes(header: Any, volume: Volume) -> tuple[str, ...]:
    """Return notes on an unusual affine, one sentence each.

    Args:
        header: of the file.
        volume: with the affine from `affine_of`.
    """
    affine = volume.affine
    assert affine is not None
    notes = [*_unit_notes(header)]
    if int(header["sform_code"]) == 0 and int(header["qform_code"]) == 0:
        notes.append("the file has no sform or qform: only its voxel sizes are known")
    elif int(header["sform_code"]) and int(header["qform_code"]):
        notes += _disagreement(header, affine, volume.shape)
    if is_sheared(affine):
        angle = f"{shear_degrees(affine):.1f} degrees off the right angle"
        notes.append(f"the affine is sheared ({angle}): processing uses voxel space")
    return tuple(notes)


def _standard(header: Any) -> Any:
    """Return a copy of the header, repaired as the standard and its reference library do, where nibabel raises.

    A ``pixdim[0]`` that is neither 1 nor -1 counts as 1 (nifti1.h, method 2). A quaternion with an imaginary part
    longer than 1 by rounding is scaled to length 1, with a real part of 0.
    """
    mended = header.copy()
    mended["pixdim"][0] = -1.0 if float(header["pixdim"][0]) < 0 else 1.0
    imaginary = np.array([float(header[f"quatern_{axis}"]) for axis in "bcd"])
    length = float(np.linalg.norm(imaginary))
    if 1 < length <= 1 + QUATERNION_EXCESS:
        for axis, value in zip("bcd", imaginary / length, strict=True):
            mended[f"quatern_{axis}"] = value
    return mended


def _in_mm(affine: Any, header: Any) -> Affine:
    """Return an affine of the header's unit in mm."""
    _, factor = UNITS.get(_unit(header), UNITS[0])
    converted = np.asarray(affine, dtype=np.float64).copy()
    converted[:3] *= factor
    return converted


def _unit(header: Any) -> int:
    return int(header["xyzt_units"]) & UNIT_BITS


def _unit_notes(header: Any) -> list[str]:
    unit = _unit(header)
    if unit not in UNITS:
        return [f"the file gives its voxel sizes in an unknown unit (code {unit}): millimetres were assumed"]
    name, factor = UNITS[unit]
    return [] if factor == 1 else [f"the file gives its voxel sizes in {name}s: they were converted to millimetres"]


def _check_sizes(affine: Affine, shape: Sequence[int], header: Any, path: Path) -> None:
    """Refuse sizes that show a wrong unit; a singular or infinite matrix is refused where the volume is made."""
    sizes = np.array(spacing_mm(affine))
    if not np.isfinite(sizes).all() or (sizes == 0).any():
        return
    extents = sizes[: len(shape)] * shape[:3]
    checks = (
        ("implausible voxel size for an MR image of a head", sizes, sizes, SMALLEST_MM, LARGEST_MM),
        (
            "implausible image size for an MR image of a head",
            extents,
            extents.max(),
            SMALLEST_EXTENT_MM,
            LARGEST_EXTENT_MM,
        ),
    )
    for what, shown, checked, smallest, largest in checks:
        if np.min(checked) < smallest or np.max(checked) > largest:
            name, _ = UNITS.get(_unit(header), UNITS[0])
            along = "" if shown is checked else " along the longest axis"
            raise GeometryError(
                what,
                where=path,
                expected=f"{smallest:g} to {largest:g} mm{along}",
                got=f"{' x '.join(f'{size:.3g}' for size in shown)} mm (unit in the header: {name})",
                cure="correct the unit (xyzt_units) or the voxel sizes in the header",
            )


def _disagreement(header: Any, affine: Affine, shape: Shape) -> list[str]:
    """Return a note where the file says twice, and differently, where it lies."""
    try:
        other = _in_mm(_standard(header).get_qform(), header)
    except (nib.spatialimages.HeaderDataError, ValueError):
        return ["the qform is damaged: the sform was used"]
    if not np.isfinite(other).all() or not np.linalg.norm(other[:3, :3], axis=0).all():
        return ["the qform is damaged: the sform was used"]
    difference = grid_difference(Grid(shape, affine), Grid(shape, other), tolerance_mm=FORMS_TOLERANCE_MM)
    return [] if difference is None else [f"sform and qform differ ({difference}): the sform was used"]

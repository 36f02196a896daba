"""Read NIfTI from bytes, reorient it to RAS+, and write it for the viewer."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from typing import Any, Final

import nibabel
import numpy as np
import numpy.typing as npt
from nibabel import orientations

from metseg.client.service_errors import Unexpected

Array = npt.NDArray[Any]
Matrix = npt.NDArray[np.float64]

#: Compression level of copies for the viewer. They are rewritten with every change, so speed matters more than size.
_FAST: Final = 1
_GZIP: Final = b"\x1f\x8b"
#: nibabel has no type annotations.
_Image: Any = nibabel.nifti1.Nifti1Image
_orientations: Any = orientations


@dataclass(frozen=True)
class Image:
    """An image in RAS+ order.

    Args:
        data: (X, Y, Z) stored values.
        affine: (4, 4) voxel-to-RAS of this array, mm.
        slope: scale factor of stored values.
        intercept: offset added after scaling.
        from_file: (4, 4) from array indices in the file to indices of this array.
    """

    data: Array
    affine: Matrix
    slope: float
    intercept: float
    from_file: Matrix

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        x, y, z = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return float(x), float(y), float(z)


def read_nifti(content: bytes) -> Image:
    """Return an image from the bytes of a ``.nii`` or ``.nii.gz`` file, reoriented to RAS+.

    Raises:
        Unexpected: the bytes are not a NIfTI file.
    """
    try:
        image = _Image.from_bytes(gzip.decompress(content) if content.startswith(_GZIP) else content)
        stored = np.asarray(image.dataobj.get_unscaled())
        slope, intercept = float(image.dataobj.slope), float(image.dataobj.inter)
    except Exception as error:  # gzip, zlib, numpy and nibabel raise many kinds of errors for invalid files
        raise Unexpected("a result is not a NIfTI file", got=type(error).__name__) from None
    affine = _affine_of(image)
    order = _orientations.io_orientation(affine)
    to_file = np.asarray(_orientations.inv_ornt_aff(order, stored.shape), dtype=np.float64)
    turned = np.asarray(_orientations.apply_orientation(stored, order))
    return Image(turned, affine @ to_file, slope, intercept, inverse(to_file))


def _affine_of(image: Any) -> Matrix:
    """Return voxel-to-RAS; for a file without orientation, a diagonal matrix along its axes.

    For such files nibabel would flip x, for compatibility with an old program.
    """
    header = image.header
    if int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0:
        return np.asarray(image.affine, dtype=np.float64)
    return np.diag([*(float(size) or 1.0 for size in header.get_zooms()[:3]), 1.0])


def write_nifti(data: Array, affine: Matrix) -> bytes:
    """Return a ``.nii.gz`` file for the viewer.

    Args:
        data: (X, Y, Z).
        affine: (4, 4) voxel-to-RAS, mm.
    """
    image = _Image(data, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code="scanner")
    image.set_qform(None, code="unknown")
    return gzip.compress(image.to_bytes(), compresslevel=_FAST, mtime=0)


def inverse(matrix: Matrix) -> Matrix:
    """Return the inverse of a matrix."""
    return np.asarray(np.linalg.inv(matrix), dtype=np.float64)


def moved(matrix: Matrix, point: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return a point transformed by a (4, 4) matrix.

    >>> moved(np.diag([2.0, 2.0, 2.0, 1.0]), [1, 2, 3]).tolist()
    [2.0, 4.0, 6.0]
    """
    return np.asarray(matrix[:3, :3] @ np.asarray(point, dtype=np.float64) + matrix[:3, 3])

"""Read masks from NIfTI files, to the last byte: a file cut short or damaged is an error, never half a mask."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np

from metseg.errors import GeometryError, InputError, ResourceError
from metseg.volume import Array, Volume

#: Endings of the files that are read.
NIFTI_ENDINGS = (".nii.gz", ".nii")

#: A mask that needs more than this in memory is refused before anything is allocated.
MAX_BYTES = 4 * 2**30

_GZIP_MAGIC = b"\x1f\x8b"
#: The header's own length comes first, in either byte order; nibabel would overlook a wrong one.
_KINDS: Mapping[Any, tuple[bytes, bytes]] = {
    nib.Nifti1Header: ((348).to_bytes(4, "little"), (348).to_bytes(4, "big")),
    nib.Nifti2Header: ((540).to_bytes(4, "little"), (540).to_bytes(4, "big")),
}
#: Long enough for both NIfTI-1 (348 bytes) and NIfTI-2 (540 bytes).
_HEADER_BYTES = 544


def read_mask_nifti(path: Path) -> Volume:
    """Return the values of a mask as they are stored, and its affine.

    Args:
        path: ``.nii`` or ``.nii.gz``.
    Returns:
        (X, Y, Z) of the file's own type, in the file's own axis order; a trailing axis of length 1 is squeezed.
    Raises:
        InputError: no such file, not NIfTI, cut short, damaged, more than three axes, or colours instead of numbers.
        GeometryError: the affine is singular or not finite.
        ResourceError: larger than `MAX_BYTES`.
    """
    image = _image_from(_whole_content(path), path)
    data = _three_axes(np.asarray(image.dataobj), path)
    if data.dtype.names is not None or not np.issubdtype(data.dtype, np.number):
        raise InputError("a mask holds numbers, not colours", where=path, got=data.dtype, code="input.format")
    try:
        return Volume(data, np.asarray(image.affine, dtype=np.float64))
    except GeometryError as error:
        raise GeometryError(error.what, where=path, got=error.got, code=error.code) from None


def _whole_content(path: Path) -> bytes:
    """Return the uncompressed content; gzip is read to its end, where its checksum is verified."""
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            stream: BinaryIO = gzip.GzipFile(fileobj=file) if compressed else file  # type: ignore[assignment]
            return _bounded(stream, path)
    except FileNotFoundError:
        raise InputError("no such file", where=path, code="input.missing") from None
    except EOFError:
        raise InputError("the file is truncated", where=path, cure="copy it again", code="input.truncated") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            "the compressed file is damaged", where=path, got=error, cure="copy it again", code="input.checksum"
        ) from None
    except OSError as error:
        raise InputError("cannot read the file", where=path, got=error.strerror, code="input.unreadable") from None


def _bounded(stream: BinaryIO, path: Path) -> bytes:
    """Read header, then exactly what the header announces; what follows is refused as it is no part of an image."""
    head = stream.read(_HEADER_BYTES)
    expected = _announced_bytes(head, path)
    if expected > MAX_BYTES:
        raise ResourceError(
            "the mask is too large",
            where=path,
            expected=f"at most {MAX_BYTES / 2**30:.0f} GiB",
            got=f"{expected / 2**30:.1f} GiB",
            code="input.too_large",
        )
    body = stream.read(max(expected - len(head), 0))
    if len(head) + len(body) < expected:
        raise InputError(
            "the file is truncated",
            where=path,
            expected=f"{expected} bytes",
            got=len(head) + len(body),
            cure="copy it again",
            code="input.truncated",
        )
    if stream.read(1):
        raise InputError("there are data after the end of the image", where=path, code="input.trailing_data")
    return head + body


def _announced_bytes(head: bytes, path: Path) -> int:
    header: Any = _header(head, path)
    shape = [int(size) for size in header.get_data_shape()]
    if not shape or min(shape) < 1:
        raise GeometryError("the header announces an image without voxels", where=path, got=tuple(shape))
    voxels = 1
    for size in shape:
        voxels *= size
    return int(header.get_data_offset()) + voxels * int(header.get_data_dtype().itemsize)


def _header(head: bytes, path: Path) -> Any:
    """Return the header as nibabel's object, which has no types of its own."""
    kind = next((kind for kind, starts in _KINDS.items() if head.startswith(starts)), None)
    if kind is None or len(head) < kind.sizeof_hdr or not kind.may_contain_header(head):
        raise InputError(
            "not a NIfTI file",
            where=path,
            got="an empty file" if not head else "something else",
            cure="give .nii or .nii.gz in one piece",
            code="input.format",
        )
    try:
        return kind.from_fileobj(io.BytesIO(head))
    except (nib.spatialimages.HeaderDataError, nib.filebasedimages.ImageFileError, ValueError) as error:
        raise InputError("the NIfTI header is wrong", where=path, got=error, code="input.format") from None


def _image_from(content: bytes, path: Path) -> nib.Nifti1Image:
    header = _header(content[:_HEADER_BYTES], path)
    kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
    try:
        return kind.from_bytes(content)
    except (nib.spatialimages.HeaderDataError, nib.filebasedimages.ImageFileError, ValueError) as error:
        raise InputError("the NIfTI file is damaged", where=path, got=error, code="input.format") from None


def _three_axes(data: Array, path: Path) -> Array:
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim == 2:
        data = data[..., np.newaxis]
    if data.ndim != 3:
        raise GeometryError(
            "a mask has three axes",
            where=path,
            expected="(X, Y, Z)",
            got=data.shape,
            cure="save one time point or channel",
            code="input.axes",
        )
    return data

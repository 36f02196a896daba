"""Read a NIfTI file completely; a truncated, damaged or overlong file raises an error.

nibabel neither verifies a gzip checksum nor says when a file is longer than its header announces, and repairs headers
silently. Only its tables of the header are used here.
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
import numpy.typing as npt

from metseg.errors import GeometryError, InputError
from metseg.volume import Array

#: Endings of the files that are read.
NIFTI_ENDINGS = (".nii.gz", ".nii")

#: A file that needs more than this in memory is refused before anything is allocated.
MAX_BYTES = 4 * 2**30

_GZIP_MAGIC = b"\x1f\x8b"
#: The header's own length comes first and tells version and byte order.
_KINDS: Mapping[bytes, tuple[Any, str]] = {
    size.to_bytes(4, order): (kind, mark)  # type: ignore[arg-type]
    for size, kind in ((348, nib.Nifti1Header), (540, nib.Nifti2Header))
    for order, mark in (("little", "<"), ("big", ">"))
}
_START_BYTES = 4
#: So much is read at once, so that a file that ends early never costs what its header announces.
_CHUNK_BYTES = 2**24


@dataclass(frozen=True)
class NiftiFile:
    """One file read whole.

    Args:
        header: nibabel's header, unmodified; nibabel provides no type annotations.
        samples: 1 to 7 axes, in the file's axis order and of the file's type, before any scaling; axes of length 1
            after the fourth are left out.
    """

    header: Any
    samples: Array


@dataclass(frozen=True)
class _Plan:
    """What a header announces."""

    header: Any
    shape: tuple[int, ...]
    dtype: npt.DTypeLike
    offset: int
    bytes_total: int


def read_nifti(path: Path) -> NiftiFile:
    """Return header and samples of a ``.nii`` or ``.nii.gz`` file; the content decides, not the name.

    Raises:
        InputError: ``input.missing``, ``input.unreadable``, ``input.format``, ``input.truncated``, ``input.checksum``,
            ``input.trailing_data``, or ``input.too_large`` (over `MAX_BYTES`, said before anything is allocated).
        GeometryError: the header announces no voxels.
    """
    with _opened(path) as stream:
        return _read(stream, path)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, unpacked where its content is packed, and name what goes wrong while it is read."""
    try:
        with path.open("rb") as file:
            compressed = file.read(2) == _GZIP_MAGIC
            file.seek(0)
            yield gzip.GzipFile(fileobj=file) if compressed else file  # type: ignore[misc]
    except FileNotFoundError:
        raise InputError("no such file", where=path, cure="check the path", code="input.missing") from None
    except EOFError:
        raise _truncated(path) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            "the compressed file is damaged", where=path, got=error, cure="copy it again", code="input.checksum"
        ) from None
    except OSError as error:
        raise InputError(
            "cannot read the file",
            where=path,
            got=error.strerror,
            cure="check its permissions",
            code="input.unreadable",
        ) from None


def read_nifti_header(path: Path) -> tuple[Any, tuple[int, ...]]:
    """Return a file's header and the shape it announces, refusing what these alone make impossible; no sample is read.

    Raises:
        InputError, GeometryError: as `read_nifti`, but for what only the samples tell.
    """
    with _opened(path) as stream:
        plan = _plan(stream.read(_START_BYTES), stream, path)
    size = path.stat().st_size
    if isinstance(stream, gzip.GzipFile) or size == plan.bytes_total:
        return plan.header, plan.shape
    if size < plan.bytes_total:
        raise _truncated(path, expected=plan.bytes_total, got=size)
    raise _trailing(path)


def _read(stream: BinaryIO, path: Path) -> NiftiFile:
    plan = _plan(stream.read(_START_BYTES), stream, path)
    header_bytes = int(plan.header.sizeof_hdr)
    content = np.empty(plan.bytes_total - header_bytes, dtype=np.uint8)
    filled = 0
    while filled < content.size:
        piece = stream.read(min(_CHUNK_BYTES, content.size - filled))
        if not piece:
            raise _truncated(path, expected=plan.bytes_total, got=header_bytes + filled)
        content[filled : filled + len(piece)] = np.frombuffer(piece, dtype=np.uint8)
        filled += len(piece)
    _refuse_more(stream, path)
    samples = content[plan.offset - header_bytes :].view(plan.dtype).reshape(plan.shape, order="F")
    native = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    return NiftiFile(plan.header, native)


def _refuse_more(stream: BinaryIO, path: Path) -> None:
    """Refuse data after the image, and verify the checksum of a gzip file."""
    try:
        more = bool(stream.read(1))
    except gzip.BadGzipFile as error:
        if "Not a gzipped file" not in str(error):
            raise
        more = True  # the image is whole, and what follows it is no further gzip member
    if more:
        raise _trailing(path)


def _plan(start: bytes, stream: BinaryIO, path: Path) -> _Plan:
    header = _header(start, stream, path)
    axes = int(header["dim"][0])
    shape = tuple(int(size) for size in header["dim"][1 : axes + 1])
    if not 1 <= axes <= 7 or min(shape) < 1:
        raise GeometryError(
            "the header declares an image without voxels",
            where=path,
            expected="1 to 7 axes, each of length 1 or more",
            got=shape if 1 <= axes <= 7 else f"{axes} axes",
            cure="export the file again",
            code="input.axes",
        )
    while len(shape) > 4 and shape[-1] == 1:  # trailing axes of length 1 hold nothing
        shape = shape[:-1]
    dtype = _dtype(header, path)
    offset = _offset(header, path)
    total = offset + math.prod(shape) * dtype.itemsize
    if total > MAX_BYTES:
        raise InputError(
            "the image is too large",
            where=path,
            expected=f"at most {MAX_BYTES / 2**30:.0f} GiB",
            got=f"{total / 2**30:.1f} GiB",
            cure="crop or resample it; MR studies are smaller",
            code="input.too_large",
        )
    return _Plan(header, shape, dtype, offset, total)


def _header(start: bytes, stream: BinaryIO, path: Path) -> Any:
    kind, byte_order = _KINDS.get(start, (None, ""))
    block = start if kind is None else start + stream.read(kind.sizeof_hdr - len(start))
    if kind is None or len(block) < kind.sizeof_hdr:
        found = "something else" if kind is None else f"{len(block)} bytes, less than a header"
        is_named_so = path.name.lower().endswith(NIFTI_ENDINGS)
        raise InputError(
            "not a NIfTI file" if is_named_so else "not an image that metseg reads",
            where=path,
            expected=None if is_named_so else "NIfTI (.nii, .nii.gz), DICOM, PNG, TIFF, JPEG, WebP or BMP",
            got=found if start else "an empty file",
            cure="copy or export the file again" if is_named_so else "convert the image to .nii.gz or PNG",
            code="input.format",
        )
    header: Any = kind.from_fileobj(io.BytesIO(block), endianness=byte_order, check=False)
    if bytes(header["magic"].item())[:3] != kind.single_magic[:3]:
        raise InputError(
            "not a single-file NIfTI image",
            where=path,
            got=header["magic"].item(),
            cure="convert a pair of .hdr and .img to .nii.gz",
            code="input.format",
        )
    return header


def _dtype(header: Any, path: Path) -> np.dtype[Any]:
    """Return the type of the samples, refusing colours and complex numbers, which are no intensities."""
    code = int(header["datatype"])
    dtype: np.dtype[Any]
    try:
        dtype = np.dtype(header.get_data_dtype())
    except (KeyError, nib.spatialimages.HeaderDataError):
        dtype = np.dtype(np.void)
    if dtype.kind not in "iuf":
        raise InputError(
            "unsupported NIfTI data type",
            where=path,
            expected="integers or floating-point numbers",
            got=f"NIfTI data type {code}",
            cure="save it as int16 or float32",
            code="input.format",
        )
    return dtype


def _offset(header: Any, path: Path) -> int:
    """Return where the samples begin."""
    stored, least = float(header["vox_offset"]), int(header.single_vox_offset)
    if not least <= stored < math.inf:
        raise InputError(
            "invalid NIfTI header: the voxel data begin inside it",
            where=path,
            expected=f"an offset of {least} or more",
            got=stored,
            cure="export the file again",
            code="input.format",
        )
    return int(stored)


def _trailing(path: Path) -> InputError:
    return InputError(
        "unexpected data after the end of the image",
        where=path,
        cure="export the file again",
        code="input.trailing_data",
    )


def _truncated(path: Path, *, expected: object = None, got: object = None) -> InputError:
    return InputError(
        "the file is truncated",
        where=path,
        expected=None if expected is None else f"{expected} bytes",
        got=got,
        cure="copy it again",
        code="input.truncated",
    )

"""Layout of the voxels of a cached case in a file, for reading slices or patches without the rest.

A slice network reads whole slices: (Z, ..., X, Y), one chunk per slice. A 3D network reads patches: (..., X, Y, Z),
unchanged, in small blocks, so that a patch reads few voxels outside it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from metseg.errors import InputError
from metseg.runtime.atomic_io import atomic_file
from metseg.volume import Array

#: Voxels along the sides of a patch file's chunks and blocks. A block is what is decompressed at once: 16 kB, which
#: stay in a core's first cache, and of a patch's surface little is read in vain. A chunk only bounds the index.
PATCH_CHUNK = (64, 64, 64)
PATCH_BLOCK = (16, 16, 32)

#: Bytes in memory while a checksum is computed.
CHECKSUM_BLOCK = 1 << 20

#: What to do about a cached file that cannot be used.
REBUILD = "remove the file and repeat the command (a training: with --resume); the case is then preprocessed again"

Sizes = tuple[int, ...]
#: First voxel and the one behind the last along each of the axes X, Y, Z.
Extent = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Form:
    """One way to lay an array (..., X, Y, Z) out in a file.

    Args:
        slices_first: it is stored as (Z, ..., X, Y).
        parts: from the stored shape to the shapes of chunks and blocks.
    """

    slices_first: bool
    parts: Callable[[Sizes], tuple[Sizes, Sizes]]

    def stored(self, array: Array) -> Array:
        """Return an array (..., X, Y, Z) as the file holds it."""
        return np.ascontiguousarray(np.moveaxis(array, -1, 0) if self.slices_first else array)

    def take(self, stored: Any, extent: Extent) -> Array:
        """Return a box (..., x, y, z) out of a stored array; only its chunks are read."""
        x, y, z = (slice(first, stop) for first, stop in extent)
        others = (slice(None),) * (stored.ndim - 3)
        taken: Array = stored[(z, *others, x, y) if self.slices_first else (*others, x, y, z)]
        return np.moveaxis(taken, 0, -1) if self.slices_first else taken


def _slice_parts(shape: Sizes) -> tuple[Sizes, Sizes]:
    return (1, *shape[1:]), (*(1,) * (len(shape) - 2), *shape[-2:])


def _patch_parts(shape: Sizes) -> tuple[Sizes, Sizes]:
    others, sizes = shape[:-3], shape[-3:]
    chunk = tuple(min(wanted, size) for wanted, size in zip(PATCH_CHUNK, sizes, strict=True))
    block = tuple(min(wanted, size) for wanted, size in zip(PATCH_BLOCK, chunk, strict=True))
    return (*others, *chunk), (*(1,) * len(others), *block)


#: By the dimensions of what the network sees.
FORMS: Mapping[int, Form] = {2: Form(True, _slice_parts), 3: Form(False, _patch_parts)}


def whole(shape: Sequence[int]) -> Extent:
    """Return the extent of everything in (..., X, Y, Z).

    >>> whole((4, 8, 9, 5))
    ((0, 8), (0, 9), (0, 5))
    """
    x, y, z = shape[-3:]
    return (0, x), (0, y), (0, z)


class Written(NamedTuple):
    """A file as it was written: its size in bytes, the CRC-32 of its content, and its time in ns."""

    size: int
    checksum: int
    time_ns: int


def time_as_written(path: Path, size: int, checksum: int, time_ns: int) -> int | None:
    """Return the time of a file that is as it was written, else None; it is read only where its time is another one."""
    try:
        status = path.stat()
        if status.st_size != size:
            return None
        equal = status.st_mtime_ns == time_ns or _crc32(path) == checksum
    except OSError:
        return None
    return status.st_mtime_ns if equal else None


def _crc32(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(CHECKSUM_BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum


def write_array(path: Path, array: Array, form: Form, stamp: str) -> Written:
    """Write an array (..., X, Y, Z) and return what was written.

    It is compressed in memory and written by Python, because a full disk is an exception there and not in blosc2.
    """
    import blosc2

    stored = form.stored(array)
    chunks, blocks = form.parts(stored.shape)
    compressed = blosc2.asarray(
        stored,
        chunks=chunks,
        blocks=blocks,
        cparams=blosc2.CParams(codec=blosc2.Codec.LZ4, clevel=5, filters=[blosc2.Filter.SHUFFLE], nthreads=1),
        meta={"metseg": {"stamp": stamp}},
    )
    content = compressed.to_cframe()
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)
    return Written(len(content), zlib.crc32(content), path.stat().st_mtime_ns)


def open_array(path: Path, stamp: str) -> Any:
    """Return the blosc2 array, memory-mapped, if it still is the one that was stamped so.

    Raises:
        InputError: gone, damaged, or replaced.
    """
    import blosc2

    try:
        array = blosc2.open(str(path), mode="r", mmap_mode="r", dparams=blosc2.DParams(nthreads=1))
        found = array.schunk.meta["metseg"]["stamp"]
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise unreadable_cache(path, error) from None
    if found != stamp:
        raise InputError("another recipe has overwritten the cached case", where=path, cure=REBUILD, code="input.cache")
    return array


def unreadable_cache(path: Path, error: Exception) -> InputError:
    """Return the error for a cached file that is damaged or of another version."""
    return InputError("cannot read the cached case", where=path, got=error, cure=REBUILD, code="input.cache")

"""`Cache`: cached cases, read slice by slice from memory-mapped files."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from metseg.errors import InputError
from metseg.preprocess.cache.entry import CaseEntry
from metseg.volume import Array

#: Cases whose files one process holds open: two descriptors each, where 1024 is a usual limit for all of them.
OPEN_CASES = 128

FloatImage = npt.NDArray[np.float16] | npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]


class Cache:
    """Prepared cases on disk.

    Cheap to copy into worker processes: files are opened where and when they are first read, the least recently read
    ones are closed again.

    Args:
        folder: where `build_cache` put them.
        entries: one per case, in the order of the sources.
        failed: case id and message of the cases that could not be read, where that was allowed.
    """

    def __init__(self, folder: Path, entries: Sequence[CaseEntry], failed: Sequence[tuple[str, str]] = ()) -> None:
        self.folder = folder
        self.entries = tuple(entries)
        self.failed = tuple(failed)
        self._open: OrderedDict[int, tuple[Any, Any]] = OrderedDict()
        self._process = os.getpid()

    def __len__(self) -> int:
        return len(self.entries)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": OrderedDict()}

    def read_slice(self, case: int, z: int, neighbours: int = 0) -> tuple[FloatImage, Labels]:
        """Return one slice of a case with its truth: `read_image` and `read_labels`."""
        return self.read_image(case, z, neighbours), self.read_labels(case, z)

    def read_image(self, case: int, z: int, neighbours: int = 0) -> FloatImage:
        """Return the image of one slice.

        Args:
            case: index into `entries`.
            z: 0 to Z - 1.
            neighbours: how many slices on each side come along; beyond the ends the last slice is repeated.
        Returns:
            (C (2 neighbours + 1), X, Y) float16, or float32 where values are too large for it; all channels of slice
            z - neighbours first.
        Raises:
            IndexError: no such slice.
            InputError: the file is gone or damaged, or another recipe was cached here since.
        """
        depth = self._check(case, z)
        image, _ = self._arrays(case)
        if neighbours == 0:
            return _floats(image[z])
        low, high = max(z - neighbours, 0), min(z + neighbours + 1, depth)
        wanted = np.clip(np.arange(z - neighbours, z + neighbours + 1), low, high - 1) - low
        stack = _floats(image[low:high])[wanted]
        return stack.reshape(-1, *stack.shape[2:])

    def read_labels(self, case: int, z: int) -> Labels:
        """Return the (X, Y) uint8 class ids of one slice.

        Raises:
            InputError: the case has no truth; else as `read_image`.
        """
        self._check(case, z)
        self._check_truth(case)
        return np.asarray(self._arrays(case)[1][z], dtype=np.uint8)

    def read_case(self, case: int) -> tuple[FloatImage, Labels | None]:
        """Return a whole case: image (C, X, Y, Z) of the type of `read_image`, labels (X, Y, Z) uint8 or None."""
        image, labels = self._arrays(case)
        truth = None if labels is None else np.ascontiguousarray(np.moveaxis(labels[:], 0, -1))
        return _floats(np.ascontiguousarray(np.moveaxis(image[:], 0, -1))), truth

    def close(self) -> None:
        """Close all files; the next read opens what it needs."""
        self._open.clear()

    def _check(self, case: int, z: int) -> int:
        depth = self.entries[case].slices
        if not 0 <= z < depth:
            raise IndexError(f"slice {z} of a case with {depth}")
        return depth

    def _check_truth(self, case: int) -> None:
        if not self.entries[case].has_labels:
            raise InputError(
                "the case has no mask", where=self.entries[case].case_id, cure="leave it out", code="input.no_truth"
            )

    def _arrays(self, case: int) -> tuple[Any, Any]:
        if self._process != os.getpid():
            self._open, self._process = OrderedDict(), os.getpid()
        if case not in self._open:
            while len(self._open) >= OPEN_CASES:
                self._open.popitem(last=False)
            entry = self.entries[case]
            labels = _open(entry.labels_path(self.folder), entry.stamp) if entry.has_labels else None
            self._open[case] = (_open(entry.image_path(self.folder), entry.stamp), labels)
        self._open.move_to_end(case)
        return self._open[case]


def _floats(array: Array) -> FloatImage:
    """Return what blosc2 read, under the type it is known to have."""
    return cast(FloatImage, array)


def _open(path: Path, stamp: str) -> Any:
    """Return the blosc2 array, memory-mapped, if it still is the one that was stamped so."""
    import blosc2

    cure = "build the cache again"
    try:
        array = blosc2.open(str(path), mode="r", mmap_mode="r", dparams=blosc2.DParams(nthreads=1))
        found = array.schunk.meta["metseg"]["stamp"]
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise InputError("cannot read the cached case", where=path, got=error, cure=cure, code="input.cache") from None
    if found != stamp:
        raise InputError("the cached case was replaced by another recipe's", where=path, cure=cure, code="input.cache")
    return array

"""`Cache`: cached cases, read by slices or boxes from memory-mapped files."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from metseg.errors import InputError
from metseg.preprocess.adjacent_slices import neighbour_slices
from metseg.preprocess.cache.cache_arrays import Extent, open_array, unreadable_cache, whole
from metseg.preprocess.cache.cache_entry import CaseEntry
from metseg.volume import Array

#: Number of cases with open files per process: two descriptors each; 1024 is a usual limit for all.
OPEN_CASES = 128
#: And how much of them: what was read of a mapped file counts as the process's memory until the file is closed.
MAPPED_BYTES = 300_000_000

FloatImage = npt.NDArray[np.float16] | npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]


class Cache:
    """Prepared cases on disk.

    Cheap to copy into worker processes: files are opened where and when they are first read, the least recently read
    ones are closed again.

    Args:
        folder: where `build_cache` put them.
        entries: one per case, in the order of the sources.
    """

    def __init__(self, folder: Path, entries: Sequence[CaseEntry]) -> None:
        self.folder = folder
        self.entries = tuple(entries)
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
            (C (2 neighbours + 1), X, Y) float16, or float32 where values are too large for it; the order of the
            channels is that of `with_neighbours`.
        Raises:
            IndexError: the slice does not exist.
            InputError: the file is gone or damaged, or another recipe was cached here since.
        """
        depth = self._check(case, z)
        wanted = neighbour_slices(z, neighbours, depth)
        first, stop = int(wanted[0]), int(wanted[-1]) + 1
        (x, y, _), image = whole(self.entries[case].shape), self._arrays(case)[0]
        stack = np.moveaxis(self._take(case, image, (x, y, (first, stop))), -1, 0)
        if stop - first < len(wanted):
            stack = stack[wanted - first]
        return _floats(stack.reshape(-1, *stack.shape[2:]))

    def read_labels(self, case: int, z: int) -> Labels:
        """Return the (X, Y) uint8 class ids of one slice.

        Raises:
            InputError: the case has no truth; else as `read_image`.
        """
        self._check(case, z)
        x, y, _ = whole(self.entries[case].shape)
        return self.read_box_labels(case, (x, y, (z, z + 1)))[..., 0]

    def read_box(self, case: int, extent: Extent) -> tuple[FloatImage, Labels]:
        """Return a box of a case with its truth: image (C, x, y, z), labels (x, y, z) uint8 class ids.

        Args:
            case: index into `entries`.
            extent: within the volume.
        Raises:
            InputError: as `read_image` and `read_labels`.
        """
        labels = self.read_box_labels(case, extent)
        return _floats(self._take(case, self._arrays(case)[0], extent)), labels

    def read_box_labels(self, case: int, extent: Extent) -> Labels:
        """Return the truth (x, y, z) of a box alone; see `read_box`."""
        self._check_truth(case)
        return np.asarray(self._take(case, self._arrays(case)[1], extent), dtype=np.uint8)

    def read_case(self, case: int) -> tuple[FloatImage, Labels | None]:
        """Return a whole case: image (C, X, Y, Z) of the type of `read_image`, labels (X, Y, Z) uint8 or None."""
        image, labels = self._arrays(case)
        everything = whole(self.entries[case].shape)
        voxels = _floats(np.ascontiguousarray(self._take(case, image, everything)))
        return voxels, None if labels is None else np.ascontiguousarray(self.read_box_labels(case, everything))

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

    def _take(self, case: int, array: Any, extent: Extent) -> Array:
        try:
            return self.entries[case].form.take(array, extent)
        except (RuntimeError, ValueError) as error:  # what blosc2 raises for a chunk that it cannot decompress
            raise unreadable_cache(Path(array.schunk.urlpath), error) from None

    def _arrays(self, case: int) -> tuple[Any, Any]:
        if self._process != os.getpid():
            self._open, self._process = OrderedDict(), os.getpid()
        if case not in self._open:
            entry = self.entries[case]
            self._make_room(sum(entry.stored_bytes))
            labels = open_array(entry.labels_path(self.folder), entry.stamp) if entry.has_labels else None
            self._open[case] = (open_array(entry.image_path(self.folder), entry.stamp), labels)
        self._open.move_to_end(case)
        return self._open[case]

    def _make_room(self, wanted_bytes: int) -> None:
        """Close the least recently read cases until another one of this size may be opened."""
        mapped = sum(sum(self.entries[case].stored_bytes) for case in self._open)
        while self._open and (len(self._open) >= OPEN_CASES or mapped + wanted_bytes > MAPPED_BYTES):
            closed, _ = self._open.popitem(last=False)
            mapped -= sum(self.entries[closed].stored_bytes)


def _floats(array: Array) -> FloatImage:
    """Return what blosc2 read, under the type it is known to have."""
    return cast(FloatImage, array)

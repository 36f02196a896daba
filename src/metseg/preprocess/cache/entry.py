"""`CaseEntry`: one cached case without its voxels, and the three files it lies in.

``<key>.image.b2nd`` (Z, C, X, Y) float16, one chunk per slice; ``<key>.labels.b2nd`` (Z, X, Y) uint8; ``<key>.json``.
The JSON file is written last and taken away first: where it is, the case is whole. All three carry the same stamp.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from metseg.files import atomic_file, write_text
from metseg.io.source import CaseSource
from metseg.preprocess.prepared import Prepared, Record
from metseg.volume import Array, Volume

#: Largest value that still is stored in 16 bits: 65504 is the type's limit.
LARGEST_HALF = 65504.0


@dataclass(frozen=True)
class CaseEntry:
    """What is known of a cached case.

    Args:
        key: the stem of its files.
        case_id, patient, timepoint, slice_names: as in `Case`.
        shape: (C, X, Y, Z) of the prepared image.
        modalities: C names.
        spacing_mm: of the prepared grid, or None for pictures.
        lesion_slices: indices of the slices with any label.
        label_counts: for each slice, class id to number of voxels; background left out.
        has_labels: whether there is a truth at all.
        records, warnings: as in `Prepared`.
        stamp: what made it; see `case_stamp`.
        recipe: stamp of the recipe alone.
        files: names, sizes and times of the files it was made from; see `file_times`.
        stamped_ns: when they were read.
        stored_bytes: sizes of the array files, image first.
    """

    key: str
    case_id: str
    patient: str
    timepoint: str | None
    shape: tuple[int, int, int, int]
    modalities: tuple[str, ...]
    spacing_mm: tuple[float, float, float] | None
    slice_names: tuple[str, ...]
    lesion_slices: tuple[int, ...]
    label_counts: tuple[dict[int, int], ...]
    has_labels: bool
    records: tuple[Record, ...]
    warnings: tuple[str, ...]
    stamp: str
    recipe: str
    files: list[list[Any]]
    stamped_ns: int
    stored_bytes: tuple[int, ...]

    @property
    def slices(self) -> int:
        return self.shape[3]

    def image_path(self, folder: Path) -> Path:
        return folder / f"{self.key}.image.b2nd"

    def labels_path(self, folder: Path) -> Path:
        return folder / f"{self.key}.labels.b2nd"

    def is_whole(self, folder: Path) -> bool:
        """Return whether the array files are there in full."""
        paths = [self.image_path(folder), self.labels_path(folder)][: len(self.stored_bytes)]
        return all(
            path.is_file() and path.stat().st_size == size for path, size in zip(paths, self.stored_bytes, strict=True)
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "records": [record.to_json() for record in self.records]}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Self:
        counts = tuple({int(label): int(count) for label, count in row.items()} for row in raw["label_counts"])
        tuples = {name: tuple(raw[name]) for name in _TUPLES if raw[name] is not None}
        records = tuple(Record.from_json(record) for record in raw["records"])
        return cls(**{**raw, **tuples, "label_counts": counts, "records": records})


_TUPLES = ("shape", "modalities", "spacing_mm", "slice_names", "lesion_slices", "warnings", "stored_bytes")


def case_key(case_id: str) -> str:
    """Return a file stem for a case: readable, safe on every file system, different for different ids.

    >>> case_key("a/b c")
    'a-b-c-0af99a60'
    """
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", case_id).strip("-.")[:80]
    return f"{plain or 'case'}-{hashlib.sha256(case_id.encode()).hexdigest()[:8]}"


def read_entry(folder: Path, key: str) -> CaseEntry | None:
    """Return the entry, or None where there is none, or none that can be understood."""
    try:
        return CaseEntry.from_json(json.loads((folder / f"{key}.json").read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_entry(folder: Path, entry: CaseEntry) -> None:
    write_text(folder / f"{entry.key}.json", json.dumps(entry.to_json()))


def write_case(
    folder: Path, source: CaseSource, prepared: Prepared, *, stamp: str, recipe: str, times: list[list[Any]], at_ns: int
) -> CaseEntry:
    """Store a prepared case; a previous version of it is gone from the first moment on.

    Raises:
        ResourceError: the disk is full; nothing half-written stays.
    """
    key = case_key(source.case_id)
    (folder / f"{key}.json").unlink(missing_ok=True)
    image = _half(np.moveaxis(prepared.image, -1, 0))
    labels = None if prepared.labels is None else np.moveaxis(prepared.labels, -1, 0)
    stored = [_write_array(folder / f"{key}.image.b2nd", image, stamp)]
    if labels is None:
        (folder / f"{key}.labels.b2nd").unlink(missing_ok=True)
    else:
        stored.append(_write_array(folder / f"{key}.labels.b2nd", labels, stamp))
    counts = () if labels is None else tuple(_counts(plane) for plane in labels)
    channels, x, y, z = prepared.image.shape
    entry = CaseEntry(
        key=key,
        case_id=source.case_id,
        patient=source.patient,
        timepoint=source.timepoint,
        shape=(channels, x, y, z),
        modalities=prepared.modalities,
        spacing_mm=Volume(prepared.image[0], prepared.affine).spacing_mm,
        slice_names=prepared.slice_names,
        lesion_slices=tuple(k for k, found in enumerate(counts) if found),
        label_counts=counts,
        has_labels=labels is not None,
        records=prepared.records,
        warnings=prepared.warnings,
        stamp=stamp,
        recipe=recipe,
        files=times,
        stamped_ns=at_ns,
        stored_bytes=tuple(stored),
    )
    write_entry(folder, entry)
    return entry


def _half(image: Array) -> Array:
    """Return float16, which is finer than the images' noise; float32 where values are too large for it."""
    fits = float(image.max()) <= LARGEST_HALF and float(image.min()) >= -LARGEST_HALF
    return np.ascontiguousarray(image, dtype=np.float16 if fits else np.float32)


def _counts(plane: npt.NDArray[np.uint8]) -> dict[int, int]:
    counts = np.bincount(plane.ravel(), minlength=1)
    return {int(label): int(counts[label]) for label in np.flatnonzero(counts) if label}


def _write_array(path: Path, array: Array, stamp: str) -> int:
    """Write one array, a chunk per element of the first axis, and return the file's size in bytes.

    It is compressed in memory and written by Python, because a full disk is an exception there and not in blosc2.
    """
    import blosc2

    stored = blosc2.asarray(
        np.ascontiguousarray(array),
        chunks=(1, *array.shape[1:]),
        blocks=(1,) * (array.ndim - 2) + array.shape[-2:],
        cparams=blosc2.CParams(codec=blosc2.Codec.LZ4, clevel=5, filters=[blosc2.Filter.SHUFFLE], nthreads=1),
        meta={"metseg": {"stamp": stamp}},
    )
    content = stored.to_cframe()
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)
    return len(content)

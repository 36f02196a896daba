"""`CaseEntry`: one cached case without its voxels, and its three files.

``<key>.image.b2nd`` float16 and ``<key>.labels.b2nd`` uint8, laid out for slices or patches (see `cache_arrays`), and
``<key>.json``. The JSON file is written last and removed first: where it exists, the case is complete. All three hold
the same stamp.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from metseg.io.case_source import CaseSource
from metseg.preprocess.cache.cache_arrays import FORMS, Extent, Form, Written, time_as_written, whole, write_array
from metseg.preprocess.cache.case_index import content_of
from metseg.preprocess.prepared_case import Prepared, Record
from metseg.recipe import DataPart
from metseg.runtime.atomic_io import write_text
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
        dimensions: 2: its files are laid out for slices; 3: for patches.
        lesion_slices: indices of the slices with any label.
        label_counts, lesion_boxes, head_slices, head_box: as in `Content`.
        has_labels: whether there is a truth at all.
        records, warnings: as in `Prepared`.
        stamp: what made it; see `case_stamp`.
        recipe: stamp of the recipe alone.
        files: names, sizes and times of the files it was made from; see `file_times`.
        stamped_ns: when they were read.
        stored_bytes: sizes of the array files, image first.
        checksums: CRC-32 of the array files, image first.
        stored_ns: when each was written last, as the file system says; as long as that holds, they are not read again.
    """

    key: str
    case_id: str
    patient: str
    timepoint: str | None
    shape: tuple[int, int, int, int]
    modalities: tuple[str, ...]
    spacing_mm: tuple[float, float, float] | None
    slice_names: tuple[str, ...]
    dimensions: int
    lesion_slices: tuple[int, ...]
    label_counts: tuple[dict[int, int], ...]
    lesion_boxes: tuple[Extent, ...]
    head_slices: tuple[int, ...] | None
    head_box: Extent | None
    has_labels: bool
    records: tuple[Record, ...]
    warnings: tuple[str, ...]
    stamp: str
    recipe: str
    files: list[list[Any]]
    stamped_ns: int
    stored_bytes: tuple[int, ...]
    checksums: tuple[int, ...]
    stored_ns: tuple[int, ...]

    @property
    def slices(self) -> int:
        return self.shape[3]

    @property
    def grid(self) -> tuple[int, int, int]:
        """Return (X, Y, Z)."""
        return self.shape[1:]

    @property
    def form(self) -> Form:
        return FORMS[self.dimensions]

    @property
    def head_extent(self) -> Extent:
        """Return the box around the head, or everything where no head is known."""
        return self.head_box or whole(self.shape)

    def image_path(self, folder: Path) -> Path:
        return folder / f"{self.key}.image.b2nd"

    def labels_path(self, folder: Path) -> Path:
        return folder / f"{self.key}.labels.b2nd"

    def whole_since(self, folder: Path) -> tuple[int, ...] | None:
        """Return the times of the array files, image first; None where one is not as it was written.

        Contents are compared only where a file's time is another one, as in a cache that was copied.
        """
        paths = [self.image_path(folder), self.labels_path(folder)][: len(self.stored_bytes)]
        rows = zip(paths, self.stored_bytes, self.checksums, self.stored_ns, strict=True)
        times = [time_ns for row in rows if (time_ns := time_as_written(*row)) is not None]
        return tuple(times) if paths and len(times) == len(paths) else None

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "records": [record.to_json() for record in self.records]}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Self:
        counts = tuple({int(label): int(count) for label, count in row.items()} for row in raw["label_counts"])
        tuples = {name: _tuples(raw[name]) for name in _TUPLES}
        records = tuple(Record.from_json(record) for record in raw["records"])
        return cls(**{**raw, **tuples, "label_counts": counts, "records": records})


_TUPLES = (
    "shape",
    "modalities",
    "spacing_mm",
    "slice_names",
    "lesion_slices",
    "lesion_boxes",
    "head_slices",
    "head_box",
    "warnings",
    "stored_bytes",
    "checksums",
    "stored_ns",
)


def _tuples(value: Any) -> Any:
    """Return JSON's lists, and those within them, as tuples."""
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


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
    folder: Path,
    source: CaseSource,
    prepared: Prepared,
    *,
    data: DataPart,
    stamp: str,
    recipe: str,
    times: list[list[Any]],
    at_ns: int,
) -> CaseEntry:
    """Store a prepared case; a previous version of it is gone from the first moment on.

    Raises:
        ResourceError: the disk is full; nothing half-written stays.
    """
    key = case_key(source.case_id)
    (folder / f"{key}.json").unlink(missing_ok=True)
    content = content_of(prepared, data)
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
        dimensions=data.dimensions,
        lesion_slices=tuple(number for number, found in enumerate(content.label_counts) if found),
        **content._asdict(),
        has_labels=prepared.labels is not None,
        records=prepared.records,
        warnings=prepared.warnings,
        stamp=stamp,
        recipe=recipe,
        files=times,
        stamped_ns=at_ns,
        stored_bytes=(),
        checksums=(),
        stored_ns=(),
    )
    written = _write_arrays(folder, entry, prepared)
    entry = replace(
        entry,
        stored_bytes=tuple(one.size for one in written),
        checksums=tuple(one.checksum for one in written),
        stored_ns=tuple(one.time_ns for one in written),
    )
    write_entry(folder, entry)
    return entry


def _write_arrays(folder: Path, entry: CaseEntry, prepared: Prepared) -> tuple[Written, ...]:
    """Write the voxels and return what was written, image first."""
    image = write_array(entry.image_path(folder), _half(prepared.image), entry.form, entry.stamp)
    if prepared.labels is None:
        entry.labels_path(folder).unlink(missing_ok=True)
        return (image,)
    return image, write_array(entry.labels_path(folder), prepared.labels, entry.form, entry.stamp)


def _half(image: Array) -> Array:
    """Return float16, which is finer than the images' noise; float32 where values are too large for it."""
    fits = float(image.max()) <= LARGEST_HALF and float(image.min()) >= -LARGEST_HALF
    return image.astype(np.float16 if fits else np.float32)

"""Images by file: a NIfTI file, a channel of one, or a DICOM series given by its path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from metseg.io.label_map_detection import require_image
from metseg.io.sequence_names import NAMED_BY_USER
from metseg.io.volumes.nifti import read_channels
from metseg.volume import Volume

#: Files that are read as DICOM when they are named; a folder is too.
DICOM_ENDINGS = (".dcm", ".zip")

#: Why a file is taken for a sequence where a recipe, or a table of contents, names the channels of a file.
CHANNELS_OF_RECIPE = "the recipe names the channels in this order"
CHANNELS_OF_TABLE = "dataset.json names the channels in this order"


@dataclass(frozen=True)
class ImageFile:
    """The location of one image.

    Args:
        path: a NIfTI file; or a folder, ``.dcm`` or ``.zip`` with one DICOM series.
        channel: which index of its fourth axis, from 0; None: it holds one image only.
        reason: why it has its sequence, in a clause.
    """

    path: Path
    channel: int | None = None
    reason: str = field(default=NAMED_BY_USER, compare=False)

    @property
    def source(self) -> str:
        """Return the file's name without its folders, and the channel where it holds several."""
        return self.path.name if self.channel is None else f"{self.path.name}, channel {self.channel}"


def channel_files(path: Path, names: Sequence[str], *, reason: str = NAMED_BY_USER) -> dict[str, ImageFile]:
    """Return where each sequence of one file lies, in the order of its channels; the only one needs no number."""
    several = len(names) > 1
    return {name: ImageFile(path, index if several else None, reason) for index, name in enumerate(names)}


def read_images(files: Mapping[str, ImageFile]) -> tuple[dict[str, Volume], tuple[str, ...]]:
    """Return each image, in order, and notes that begin with its name; a file with several channels is read once.

    A folder, ``.dcm`` or ``.zip`` must contain one DICOM series.

    Raises:
        InputError: ``input.label_map``, or a file that cannot be used.
    """
    by_path: dict[Path, list[str]] = {}
    for name, file in files.items():
        by_path.setdefault(file.path, []).append(name)
    found: dict[str, tuple[Volume, tuple[str, ...]]] = {}
    for path, names in by_path.items():
        found |= zip(names, _read(path, names, [files[name].channel for name in names]), strict=True)
    for name, (image, _) in found.items():
        require_image(image.data, where=files[name].path)
    notes = tuple(f"{name}: {note}" for name in files for note in found[name][1])
    return {name: found[name][0] for name in files}, notes


def _read(path: Path, names: Sequence[str], channels: Sequence[int | None]) -> Sequence[tuple[Volume, tuple[str, ...]]]:
    if not _is_dicom(path):
        return read_channels(path, channels)
    from metseg.io.dicom import read_series  # pydicom only where there is DICOM

    image = read_series(path, declared=names[0])
    return [(image.volume, tuple(image.warnings)) for _ in channels]


def _is_dicom(path: Path) -> bool:
    return path.is_dir() or path.suffix.lower() in DICOM_ENDINGS


def files_of(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def stem_of(name: str) -> str:
    """Return a file name without ``.nii.gz`` or its last ending.

    >>> stem_of("a.b.nii.gz"), stem_of("scan.nii")
    ('a.b', 'scan')
    """
    return name[:-7] if name.lower().endswith(".nii.gz") else name.rpartition(".")[0] or name

"""Read ``dataset.json``, the metadata file of nnU-Net's and the Medical Segmentation Decathlon's data sets."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from metseg.errors import InputError
from metseg.io.file_index import Tree
from metseg.io.images.channel_names import SINGLE_CHANNEL
from metseg.io.sequence_names import sequence_of
from metseg.labels import NamedLabels, named_labels
from metseg.volume import canonical_modality

FILE = "dataset.json"
#: Folder of images to the folder of their masks.
MASK_FOLDERS = {"imagesTr": "labelsTr", "imagesTs": "labelsTs"}
IMAGE_FOLDERS = tuple(MASK_FOLDERS)


@dataclass(frozen=True)
class Contents:
    """The content of a ``dataset.json``.

    Args:
        channels: modality of each channel, in file order; empty: it does not say.
        labels: what it calls the values of the masks; None: it does not say.
        path: the file; None: there is none.
    """

    channels: tuple[str, ...] = ()
    labels: NamedLabels | None = None
    path: Path | None = None


def base_folders(tree: Tree) -> dict[PurePosixPath, Path]:
    """Return each folder of images below the root, or the root itself, and the data set's folder."""
    found = {}
    for folder in sorted({path.parent for path in tree.volumes}):
        absolute = (tree.root / folder).resolve() if folder == PurePosixPath(".") else tree.root / folder
        if absolute.name in IMAGE_FOLDERS:
            found[folder] = absolute.parent
    return found


def read_contents(folder: Path) -> Contents:
    """Return what the ``dataset.json`` of a data set says; nothing where there is none.

    Raises:
        InputError: ``input.table``, it is damaged.
    """
    path = folder / FILE
    if not path.is_file():
        return Contents()
    try:
        raw = json.loads(path.read_text("utf-8-sig"))
        names = raw.get("channel_names") or raw.get("modality") or {}
        channels = _channels([names[key] for key in sorted(names, key=int)])
        return Contents(channels, _labels(raw.get("labels") or {}, path), path)
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise InputError(
            "cannot read dataset.json",
            where=path,
            got=error,
            cure="repair dataset.json, or move it away",
            code="input.table",
        ) from None


def name_channels(named: Sequence[str], count: int) -> tuple[str, ...]:
    """Return a name for each channel: those given where there are as many, else ``ch0``, ``ch1``, ...

    >>> name_channels(["t2f", "t1c"], 2), name_channels([], 2), name_channels([], 1)
    (('t2f', 't1c'), ('ch0', 'ch1'), ('image',))
    """
    if len(named) == count:
        return tuple(named)
    return (SINGLE_CHANNEL,) if count == 1 else tuple(f"ch{index}" for index in range(count))


def _channels(names: Sequence[Any]) -> tuple[str, ...]:
    modalities = tuple(sequence_of(str(name)) or canonical_modality(str(name)) for name in names)
    return modalities if len(set(modalities)) == len(modalities) else ()


def _labels(labels: Mapping[str, Any], path: Path) -> NamedLabels | None:
    """Return the classes, or the regions, each with its values; None where the table has none.

    nnU-Net has names to values or to lists of them (``"edema": 1``, ``"whole tumor": [1, 2, 3]``), the decathlon and
    nnU-Net's first version have values to names (``"1": "edema"``).
    """
    by_value = all(str(key).isdigit() for key in labels)
    pairs = ((str(name), int(key)) for key, name in labels.items()) if by_value else labels.items()
    entries = [(name, [int(one) for one in (value if isinstance(value, list) else [value])]) for name, value in pairs]
    named = named_labels(entries, str(path))
    return named if named.names else None


def labels_of_mask(mask: Path) -> NamedLabels | None:
    """Return what the ``dataset.json`` in a mask's folder, or beside ``labelsTr``, calls the values of the mask.

    nnU-Net leaves one beside its predictions too.

    Raises:
        InputError: ``input.table``, it is damaged.
    """
    folder = mask.resolve().parent
    beside = read_contents(folder).labels
    return (
        beside
        if beside is not None or folder.name not in MASK_FOLDERS.values()
        else read_contents(folder.parent).labels
    )

"""``dataset.json``, the table of contents of nnU-Net's and the Medical Segmentation Decathlon's data sets."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from metseg.errors import InputError
from metseg.io.channels import SINGLE_CHANNEL
from metseg.io.sequences import sequence_of
from metseg.io.tree import Tree
from metseg.labels import BINARY, LABEL_SCHEMES
from metseg.volume import canonical_modality

FILE = "dataset.json"
IMAGE_FOLDERS = ("imagesTr", "imagesTs")

#: What classes are called, and which of the short names in `LABEL_SCHEMES` they are.
CLASS_NAMES: Mapping[str, tuple[str, ...]] = {
    "NCR": ("ncr", "necrosis", "ncr net", "netc", "non enhancing tumor", "non enhancing tumor core", "necrotic core"),
    "ED": ("ed", "edema", "oedema", "peritumoral edema", "snfh"),
    "ET": ("et", "enhancing", "enhancing tumor", "enhancing tissue"),
    "RC": ("rc", "resection cavity"),
}
REGION_NAMES: Mapping[str, str] = {"whole tumor": "WT", "tumor core": "TC", "enhancing tumor": "ET"}


@dataclass(frozen=True)
class Contents:
    """What a ``dataset.json`` says.

    Args:
        channels: modality of each channel, in file order; empty: it does not say.
        schemes: label schemes that its classes fit.
    """

    channels: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()


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
        return Contents(_channels([names[key] for key in sorted(names, key=int)]), _schemes(raw.get("labels") or {}))
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise InputError(
            "cannot read the table of contents",
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


def _schemes(labels: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the schemes with these classes, or with these regions where the classes are given as regions."""
    by_name = dict(labels) if all(not str(key).isdigit() for key in labels) else {v: int(k) for k, v in labels.items()}
    foreground = {_plain(name): value for name, value in by_name.items() if value not in (0, [0])}
    if any(isinstance(value, list) for value in foreground.values()):
        regions = {
            REGION_NAMES.get(name, name): frozenset(value if isinstance(value, list) else [value])
            for name, value in foreground.items()
        }
        return tuple(name for name in LABEL_SCHEMES if _has_regions(name, regions))
    if list(foreground.values()) == [1]:
        return (BINARY,)
    classes = {int(value): _class(name) for name, value in foreground.items()}
    return tuple(
        name for name, s in LABEL_SCHEMES.items() if {v: _class(_plain(c)) for v, c in s.classes.items()} == classes
    )


def _has_regions(scheme: str, regions: Mapping[str, frozenset[int]]) -> bool:
    known = {name: frozenset(values) for name, values in LABEL_SCHEMES[scheme].regions.items()}
    return known == dict(regions)


def _plain(name: str) -> str:
    """Return a name of a class without case, dashes and British spelling."""
    return re.sub(r"[^a-z0-9]+", " ", name.lower().replace("tumour", "tumor").replace("oedema", "edema")).strip()


def _class(name: str) -> str:
    return next((short for short, names in CLASS_NAMES.items() if name in names), name)

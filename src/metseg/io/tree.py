"""The picture files under a folder, and which mask belongs to which image."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from metseg.errors import InputError

#: File endings that are looked at in a folder. What a file really is, its content decides when it is read.
PICTURE_ENDINGS = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp")

#: What the stem of a mask ends in where it lies beside its image.
MASK_ENDINGS = ("_mask", "-mask", "_seg", "-seg")


@dataclass(frozen=True)
class Tree:
    """What lies under a root, listed once.

    Args:
        root: the folder of the images.
        pictures: relative paths of the picture files, sorted, hidden files and folders left out.
        others: how many other files there are, by ending.
        masks: the tree of the masks where it was given separately.
    """

    root: Path
    pictures: tuple[PurePosixPath, ...]
    others: Mapping[str, int] = field(default_factory=dict)
    masks: Tree | None = None


@dataclass(frozen=True)
class Pair:
    """An image and its mask.

    Args:
        name: relative path of the image without ending; names outputs.
        image: path of the image.
        mask: path of its mask, or None.
        place: what tells the patient: as `name`, but without a folder that only says "images".
    """

    name: PurePosixPath
    image: Path
    mask: Path | None
    place: PurePosixPath


@dataclass(frozen=True)
class Pairing:
    """What a layout finds: pairs, and the masks that belong to no image."""

    pairs: tuple[Pair, ...]
    orphan_masks: tuple[Path, ...] = ()


def scan(root: Path, masks: Path | None = None) -> Tree:
    """List the picture files under `root`, and under `masks` where masks lie elsewhere.

    Raises:
        InputError: ``input.missing``, no such folder.
    """
    if not root.is_dir():
        raise InputError("no such folder", where=root, cure="give the folder of the pictures", code="input.missing")
    pictures: list[PurePosixPath] = []
    others: Counter[str] = Counter()
    seen: set[str] = set()
    for folder, below, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            below.clear()  # a link back to where we have been
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not _is_hidden(name) and Path(folder, name) != masks)
        place = PurePosixPath(Path(folder).relative_to(root).as_posix())
        for name in names:
            if _is_hidden(name):
                continue
            ending = PurePosixPath(name).suffix.lower()
            if ending in PICTURE_ENDINGS:
                pictures.append(place / name)
            else:
                others[ending or "(none)"] += 1
    mask_tree = scan(masks) if masks is not None else None
    return Tree(root, tuple(sorted(pictures)), dict(others), mask_tree)


def plain_stem(stem: str) -> str | None:
    """Return the stem of the image that a mask's stem names, or None where it is no mask's.

    >>> plain_stem("case_7_mask"), plain_stem("case_7")
    ('case_7', None)
    """
    for ending in MASK_ENDINGS:
        if stem.lower().endswith(ending) and len(stem) > len(ending):
            return stem[: -len(ending)]
    return None


def slice_number(stem: str) -> int | None:
    """Return the last number in a stem; it orders the slices, so that 4 comes before 15.

    >>> slice_number("TCGA_CS_4943_20000902_4"), slice_number("scan")
    (4, None)
    """
    numbers = re.findall(r"\d+", stem)
    return int(numbers[-1]) if numbers else None


def unique_by_key(root: Path, entries: Iterable[tuple[PurePosixPath, PurePosixPath]]) -> dict[PurePosixPath, Path]:
    """Return key -> full path for (key, relative path).

    Raises:
        InputError: ``input.duplicate_slice``, two files for one key, both named.
    """
    found: dict[PurePosixPath, Path] = {}
    for key, relative in entries:
        if key in found:
            raise InputError(
                "two masks for one picture",
                where=found[key],
                got=relative.name,
                cure="remove one of them",
                code="input.duplicate_slice",
            )
        found[key] = root / relative
    return found


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"

"""List the files under a folder by kind, and match masks to images."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from metseg.errors import InputError
from metseg.io.volumes.nifti_file import NIFTI_ENDINGS
from metseg.message_text import pluralize

#: File extensions that are listed in a folder. The real format is determined from the content when a file is read.
PICTURE_ENDINGS = (".png", ".tif", ".tiff", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclass(frozen=True)
class Tree:
    """The files under a root, listed once.

    Relative paths are sorted, and hidden files and folders are left out.

    Args:
        root: the folder of the images.
        pictures: relative paths of the picture files.
        others: number of other files by extension.
        masks: the tree of the masks, if given separately.
        volumes: relative paths of the NIfTI files.
        rest: relative paths of all other files; DICOM files often have no extension.
    """

    root: Path
    pictures: tuple[PurePosixPath, ...]
    others: Mapping[str, int] = field(default_factory=dict)
    masks: Tree | None = None
    volumes: tuple[PurePosixPath, ...] = ()
    rest: tuple[PurePosixPath, ...] = ()


@dataclass(frozen=True)
class Pair:
    """An image and its mask.

    Args:
        name: relative path of the image without ending; names outputs.
        image: path of the image.
        mask: path of its mask, or None.
        place: path for finding the patient: as `name`, without a folder such as "images".
    """

    name: PurePosixPath
    image: Path
    mask: Path | None
    place: PurePosixPath


@dataclass(frozen=True)
class Pairing:
    """The result of matching: pairs, masks without an image, and files that are neither."""

    pairs: tuple[Pair, ...]
    orphan_masks: tuple[Path, ...] = ()
    left_out: tuple[PurePosixPath, ...] = ()


def scan(root: Path, masks: Path | None = None) -> Tree:
    """List the files under `root`, and under `masks` where masks lie elsewhere.

    Raises:
        InputError: ``input.missing``, no such folder; ``input.not_a_folder``, a file.
    """
    if root.exists() and not root.is_dir():
        raise InputError(
            "the path is a file, not a folder",
            where=root,
            expected="the root of a data set",
            got="a single file",
            cure="put it, or the content of the archive, into a separate folder and give that folder",
            code="input.not_a_folder",
        )
    if not root.is_dir():
        raise InputError("no such folder", where=root, cure="give the folder of the images", code="input.missing")
    found: dict[str, list[PurePosixPath]] = {"pictures": [], "volumes": [], "rest": []}
    for path in sorted(_walk(root, masks)):
        found[_kind(path.name)].append(path)
    others = Counter(_ending(path.name) for path in (*found["volumes"], *found["rest"]))
    mask_tree = scan(masks) if masks is not None else None
    return Tree(
        root,
        tuple(found["pictures"]),
        dict(others),
        mask_tree,
        volumes=tuple(found["volumes"]),
        rest=tuple(found["rest"]),
    )


def require_pictures(tree: Tree) -> None:
    """Raise where a folder in which no study was found has no pictures either.

    Raises:
        InputError: ``input.layout``.
    """
    if tree.pictures:
        return
    raise InputError(
        "the folder holds no images",
        where=tree.root,
        expected=f"NIfTI files (.nii, .nii.gz), DICOM, or pictures ({', '.join(PICTURE_ENDINGS)})",
        got=", ".join(pluralize(count, f"{ending} file") for ending, count in tree.others.items()) or "an empty folder",
        cure="give the folder of the images, or convert them to NIfTI",
        code="input.layout",
    )


def walk_once(root: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk like `os.walk`, following links but visiting each folder once; callers may modify the subfolder list."""
    seen: set[str] = set()
    for folder, below, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(folder)) in seen:
            below.clear()
            continue
        seen.add(real)
        yield folder, below, names


def _walk(root: Path, left_out: Path | None) -> Iterator[PurePosixPath]:
    """Yield the relative path of every file that is not hidden; see `walk_once`."""
    for folder, below, names in walk_once(root):
        below[:] = sorted(name for name in below if not _is_hidden(name) and Path(folder, name) != left_out)
        place = PurePosixPath(Path(folder).relative_to(root).as_posix())
        yield from (place / name for name in names if not _is_hidden(name))


def _kind(name: str) -> str:
    if name.lower().endswith(NIFTI_ENDINGS):
        return "volumes"
    return "pictures" if PurePosixPath(name).suffix.lower() in PICTURE_ENDINGS else "rest"


def _ending(name: str) -> str:
    nifti = next((ending for ending in NIFTI_ENDINGS if name.lower().endswith(ending)), None)
    return nifti or PurePosixPath(name).suffix.lower() or "(none)"


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
                "two masks for one image",
                where=found[key],
                got=relative.name,
                cure="remove one of them",
                code="input.duplicate_slice",
            )
        found[key] = root / relative
    return found


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"

"""LAYOUTS: the ways in which folders of pictures and masks are arranged. A new one is a function and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from metseg.errors import InputError
from metseg.io.tree import Pair, Pairing, Tree, plain_stem, unique_by_key
from metseg.tables import lookup

#: Names of sibling folders that hold images and their masks, compared in lower case.
IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "mask", "labels", "segmentations")


@dataclass(frozen=True)
class Layout:
    """One arrangement.

    Args:
        looks_like: how it looks, for messages and the documentation.
        matches: whether a tree is arranged so.
        pair: image and mask of each slice.
    """

    looks_like: str
    matches: Callable[[Tree], bool]
    pair: Callable[[Tree], Pairing]


def choose_layout(tree: Tree, name: str = "auto") -> str:
    """Return the name of the layout of a tree.

    Args:
        tree: what lies there.
        name: a name in `LAYOUTS`, or "auto".
    Raises:
        UsageError: no layout is called so.
        InputError: ``input.layout``, the tree is not arranged so, or in no way known.
    """
    if name != "auto":
        layout = lookup("layout", {**LAYOUTS, "auto": None}, name)
        if layout is not None and layout.matches(tree):
            return name
        raise InputError(
            f"the folder is not arranged as layout '{name}'",
            where=tree.root,
            expected=LAYOUTS[name].looks_like,
            cure="leave the layout to be found, or give another",
            code="input.layout",
        )
    for candidate, layout in LAYOUTS.items():
        if layout.matches(tree):
            return candidate
    known = "; ".join(f"{key}: {layout.looks_like}" for key, layout in LAYOUTS.items())
    raise InputError(
        "no pictures in any arrangement that is known",
        where=tree.root,
        expected=known,
        got=", ".join(f"{count} {ending} files" for ending, count in tree.others.items()) or "an empty folder",
        code="input.layout",
    )


def pair_separate_roots(tree: Tree) -> Pairing:
    """Pair equal relative stems under two roots; a mask's stem may end in ``_mask``."""
    if tree.masks is None:
        return Pairing(())
    keyed = unique_by_key(tree.masks.root, ((_mask_key(path), path) for path in tree.masks.pictures))
    images = {path.with_suffix(""): path for path in tree.pictures}
    pairs = tuple(_pair(tree, path, keyed, key=path.with_suffix("")) for path in tree.pictures)
    return Pairing(pairs, tuple(mask for key, mask in keyed.items() if key not in images))


def pair_images_masks(tree: Tree) -> Pairing:
    """Pair equal stems in sibling folders ``images`` and ``masks``, at any depth."""
    images = {path: place for path in tree.pictures if (place := _without_folder(path, IMAGE_FOLDERS)) is not None}
    masks = [(path, place) for path in tree.pictures if (place := _without_folder(path, MASK_FOLDERS)) is not None]
    keyed = unique_by_key(tree.root, ((_mask_key(place), path) for path, place in masks))
    known = {place.with_suffix("") for place in images.values()}
    pairs = tuple(_pair(tree, path, keyed, key=place.with_suffix("")) for path, place in images.items())
    return Pairing(pairs, tuple(mask for key, mask in keyed.items() if key not in known))


def pair_beside(tree: Tree) -> Pairing:
    """Pair ``<stem>`` with ``<stem>_mask`` in the same folder."""
    masks = [path for path in tree.pictures if plain_stem(path.stem) is not None]
    keyed = unique_by_key(tree.root, ((_mask_key(path), path) for path in masks))
    taken = set(masks)
    images = [path for path in tree.pictures if path not in taken]
    known = {path.with_suffix("") for path in images}
    pairs = tuple(_pair(tree, path, keyed, key=path.with_suffix("")) for path in images)
    return Pairing(pairs, tuple(mask for key, mask in keyed.items() if key not in known))


def _pair(tree: Tree, path: PurePosixPath, masks: Mapping[PurePosixPath, Path], *, key: PurePosixPath) -> Pair:
    return Pair(path.with_suffix(""), tree.root / path, masks.get(key), key)


def _mask_key(path: PurePosixPath) -> PurePosixPath:
    stem = plain_stem(path.stem)
    return path.with_name(stem) if stem is not None else path.with_suffix("")


def _without_folder(path: PurePosixPath, names: tuple[str, ...]) -> PurePosixPath | None:
    """Return a path without its first folder that is called one of `names`; None without any.

    >>> _without_folder(PurePosixPath("a/images/b/1.png"), IMAGE_FOLDERS)
    PurePosixPath('a/b/1.png')
    """
    for index, part in enumerate(path.parts[:-1]):
        if part.lower() in names:
            return PurePosixPath(*path.parts[:index], *path.parts[index + 1 :])
    return None


def _has_both_folders(tree: Tree) -> bool:
    folders = {part.lower() for path in tree.pictures for part in path.parts[:-1]}
    return any(name in folders for name in IMAGE_FOLDERS) and any(name in folders for name in MASK_FOLDERS)


#: Tried in this order when the layout is to be found.
LAYOUTS: Mapping[str, Layout] = {
    "separate_roots": Layout(
        "IMAGES/a/1.png and MASKS/a/1.png, two roots given as IMAGES::MASKS",
        lambda tree: tree.masks is not None and bool(tree.pictures),
        pair_separate_roots,
    ),
    "images_masks": Layout(
        "images/1.png and masks/1.png", lambda tree: tree.masks is None and _has_both_folders(tree), pair_images_masks
    ),
    "patient_folders": Layout(
        "patient/1.png and patient/1_mask.png",
        lambda tree: tree.masks is None and bool(tree.pictures),
        pair_beside,
    ),
}

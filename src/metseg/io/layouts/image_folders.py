"""Layouts of 2D images: match masks to images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from metseg.io.file_index import Pair, Pairing, Tree, unique_by_key
from metseg.io.layouts.slice_layout import SliceLayout
from metseg.io.mask_names import MASK_FOLDERS, plain_stem

#: Names of folders that hold images where masks lie in another, compared in lower case.
IMAGE_FOLDERS = ("images", "image", "imgs", "img")


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
    inside = {*images, *(path for path, _ in masks)}
    outside = tuple(path for path in tree.pictures if path not in inside)
    return Pairing(pairs, tuple(mask for key, mask in keyed.items() if key not in known), outside)


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


SEPARATE_ROOTS = SliceLayout(
    "IMAGES/a/1.png and MASKS/a/1.png, with two roots given as IMAGES::MASKS",
    lambda tree: tree.masks is not None and bool(tree.pictures),
    pair_separate_roots,
)
IMAGES_MASKS = SliceLayout(
    "images/1.png and masks/1.png", lambda tree: tree.masks is None and _has_both_folders(tree), pair_images_masks
)
PATIENT_FOLDERS = SliceLayout(
    "patient/1.png and patient/1_mask.png",
    lambda tree: tree.masks is None and bool(tree.pictures),
    pair_beside,
)

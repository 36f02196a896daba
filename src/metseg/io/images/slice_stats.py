"""Compute summary statistics of one slice; errors are recorded, not raised."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from metseg.errors import GeometryError, MetsegError
from metseg.io.images.images_2d import Mask, Picture, read_mask, read_picture
from metseg.io.images.slice_stack import SliceFile
from metseg.labels import LabelScheme
from metseg.volume import Array


@dataclass(frozen=True)
class SliceFacts:
    """The statistics of one slice.

    Args:
        size: "columns x rows", or None where the picture cannot be read.
        dtype: type of the pixels.
        channels: how many.
        copies: pairs of channels that hold the same values; none are given for a constant picture.
        constant: whether all pixels are equal.
        digest: of the decoded pixels, equal for equal pictures; None for a constant picture.
        has_mask: whether there is a mask that can be read.
        classes: class ids in the mask, background left out.
        lesion_pixels: how many pixels are not background.
        notes: from reading.
        errors: what is wrong with the picture, with its mask, or between the two.
    """

    size: str | None = None
    dtype: str = ""
    channels: int = 0
    copies: tuple[tuple[int, int], ...] = ()
    constant: bool = False
    digest: str | None = None
    has_mask: bool = False
    classes: tuple[int, ...] = ()
    lesion_pixels: int = 0
    notes: tuple[str, ...] = ()
    errors: tuple[MetsegError, ...] = ()


def slice_facts(piece: SliceFile, scheme: LabelScheme) -> SliceFacts:
    """Return the statistics of one slice; never raises for damaged files."""
    errors: list[MetsegError] = []
    picture: Picture | None = None
    mask: Mask | None = None
    try:
        picture = read_picture(piece.image, page=piece.page)
    except MetsegError as error:
        errors.append(error)
    try:
        mask = read_mask(piece.mask, scheme, page=piece.page) if piece.mask is not None else None
    except MetsegError as error:
        errors.append(error)
    if picture is not None and mask is not None and mask.labels.shape != picture.pixels.shape[:2]:
        errors.append(_size_error(piece, picture.pixels, mask.labels))
    return _gather(picture, mask, tuple(errors))


def _gather(picture: Picture | None, mask: Mask | None, errors: tuple[MetsegError, ...]) -> SliceFacts:
    facts = SliceFacts(errors=errors)
    if mask is not None:
        counts = np.bincount(mask.labels.ravel())
        classes = tuple(int(value) for value in np.flatnonzero(counts) if value > 0)
        facts = replace(facts, has_mask=True, classes=classes, lesion_pixels=int(counts[1:].sum()), notes=mask.notes)
    if picture is None:
        return facts
    pixels = picture.pixels
    constant = _is_constant(pixels)
    digests = () if constant else _channel_digests(pixels)
    return replace(
        facts,
        size=_size(pixels),
        dtype=str(pixels.dtype),
        channels=pixels.shape[2],
        copies=_copies(digests),
        constant=constant,
        digest=None if constant else _digest(digests),
        notes=(*picture.notes, *facts.notes),
    )


def picture_digest(pixels: Array) -> str | None:
    """Return a checksum that is equal for equal pictures; None for a constant one.

    Args:
        pixels: (rows, columns, channels).
    """
    return None if _is_constant(pixels) else _digest(_channel_digests(pixels))


def _is_constant(pixels: Array) -> bool:
    return bool(pixels.min() == pixels.max())


def _channel_digests(pixels: Array) -> tuple[str, ...]:
    """Return a checksum of each channel's samples, size and type."""
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    kind = f"{planes.shape[1:]} {planes.dtype}".encode()
    return tuple(hashlib.blake2b(plane.data, digest_size=16, key=kind).hexdigest() for plane in planes)


def _copies(digests: Sequence[str]) -> tuple[tuple[int, int], ...]:
    pairs = combinations(range(len(digests)), 2)
    return tuple((one, two) for one, two in pairs if digests[one] == digests[two])


def _digest(digests: Sequence[str]) -> str:
    """Return the same for the same picture, whether it is stored as grey or as three equal channels."""
    return digests[0] if len(set(digests)) == 1 else "".join(digests)


def _size(pixels: Array) -> str:
    return f"{pixels.shape[1]} x {pixels.shape[0]}"


def _size_error(piece: SliceFile, pixels: Array, labels: Array) -> GeometryError:
    return GeometryError(
        "the mask and its image differ in size",
        where=piece.mask,
        expected=_size(pixels),
        got=_size(labels),
        cure="export the mask on its image's grid",
    )

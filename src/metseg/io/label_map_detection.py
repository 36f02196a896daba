"""Detect label maps by their values, and refuse them where an image is needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from metseg.errors import InputError
from metseg.volume import Array

#: A label map has at most so many values, background included; images of anatomy have hundreds.
MAX_LABELS = 16
#: The largest value of a class in a label map of more than two values.
MAX_LABEL = 255
#: A mask has two values: the background and one other.
_MASK_VALUES = 2

#: A label map of pictures has at most so many values, background included.
MAX_PICTURE_LABELS = 8
#: Pictures with a shorter side are too small to tell a label map of several classes from an image.
MIN_PICTURE_SIDE = 16
#: Share of pixels beside the background that lie in a square of 2 x 2 equal pixels: label maps have at least 0.9, the
#: faint noise of an edge slice less than 0.1.
MIN_FLAT = 0.5

#: Voxels looked at first: nearly every image shows here that it is one.
_SAMPLE = 50_000


def are_labels(values: Iterable[float]) -> bool:
    """Return whether values can be those of a mask or a label map.

    A mask has at most two values, its background of 0 and any other: programs write 1, 255, 4095 or 0.5. A label map
    has a few more, all of them whole numbers from 0 to `MAX_LABEL`.

    >>> are_labels([0, 1, 2, 4]), are_labels([0, 4095]), are_labels([0.5, 1]), are_labels(range(17))
    (True, True, False, False)
    >>> are_labels([0, 0.5]), are_labels([0, 4095, 4094])
    (True, False)
    """
    few = set(values)
    if len(few) > MAX_LABELS or 0 not in few or not all(map(np.isfinite, few)):
        return False
    return len(few) <= _MASK_VALUES or all(value == int(value) and 0 <= value <= MAX_LABEL for value in few)


def require_image(data: Array, *, where: Path | str) -> None:
    """Refuse a label map where an image is needed. A constant image passes, since other checks report it.

    Args:
        data: (X, Y, Z) values.
        where: for the message.
    Raises:
        InputError: ``input.label_map``.
    """
    flat = data.ravel(order="K")
    sample = np.unique(flat[:: max(1, flat.size // _SAMPLE)][: 2 * _SAMPLE])
    if len(sample) > MAX_LABELS:
        return
    values = np.unique(flat)
    if len(values) < 2 or not are_labels(values[: MAX_LABELS + 1].tolist()):
        return
    raise _label_map(values, where, cure="give the image; a mask is recognised by its name, such as patient_seg.nii.gz")


def require_pictures(pictures: Sequence[Array], *, where: Path | str) -> None:
    """Refuse the label maps of a stack of pictures where its images are needed.

    All pictures are judged together, so that an edge slice that is black or nearly so counts with the others. Two
    values, the background of 0 and another, are a mask. Up to `MAX_PICTURE_LABELS` values are a label map where the
    pictures have at least `MIN_PICTURE_SIDE` pixels a side and consist of flat areas.

    Args:
        pictures: (rows, columns, channels) each, all of one size.
        where: for the message.
    Raises:
        InputError: ``input.label_map``.
    """
    seen: set[float] = set()
    for picture in pictures:
        seen.update(np.unique(picture).tolist())
        if len(seen) > MAX_PICTURE_LABELS:
            return
    if len(seen) < _MASK_VALUES or 0 not in seen:
        return
    if len(seen) > _MASK_VALUES and (min(pictures[0].shape[:2]) < MIN_PICTURE_SIDE or not _are_flat(pictures)):
        return
    raise _label_map(np.array(sorted(seen)), where, cure="give the folder of the images")


def _are_flat(pictures: Sequence[Array]) -> bool:
    """Return whether most pixels beside the background lie in areas of one value."""
    flat = labelled = 0
    for picture in pictures:
        within = np.zeros(picture.shape, dtype=bool)
        equal = picture[1:] == picture[:-1]
        squares = equal[:, 1:] & equal[:, :-1] & (picture[1:, 1:] == picture[1:, :-1])
        for rows in (slice(1, None), slice(None, -1)):
            for columns in (slice(1, None), slice(None, -1)):
                within[rows, columns] |= squares
        shown = picture != 0
        flat += int(np.count_nonzero(within & shown))
        labelled += int(np.count_nonzero(shown))
    return flat >= MIN_FLAT * labelled


def _label_map(values: Array, where: Path | str, *, cure: str) -> InputError:
    return InputError(
        "the image is a label map",
        where=where,
        expected="an MR image",
        got=f"{len(values)} values, {', '.join(f'{value:g}' for value in values[:8])}",
        cure=cure,
        code="input.label_map",
    )

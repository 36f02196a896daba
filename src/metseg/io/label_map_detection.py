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
#: The same share for one picture among others, which has no other label maps beside it to confirm it.
MIN_FLAT_ALONE = 0.9
#: A label map among images is looked for where it is at least so bright, as a share of the brightest picture: a dim
#: picture of few values can be the edge of the head.
MIN_BRIGHTNESS = 0.5

#: A mask of two values that was compressed lossily has few pixels between the two: shares of the brightest value.
BETWEEN = (0.2, 0.8)
#: Largest share of such pixels among those above the lower bound. Masks as JPEG have up to 0.13 (and 0.06 at quality
#: 50), stacks of MR images at least 0.3, even where a tenth of the head is saturated, and mostly more than 0.6.
MAX_BETWEEN = 0.15

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


def require_pictures(pictures: Sequence[Array], *, where: Sequence[Path], lossy: bool = False) -> None:
    """Refuse the label maps of a stack of pictures where its images are needed.

    All pictures are judged together first, so that an edge slice that is black or nearly so counts with the others.
    Two values, the background of 0 and another, are a mask. Up to `MAX_PICTURE_LABELS` values are a label map where
    the pictures have at least `MIN_PICTURE_SIDE` pixels a side and consist of flat areas. Then bright pictures of few
    values among images are looked for. Lossy compression leaves more values: there, only masks of two values are
    recognised, by the pixels that lie between the two. Label maps of several classes look like images then.

    Args:
        pictures: (rows, columns, channels) each, all of one size.
        where: the file of each picture, for the message.
        lossy: whether pictures were compressed lossily.
    Raises:
        InputError: ``input.label_map``.
    """
    values = _few_values(pictures)
    cure = "give the folder of the images"
    if values is not None and _are_label_values(values, pictures, min_flat=MIN_FLAT):
        raise _label_map(values, where[0], cure=cure)
    if lossy and _is_lossy_mask(pictures):
        raise _lossy_mask(where[0], cure=cure)
    if len(pictures) > 1:
        _require_no_label_map_among(pictures, where)


def _require_no_label_map_among(pictures: Sequence[Array], where: Sequence[Path]) -> None:
    """Refuse a label map among images."""
    brightest = max(picture.max() for picture in pictures)
    for picture, path in zip(pictures, where, strict=True):
        if picture.max() < MIN_BRIGHTNESS * brightest or min(picture.shape[:2]) < MIN_PICTURE_SIDE:
            continue
        values = _few_values([picture])
        if values is not None and _are_label_values(values, [picture], min_flat=MIN_FLAT_ALONE):
            raise _label_map(values, path, cure="move the label maps out of the folder of the images")


def _few_values(pictures: Sequence[Array]) -> Array | None:
    """Return the values of pictures in ascending order; None if there are more than a label map has."""
    seen: set[float] = set()
    for picture in pictures:
        seen.update(np.unique(picture).tolist())
        if len(seen) > MAX_PICTURE_LABELS:
            return None
    return np.array(sorted(seen))


def _are_label_values(values: Array, pictures: Sequence[Array], *, min_flat: float) -> bool:
    """Return whether pictures with these values, all that they have, are a mask or a label map."""
    if len(values) < _MASK_VALUES or 0 not in values:
        return False
    if len(values) == _MASK_VALUES and min_flat <= MIN_FLAT:
        return True
    return min(pictures[0].shape[:2]) >= MIN_PICTURE_SIDE and _flat_share(pictures) >= min_flat


def _is_lossy_mask(pictures: Sequence[Array]) -> bool:
    """Return whether nearly all pixels are near 0 or near the brightest value, which lossy compression blurs."""
    brightest = max(float(picture.max()) for picture in pictures)
    low, high = (share * brightest for share in BETWEEN)
    pixels = shown = between = 0
    for picture in pictures:
        is_shown = np.greater(picture, low)
        pixels += picture.size
        shown += int(np.count_nonzero(is_shown))
        between += int(np.count_nonzero(is_shown & np.less(picture, high)))
    return 0 < shown < pixels and between <= MAX_BETWEEN * shown


def _flat_share(pictures: Sequence[Array]) -> float:
    """Return the share of the pixels beside the background that lie in areas of one value; 1 without any pixel."""
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
    return flat / labelled if labelled else 1.0


def _lossy_mask(where: Path, *, cure: str) -> InputError:
    return InputError(
        "the image is a mask",
        where=where,
        expected="an MR image",
        got="black and one other shade, with hardly a pixel between them",
        cure=cure,
        code="input.label_map",
    )


def _label_map(values: Array, where: Path | str, *, cure: str) -> InputError:
    return InputError(
        "the image is a label map",
        where=where,
        expected="an MR image",
        got=f"{len(values)} values, {', '.join(f'{value:g}' for value in values[:8])}",
        cure=cure,
        code="input.label_map",
    )

"""Head mask: the voxels of the images that show tissue."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from metseg.volume import Array

#: So much of the pictures' edges has to hold one value for it to be the background's; otherwise the minimum is.
FLAT_SHARE = 0.5
#: Where less than this share of all other voxels is close to the background, it was erased: there is no noise around
#: the head. Measured: at most 0.10 in five skull-stripped studies, at least 0.30 in 54 channels of unprocessed slices.
NOISE_SHARE = 0.2
#: Of an image that shares another's erased background, less than this share lies in that background,
BEYOND_SHARE = 0.01
#: which is at least this share of the volume: anything lies within an image that fills it.
SHARED_SHARE = 0.1
#: Connected pieces smaller than this share of the largest are specks of noise.
SPECK_SHARE = 0.02


class Head(NamedTuple):
    """Where there is tissue, and whether every image says so exactly, because its background was erased."""

    mask: npt.NDArray[np.bool_]
    erased: bool


def head_mask(image: Array) -> npt.NDArray[np.bool_]:
    """Return where any of the images shows tissue; see `find_head`."""
    return find_head(image).mask


def find_head(image: Array) -> Head:
    """Return where any of the images shows tissue.

    An image with an erased background (skull-stripped or masked) is tissue wherever it differs from the background;
    so is one that keeps to the tissue of such images, even if its own is dark: they were masked together. Any other
    image is cut at half of Otsu's threshold (Otsu 1979) of the distance from the background; specks go and holes within
    a slice (ventricles, sinuses) are filled. The slices are those of the third axis, so that only for images with an
    erased background the result is the same for any order of the axes: a volume is turned first.

    Args:
        image: (C, X, Y, Z) of any real type, before contrast is changed: CLAHE lifts the background off zero. What
            is not a number is no tissue.
    Returns:
        (X, Y, Z) bool, all False for constant images; erased: whether that was so for every image with tissue.
    """
    differs = np.zeros(image.shape[1:], dtype=np.bool_)
    doubtful = []
    for channel in image:
        away, inside = _from_background(channel.astype(np.float32, copy=False))
        tissue = away > 0
        positive = away[tissue]
        threshold = _half_otsu(positive, zeros=tissue.size - positive.size)
        near = np.count_nonzero(positive < threshold)
        if inside or near < NOISE_SHARE * positive.size:
            differs |= tissue
        else:
            doubtful.append((tissue, away > threshold))
    shares = np.count_nonzero(differs) <= (1 - SHARED_SHARE) * differs.size
    joined, bright = differs.copy(), np.zeros_like(differs)
    for tissue, shining in doubtful:
        if shares and np.count_nonzero(tissue & ~differs) < BEYOND_SHARE * np.count_nonzero(tissue):
            joined |= tissue
        else:
            bright |= shining
    if not bright.any():
        return Head(joined, bool(joined.any()))
    return Head(joined | _without_specks_and_holes(bright), False)


def fill_value(channel: Array) -> float:
    """Return what stands for "nothing" in an (X, Y, Z) image: its smallest value, or the 0 around a z-scored brain."""
    background, inside = _background(channel)
    return background if inside else float(channel.min())


def without_holes(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return an (X, Y, Z) mask with what it encloses, in three dimensions and by faces."""
    import cc3d

    pieces = cc3d.connected_components(np.ascontiguousarray(~mask), connectivity=6)
    outside = np.zeros(int(pieces.max()) + 1, dtype=np.bool_)
    for axis in range(3):
        for face in (0, -1):
            outside[np.unique(pieces.take(face, axis=axis))] = True
    outside[0] = False
    return ~outside[pieces]


def _from_background(channel: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], bool]:
    """Return the distance of each value from the background's, and whether that is one value amid the tissue's."""
    background, inside = _background(channel)
    return np.abs(channel - np.float32(background)), inside


def _background(channel: Array) -> tuple[float, bool]:
    """Return the background's value, and whether it is one value amid the tissue's.

    The latter is so in images that were z-scored within a mask and are 0 around it.
    """
    edges = np.concatenate([channel[0].ravel(), channel[-1].ravel(), channel[:, 0].ravel(), channel[:, -1].ravel()])
    values, counts = np.unique(edges, return_counts=True)
    commonest = int(counts.argmax())
    flat = counts[commonest] >= FLAT_SHARE * edges.size
    background = values[commonest] if flat else channel.min()
    return float(background), bool(flat and channel.min() < background == 0)


def _half_otsu(positive: npt.NDArray[np.float32], *, zeros: int) -> float:
    """Return half of Otsu's threshold over 256 bins from 0 up; half, so that dark tissue stays.

    The zeros, most of a volume, are given as a count: sorting each into its bin takes as long as all else here.
    """
    counts, borders = np.histogram(positive, bins=256, range=(0.0, float(positive.max(initial=0)) or 1.0))
    counts[0] += zeros
    centres = (borders[:-1] + borders[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * centres)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(centres[int(np.nan_to_num(between).argmax())] / 2)


def _without_specks_and_holes(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return (X, Y, Z) after an opening within slices, with only the large pieces of the volume, filled in slices."""
    import cc3d
    import cv2

    square = np.ones((3, 3), dtype=np.uint8)
    planes = np.ascontiguousarray(np.moveaxis(mask, 2, 0), dtype=np.uint8)
    opened = np.stack([cv2.morphologyEx(plane, cv2.MORPH_OPEN, square) for plane in planes])
    pieces = cc3d.connected_components(opened, connectivity=6)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    large = (sizes >= max(1.0, SPECK_SHARE * sizes.max()))[pieces]
    return np.ascontiguousarray(np.stack([_filled(plane) for plane in large], axis=-1))


def _filled(plane: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return what cannot be reached from outside the (X, Y) mask in steps along the axes."""
    import cv2

    framed = np.pad(plane, 1).astype(np.uint8)
    cv2.floodFill(framed, None, (0, 0), 2, flags=4)
    return np.not_equal(framed[1:-1, 1:-1], 2)

"""Read 2D images as intensities with their full range, and masks as class ids.

A note is one sentence on a conversion of the samples; every result carries it as a warning.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from metseg.errors import InputError
from metseg.io.finite_values import replace_not_finite
from metseg.io.images.file_signatures import MAX_PAGES, too_many_pages
from metseg.io.images.image_decoding import Decoded, decode, page_count
from metseg.labels import LabelScheme, check_labels
from metseg.picture_channels import LOSSY_GREY
from metseg.volume import Array

#: A mask stored lossily is lesion where it is brighter than this.
LOSSY_MASK_THRESHOLD = 127

UINT8_MAX, UINT16_MAX = 255, 65535

#: Note on an image or mask that was not stored upright.
TURNED = "the picture was turned upright, as the orientation in its EXIF data says"


@dataclass(frozen=True)
class Picture:
    """One slice.

    Args:
        pixels: (rows, cols, channels) uint8, uint16 or float32, in file order, with the file's full range.
        notes: conversions while reading, one sentence each.
        from_colours: whether grey was converted from differing colours, so that its sequence is unknown.
        lossy: whether the format changes values (JPEG, lossy WebP).
    """

    pixels: Array
    notes: tuple[str, ...] = ()
    from_colours: bool = False
    lossy: bool = False


@dataclass(frozen=True)
class Mask:
    """The truth of one slice.

    Args:
        labels: (rows, cols) uint8 class ids of the scheme it was read with.
        notes: what was done while reading, one sentence each.
    """

    labels: npt.NDArray[np.uint8]
    notes: tuple[str, ...] = ()


def read_picture(path: Path, *, page: int | None = None) -> Picture:
    """Return the intensities of a PNG, TIFF, JPEG, WebP or BMP file.

    Grey stays one channel, RGB three. A palette, or alpha that hides something, is converted to grey with a note;
    alpha that is opaque everywhere is dropped. An image is rotated upright by its EXIF orientation, with a note.
    Sixteen bits keep their range, a bilevel picture becomes 0 and 255, other integers become float32.

    Args:
        path: the file; its format is detected from its content, not its name.
        page: which page of a multi-page TIFF, from 0; None: files of several pages are refused.
    Raises:
        InputError: see `metseg.io.images.image_decoding.decode`; also ``input.not_finite``.
    """
    decoded = decode(path, page=page)
    samples, notes = _intensities(decoded)
    if samples.dtype == np.float32:
        samples, counted = replace_not_finite(samples, things="pixels", where=path)
        notes += counted
    if decoded.turned:
        notes += (TURNED,)
    pixels = samples if samples.ndim == 3 else samples[..., None]
    return Picture(pixels, notes, _loses_colours(decoded), decoded.lossy)


def checked_page_count(path: Path, *, max_pages: int = MAX_PAGES) -> int:
    """Return how many pages a file has.

    Raises:
        InputError: ``input.too_large``, more than `max_pages`.
    """
    pages = page_count(path)
    if pages > max_pages:
        raise too_many_pages(path, pages, at_most=max_pages)
    return pages


def read_mask(path: Path, scheme: LabelScheme, *, page: int | None = None) -> Mask:
    """Return the class ids of a mask file.

    Palette masks give their indices. {0, 255}, {0, 65535} and full scale of 1, 2 or 4 bits are lesion and background
    where the scheme has one class. JPEG and lossy WebP are thresholded at 127, with a note.

    Args:
        path: the file.
        scheme: which class ids may occur.
        page: which page of a multi-page TIFF, from 0.
    Raises:
        InputError: as `read_picture`; ``input.labels`` or ``input.instances`` for values outside the scheme.
    """
    decoded = decode(path, page=page)
    samples = _one_channel(decoded, path)
    notes: tuple[str, ...] = ("the alpha channel of a mask was ignored",) if decoded.had_alpha else ()
    notes += (TURNED.replace("picture", "mask"),) if decoded.turned else ()
    if decoded.lossy:
        labels, more = _threshold_lossy(samples, scheme, path)
        return Mask(labels, notes + more)
    stored, full_scale = _unstretched(decoded, samples)
    return Mask(_class_ids(stored, full_scale, scheme, path), notes)


def luminance(pixels: Array) -> Array:
    """Return the grey (rows, cols) of a colour picture (rows, cols, 3), dtype kept; weights of ITU-R BT.601.

    The integer weights are Pillow's and sum to 2**16, so that three equal channels give exactly their value.

    >>> luminance(np.array([[[10, 10, 10], [255, 0, 0]]], dtype=np.uint8)).tolist()
    [[10, 76]]
    """
    if pixels.dtype == np.float32:
        return np.asarray(pixels @ np.array([0.299, 0.587, 0.114], dtype=np.float32))
    wide = pixels.astype(np.uint32)
    weighted = wide[..., 0] * 19595 + wide[..., 1] * 38470 + wide[..., 2] * 7471 + 32768
    return np.asarray(weighted >> 16, dtype=pixels.dtype)


def channels_equal(pixels: Array) -> bool:
    """Return whether all channels of (rows, cols, channels) hold the same values."""
    return all(np.array_equal(pixels[..., 0], pixels[..., channel]) for channel in range(1, pixels.shape[-1]))


def _loses_colours(decoded: Decoded) -> bool:
    """Return whether a picture that becomes grey had colours."""
    if decoded.palette is not None:
        return not channels_equal(decoded.palette[np.unique(decoded.samples)][None])
    return decoded.had_alpha and decoded.samples.ndim == 3 and not channels_equal(decoded.samples)


def _intensities(decoded: Decoded) -> tuple[Array, tuple[str, ...]]:
    samples = decoded.samples
    if decoded.palette is not None:
        grey = luminance(decoded.palette)
        return grey[samples], ("a palette picture was converted to grey",)
    if decoded.had_alpha:
        grey = luminance(samples) if samples.ndim == 3 else samples
        return grey, ("the alpha channel was ignored and the picture converted to grey",)
    if decoded.lossy and samples.ndim == 3 and int(np.ptp(samples, axis=-1).max()) <= LOSSY_GREY:
        return np.repeat(luminance(samples)[..., None], 3, axis=-1), ()
    if decoded.bits == 1:
        return np.where(samples, np.uint8(UINT8_MAX), np.uint8(0)), ()
    if samples.dtype in (np.uint8, np.uint16, np.float32):
        return samples, ()
    if samples.min() >= 0 and samples.max() <= UINT16_MAX:
        return samples.astype(np.uint16), ()
    return samples.astype(np.float32), ("whole numbers beyond 16 bits were converted to float32",)


def _one_channel(decoded: Decoded, path: Path) -> Array:
    """Return (rows, cols) of a mask; a colour picture is one only where its channels agree, or is lossy."""
    samples = decoded.samples
    if samples.ndim == 2:
        return samples
    if channels_equal(samples):
        return samples[..., 0]
    if decoded.lossy:
        return luminance(samples)
    raise InputError(
        "the mask is a colour image",
        where=path,
        expected="grey or palette with class ids",
        cure="save the class ids as a grey PNG",
        code="input.labels",
    )


def _unstretched(decoded: Decoded, samples: Array) -> tuple[Array, int]:
    """Return the samples as their bits hold them, and the highest value those can hold."""
    full_scale = UINT16_MAX if decoded.bits >= 16 else 2**decoded.bits - 1
    if decoded.kind == "grey" and decoded.bits in (2, 4):
        return np.asarray(samples // (UINT8_MAX // full_scale)), full_scale
    return samples, full_scale


def _threshold_lossy(samples: Array, scheme: LabelScheme, path: Path) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    if len(scheme.classes) > 1:
        raise InputError(
            "a lossy picture (JPEG, lossy WebP) cannot hold several classes",
            where=path,
            expected="PNG or TIFF",
            cure="export the masks again in a lossless format, or read them with the binary scheme",
            code="input.labels",
        )
    labels = np.greater(samples, LOSSY_MASK_THRESHOLD).view(np.uint8)
    notes = [f"a lossy mask was thresholded at {LOSSY_MASK_THRESHOLD}"]
    brightest = int(samples.max())
    if 0 < brightest <= LOSSY_MASK_THRESHOLD:
        notes.append(f"the lossy mask {path.name} is empty at that threshold; its brightest pixel is {brightest}")
    return labels, tuple(notes)


def _class_ids(samples: Array, full_scale: int, scheme: LabelScheme, path: Path) -> npt.NDArray[np.uint8]:
    if samples.dtype not in (np.uint8, np.uint16):
        return check_labels(samples, scheme, where=path)
    present = np.flatnonzero(np.bincount(samples.ravel())).astype(np.int64)
    values = present
    if len(scheme.classes) == 1 and set(present.tolist()) <= {0, full_scale}:
        values = np.where(present > 0, 1, 0)
    table = np.zeros(int(present[-1]) + 1, dtype=np.uint8)
    table[present] = check_labels(values, scheme, where=path)
    return np.asarray(table[samples], dtype=np.uint8)

"""Decode an image file to its stored samples, after checks of its format and size.

The format is detected from the first bytes, never from the name. Pillow decodes, because it distinguishes palette,
bilevel and alpha; sixteen-bit colour, which Pillow would cut to eight, goes through OpenCV.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from metseg.errors import InputError
from metseg.io.images.file_signatures import (
    MAX_PAGES,
    MAX_PIXELS,
    damaged,
    foreign_pixels,
    sniff_format,
    too_large,
    too_many_pages,
)
from metseg.message_text import pluralize
from metseg.picture_channels import DAMAGE, is_lossy
from metseg.volume import Array

Kind = Literal["grey", "colour", "palette"]

#: Pillow's modes that are read, and what they hold; the last element says whether the last channel is alpha.
MODES: Mapping[str, tuple[Kind, bool]] = {
    "1": ("grey", False),
    "L": ("grey", False),
    "LA": ("grey", True),
    "I;16": ("grey", False),
    "I;16B": ("grey", False),
    "I;16L": ("grey", False),
    "I;16N": ("grey", False),
    "I": ("grey", False),
    "F": ("grey", False),
    "P": ("palette", False),
    "PA": ("palette", True),
    "RGB": ("colour", False),
    "RGBA": ("colour", True),
}

TIFF_BITS_PER_SAMPLE, TIFF_PHOTOMETRIC = 258, 262
WHITE_IS_ZERO = 0
PNG_BIT_DEPTH_BYTE = 24

HEAD_BYTES = 4096

EXIF_ORIENTATION = 0x0112
#: How a picture is turned upright, by its EXIF orientation (Exif 2.3, 4.6.4); rows are the first axis.
TURNS: Mapping[int, Callable[[Array], Array]] = {
    2: lambda samples: samples[:, ::-1],
    3: lambda samples: samples[::-1, ::-1],
    4: lambda samples: samples[::-1],
    5: lambda samples: samples.swapaxes(0, 1),
    6: lambda samples: samples.swapaxes(0, 1)[:, ::-1],
    7: lambda samples: samples[::-1, ::-1].swapaxes(0, 1),
    8: lambda samples: samples.swapaxes(0, 1)[::-1],
}
#: From this orientation on, rows and columns change places.
FIRST_SIDEWAYS = 5


@dataclass(frozen=True)
class Decoded:
    """The samples of one picture as stored, alpha taken off.

    Args:
        samples: (rows, cols) of a grey or palette picture, (rows, cols, 3) of a colour one; uint8 (0 and 1 for a
            bilevel picture), uint16, int32 or float32.
        kind: what the samples mean; those of a palette are indices.
        bits: per sample in the file. Pillow stretches 2 and 4 bits to 0..255.
        had_alpha: whether the file has an alpha channel that hides something; one that is opaque everywhere does not.
        lossy: whether the format changes values (JPEG, lossy WebP).
        palette: (256, 3) uint8 of a palette picture.
        turned: whether the samples were turned upright, as the EXIF orientation says.
    """

    samples: Array
    kind: Kind
    bits: int
    had_alpha: bool = False
    lossy: bool = False
    palette: npt.NDArray[np.uint8] | None = None
    turned: bool = False


def decode(path: Path, *, page: int | None = None) -> Decoded:
    """Return the samples of a picture file.

    Args:
        path: PNG, TIFF, JPEG, WebP or BMP.
        page: which page of a multi-page TIFF, from 0; None: the file must hold one picture only.
    Raises:
        InputError: ``input.missing``, ``input.format``, ``input.too_large``, ``input.multi_page`` or
            ``input.truncated``.
    """
    with _opened(path) as (image, format_name, head):
        _check_pages(path, image, page)
        kind, has_alpha = _check_mode(path, image)
        bits = _bits_per_sample(image, format_name, head)
        lossy = is_lossy(format_name, head)
        with _damage_named(path):
            if bits == 16 and (kind == "colour" or has_alpha):
                samples, kind = _decode_deep_colour(path, page or 0), "colour"
                orientation = _exif_orientation(image)
            elif format_name == "TIFF":
                orientation = _exif_orientation(image)  # before loading, which forgets the tag
                samples = np.asarray(image)
            else:
                samples = np.asarray(image)
                orientation = _exif_orientation(image)  # after loading: in a PNG it may follow the pixels
        if format_name != "TIFF":  # those both decoders have turned already
            samples = _upright(samples, orientation)
        samples = _white_is_high(samples, image)
        palette = _palette(image) if kind == "palette" else None
    hides = has_alpha and not _is_opaque(samples)
    return Decoded(_without_alpha(samples, kind), kind, bits, hides, lossy, palette, orientation in TURNS)


def picture_size(path: Path) -> tuple[int, int]:
    """Return (columns, rows) of an upright image from its header alone; raises as `decode` does."""
    with _opened(path) as (image, format_name, _), _damage_named(path):
        columns, rows = image.size
        # EXIF that follows the pixels of a PNG would have them decoded; TIFF comes with the size of what is upright.
        says_so = format_name != "TIFF" and "exif" in image.info
        sideways = says_so and _exif_orientation(image) >= FIRST_SIDEWAYS
        return (rows, columns) if sideways else (columns, rows)


def check_picture_header(path: Path) -> None:
    """Check an image's format, size and colours from its header, without decoding.

    Raises:
        InputError: ``input.missing``, ``input.format``, ``input.too_large`` or ``input.truncated``.
    """
    with _opened(path) as (image, _, _):
        _check_mode(path, image)


def page_count(path: Path) -> int:
    """Return the number of pages in an image file; raises as `decode` does."""
    with _opened(path) as (image, _, _), _damage_named(path):
        return int(getattr(image, "n_frames", 1))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Image.Image, str, bytes]]:
    """Open a picture without decoding it, after looking at its first bytes and its size."""
    with _file(path) as stream:
        head = stream.read(HEAD_BYTES)
        format_name = sniff_format(head, path)
        stream.seek(0)
        try:
            image = Image.open(stream, formats=(format_name,))
        except Image.DecompressionBombError:
            raise too_large(path, "over 178 megapixels") from None
        except UnidentifiedImageError:
            raise _unidentified(path, stream, format_name) from None
        except DAMAGE as error:
            raise damaged(path, error) from None
        columns, rows = image.size
        if columns * rows > MAX_PIXELS:
            raise too_large(path, f"{columns} x {rows}")
        yield image, format_name, head


def _file(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(
            "cannot read the file",
            where=path,
            got=error.strerror,
            cure="check its path and permissions",
            code="input.missing",
        ) from None


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except DAMAGE as error:
        raise damaged(path, error) from None


def _unidentified(path: Path, stream: IO[bytes], format_name: str) -> InputError:
    """Return why Pillow cannot open a file with a valid signature: it is damaged, or an unsupported kind of TIFF."""
    stream.seek(0)
    try:
        if format_name == "TIFF":
            TiffImageFile(stream)
    except SyntaxError as error:
        if "pixel mode" in str(error):
            return foreign_pixels(path, "an unsupported kind of TIFF")
    except DAMAGE:
        pass
    return damaged(path, f"no readable {format_name} header")


def _check_pages(path: Path, image: Image.Image, page: int | None) -> None:
    with _damage_named(path):
        pages = int(getattr(image, "n_frames", 1))
        if page is not None and page < pages:
            image.seek(page)
    if page is not None and page >= pages:
        raise InputError(
            f"the file has no page {page + 1}",
            where=path,
            got=pluralize(pages, "page"),
            cure="run again; the file changed while it was read",
            code="input.multi_page",
        )
    if pages > MAX_PAGES:
        raise too_many_pages(path, pages)
    if pages > 1 and page is None:
        raise InputError(
            f"the file holds {pages} pages or frames",
            where=path,
            expected="one picture",
            cure="read it as a stack of slices, or save each page as a separate file",
            code="input.multi_page",
        )
    columns, rows = image.size
    if columns * rows > MAX_PIXELS:
        raise too_large(path, f"{columns} x {rows}")


def _check_mode(path: Path, image: Image.Image) -> tuple[Kind, bool]:
    if image.mode not in MODES:
        raise foreign_pixels(path, image.mode)
    return MODES[image.mode]


def _exif_orientation(image: Image.Image) -> int:
    """Return the orientation that a picture's EXIF gives; 1, upright, where it gives none."""
    orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    return orientation if orientation in TURNS else 1


def _upright(samples: Array, orientation: int) -> Array:
    """Return samples turned as an EXIF orientation says."""
    return np.ascontiguousarray(TURNS[orientation](samples)) if orientation in TURNS else samples


def _is_opaque(samples: Array) -> bool:
    """Return whether the last channel, alpha, hides nothing anywhere."""
    return samples.ndim == 3 and bool((samples[..., -1] == np.iinfo(samples.dtype.name).max).all())


def _bits_per_sample(image: Image.Image, format_name: str, head: bytes) -> int:
    if image.mode == "1":
        return 1
    if format_name == "PNG":
        return head[PNG_BIT_DEPTH_BYTE]
    if format_name == "TIFF":
        return int(getattr(image, "tag_v2", {}).get(TIFF_BITS_PER_SAMPLE, (1,))[0])
    return 8


def _decode_deep_colour(path: Path, page: int) -> Array:
    import cv2

    found, pages = cv2.imdecodemulti(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_UNCHANGED, range=(page, page + 1))
    if not found or not pages:
        raise ValueError("the pixel data cannot be decoded")
    pixels: Array = np.asarray(pages[0])
    if pixels.ndim == 2:
        return np.repeat(pixels[..., None], 3, axis=2)
    return pixels[..., [2, 1, 0, *range(3, pixels.shape[2])]]  # OpenCV keeps blue first


def _white_is_high(samples: Array, image: Image.Image) -> Array:
    """Return 16-bit samples of a white-is-zero TIFF inverted, as Pillow does for 8 bits only."""
    tags = getattr(image, "tag_v2", {})
    if samples.dtype.itemsize == 2 and tags.get(TIFF_PHOTOMETRIC) == WHITE_IS_ZERO:
        return np.asarray(np.iinfo(np.uint16).max - samples.astype(np.uint16), dtype=np.uint16)
    return samples


def _palette(image: Image.Image) -> npt.NDArray[np.uint8]:
    table = np.zeros((256, 3), dtype=np.uint8)
    colours = np.asarray(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)
    table[: len(colours)] = colours[:256]
    return table


def _without_alpha(samples: Array, kind: Kind) -> Array:
    """Return samples in the machine's byte order, with only the channels that `kind` has."""
    if samples.dtype == np.bool_:
        samples = np.not_equal(samples.view(np.uint8), 0).view(np.uint8)  # Pillow's True is the byte 255
    if samples.dtype.byteorder not in "=|":
        samples = samples.astype(samples.dtype.newbyteorder("="))
    if kind == "colour":
        return samples[..., :3]
    return samples[..., 0] if samples.ndim == 3 else samples

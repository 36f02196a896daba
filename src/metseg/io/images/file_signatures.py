"""Detect the image format of a file from its first bytes, never from its name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from metseg.errors import InputError

#: Larger pictures are refused before they are decoded.
MAX_PIXELS = 25_000_000

#: More pages than this in one file are refused.
MAX_PAGES = 1000

#: Supported formats: Pillow's name and the file signature.
FORMATS: Mapping[str, tuple[bytes, ...]] = {
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "TIFF": (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"),
    "JPEG": (b"\xff\xd8\xff",),
    "WEBP": (b"RIFF",),
    "BMP": (b"BM",),
}

#: The supported formats as text for messages.
FORMAT_NAMES = "PNG, TIFF, JPEG, WebP or BMP"

#: Signatures of other common formats, to name them in messages.
FOREIGN: Mapping[bytes, str] = {
    b"GIF8": "a GIF",
    b"<svg": "an SVG drawing",
    b"<?xml": "an XML or SVG document",
    b"\x1f\x8b": "a gzip file (NIfTI?)",
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a zip archive",
    b"\x93NUMPY": "a NumPy array",
}


#: Number of bytes that identify a format.
HEAD_BYTES = 16
#: Signatures of unsupported image formats, which messages call images.
_OTHER_PICTURES = (b"GIF8", b"<svg")


def looks_like_picture(head: bytes) -> bool:
    """Return whether a file with these first bytes is an image, in a supported format or not.

    >>> looks_like_picture(b"GIF89a"), looks_like_picture(bytes(16))
    (True, False)
    """
    known = tuple(prefix for prefixes in FORMATS.values() for prefix in prefixes)
    return head.startswith((*known, *_OTHER_PICTURES))


def sniff_format(head: bytes, where: object) -> str:
    """Return which of `FORMATS` a file is, from its first 16 bytes or more.

    Raises:
        InputError: ``input.format``, saying what the file is where that is known.

    >>> sniff_format(b"II*" + bytes(13), "a.png")
    'TIFF'
    """
    for name, prefixes in FORMATS.items():
        if head.startswith(prefixes) and (name != "WEBP" or head[8:12] in (b"WEBP", b"")):
            return name
    got = next((what for prefix, what in FOREIGN.items() if head.lstrip().startswith(prefix)), "something else")
    raise InputError(
        "not a supported image format",
        where=where,
        expected=FORMAT_NAMES,
        got=got if head else "an empty file",
        cure="convert it to PNG or TIFF" if head else "copy the file again",
        code="input.format",
    )


def foreign_pixels(path: Path, got: str) -> InputError:
    """Return the error for colours that cannot be read as intensities."""
    return InputError(
        "the image's colours cannot be converted to MR intensities",
        where=path,
        expected="grey, RGB or palette",
        got=got,
        cure="save it as grey or RGB",
        code="input.format",
    )


def damaged(path: Path, detail: object) -> InputError:
    """Return the error for a truncated or damaged file."""
    return InputError(
        "the image file is truncated or damaged",
        where=path,
        got=detail,
        cure="copy or export it again",
        code="input.truncated",
    )


def too_large(path: Path, got: str) -> InputError:
    """Return the error for a picture over `MAX_PIXELS`."""
    return InputError(
        "the image is too large",
        where=path,
        expected=f"at most {MAX_PIXELS // 1_000_000} megapixels",
        got=got,
        cure="crop it or scale it down; MR slices are smaller",
        code="input.too_large",
    )


def too_many_pages(path: Path, pages: int, *, at_most: int = MAX_PAGES) -> InputError:
    """Return the error for a file with too many pages."""
    return InputError(
        "too many pages in one file",
        where=path,
        expected=f"at most {at_most}",
        got=pages,
        cure="split the file",
        code="input.too_large",
    )

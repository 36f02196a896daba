"""Does a picture show one image, or a different one in each channel? The same answer for reading and on the page."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

#: Difference between the channels of a lossy picture that was grey before it was compressed.
LOSSY_GREY: Final = 4

#: Image data of a lossy WebP; a lossless one is "VP8L", and an extended file names either after its header chunks.
_LOSSY_WEBP_CHUNK: Final = b"VP8 "
_HEAD_BYTES: Final = 4096

#: Pixels of the largest picture in which channels are compared.
_MOST_COMPARED: Final = 2**24

#: Formats that are read.
_FORMATS: Final = ("PNG", "TIFF", "JPEG", "WEBP", "BMP")
#: Pillow's modes that are read: pictures of the first are grey or become so, also those with a palette.
GREY_MODES: Final = ("1", "L", "LA", "I;16", "I;16B", "I;16L", "I;16N", "I", "F", "P", "PA")
COLOUR_MODES: Final = ("RGB", "RGBA")

#: What Pillow, libtiff and the PNG reader raise on damaged files.
DAMAGE: Final = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error)


def is_lossy(format_name: str, head: bytes) -> bool:
    """Return whether a format changes values.

    Args:
        format_name: Pillow's name of it.
        head: the first bytes of the file.
    """
    return format_name == "JPEG" or (format_name == "WEBP" and _LOSSY_WEBP_CHUNK in head)


def shows_one_image(picture: Path | bytes) -> bool | None:
    """Return whether a picture is read as grey, or has equal channels, judged by its first page.

    Args:
        picture: the file or its content.
    Returns:
        None: a very large coloured picture, or one that cannot be read.
    """
    try:
        with Image.open(io.BytesIO(picture) if isinstance(picture, bytes) else picture, formats=_FORMATS) as image:
            if image.mode not in (*GREY_MODES, *COLOUR_MODES):
                return None
            if image.width * image.height > _MOST_COMPARED:
                return True if image.mode in GREY_MODES else None
            samples = np.asarray(image)
            if image.mode in GREY_MODES:
                return True
            if image.mode == "RGBA" and samples[..., 3].min() < np.iinfo(samples.dtype).max:
                return True  # transparent pictures are converted to grey
            # Compression leaves small differences between channels that were equal.
            allowed = LOSSY_GREY if is_lossy(str(image.format), _head(picture)) else 0
            return int(np.ptp(samples[..., :3], axis=-1).max()) <= allowed
    except (*DAMAGE, Image.DecompressionBombError):
        return None


def _head(picture: Path | bytes) -> bytes:
    if isinstance(picture, bytes):
        return picture[:_HEAD_BYTES]
    with picture.open("rb") as stream:
        return stream.read(_HEAD_BYTES)

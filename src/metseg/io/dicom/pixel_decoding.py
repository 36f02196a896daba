"""Decode pixel data to values, with size limits and decoders checked before decoding."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from metseg.errors import InputError
from metseg.io.dicom.dicom_files import DicomLocation, DicomReader
from metseg.io.dicom.elements import damage_named, damaged, read_whole
from metseg.io.dicom.instance_reader import MAX_FRAME_PIXELS, MAX_OBJECT_BYTES, Frame, Pixels
from metseg.io.dicom.itk_decoder import FRAME_MARKERS, check_jpeg, decode_jpeg
from metseg.volume import Array

#: Largest size of a decoded series, in bytes.
MAX_SERIES_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Syntax:
    """A transfer syntax that is read.

    Args:
        codec: how pictures are compressed.
        lossy: whether compression may have changed values.
    """

    codec: str | None = None
    lossy: bool = False


#: The supported transfer syntaxes; others are refused.
SYNTAXES: Mapping[str, Syntax] = {
    ImplicitVRLittleEndian: Syntax(),
    ExplicitVRLittleEndian: Syntax(),
    ExplicitVRBigEndian: Syntax(),
    RLELossless: Syntax("RLE"),
    JPEG2000Lossless: Syntax("JPEG 2000"),
    JPEG2000: Syntax("JPEG 2000", lossy=True),
    HTJ2KLossless: Syntax("JPEG 2000"),
    HTJ2KLosslessRPCL: Syntax("JPEG 2000"),
    HTJ2K: Syntax("JPEG 2000", lossy=True),
    JPEGLossless: Syntax("JPEG Lossless"),
    JPEGLosslessSV1: Syntax("JPEG Lossless"),
    JPEGLSLossless: Syntax("JPEG-LS"),
    JPEGLSNearLossless: Syntax("JPEG-LS", lossy=True),
}

#: By how much compressed data may be longer than what they hold; a longer run would decode to more than fits.
_LONGEST = 1.1
_LONGEST_MORE = 4096
#: Start of a JPEG 2000 codestream and of the marker that says how large the picture is (ISO 15444-1, A.5.1).
_CODESTREAM = b"\xff\x4f\xff\x51"


def check_pixels(frames: Sequence[Frame]) -> None:
    """Check from the headers alone that the pixels are intensities, can be decoded and are not too large.

    Raises:
        InputError: ``input.not_mr``, ``input.format``, ``input.transfer_syntax`` or ``input.too_large``.
    """
    for pixels in {frame.pixels for frame in frames}:
        if pixels.samples != 1 or pixels.photometric != "MONOCHROME2":
            raise InputError(
                "the images are in colour or inverted",
                expected="greyscale, one sample per pixel",
                cure="give the original series of the scanner, not a screenshot or a fused image",
                code="input.format",
            )
        if not _is_possible(pixels):
            raise InputError(
                "unsupported number of bits per pixel",
                expected="8, 16 or 32 bits",
                got=f"{pixels.bits_stored} of {pixels.bits_allocated}, the highest {pixels.high_bit}",
                cure="give the original series of the scanner",
                code="input.format",
            )
        _check_syntax(pixels.syntax)
        _check_size(pixels)
    if sum(frame.pixels.frame_bytes for frame in frames) > MAX_SERIES_BYTES:
        raise _too_large(f"at most {MAX_SERIES_BYTES // 2**30} GiB in one series")


def is_lossy(frames: Sequence[Frame]) -> bool:
    """Return whether any picture was compressed with loss."""
    return any(SYNTAXES[frame.pixels.syntax].lossy for frame in frames)


def value_type(frames: Sequence[Frame]) -> np.dtype[np.generic]:
    """Return the type that values have after rescaling: the stored one where nothing is rescaled, the smallest integer
    that holds every value where slopes and intercepts are whole numbers, else float32.

    Raises:
        InputError: ``input.rescale``, a slope of zero, or one that is no number.
    """
    scales = {(frame.slope, frame.intercept) for frame in frames}
    if any(slope == 0 or not np.isfinite([slope, intercept]).all() for slope, intercept in scales):
        raise InputError(
            "invalid rescale slope or intercept",
            expected="a non-zero slope and an intercept, both finite numbers",
            cure="export the series again",
            code="input.rescale",
        )
    stored = {_stored_type(frame.pixels) for frame in frames}
    if scales == {(1.0, 0.0)} and len(stored) == 1:
        return np.dtype(stored.pop())
    if not all(slope.is_integer() and intercept.is_integer() for slope, intercept in scales):
        return np.dtype(np.float32)
    ends = [end for frame in frames for end in _ends(frame)]
    for candidate in (np.int16, np.uint16, np.int32):
        if np.iinfo(candidate).min <= min(ends) and max(ends) <= np.iinfo(candidate).max:
            return np.dtype(candidate)
    return np.dtype(np.float32)


@dataclass(frozen=True)
class Values:
    """The values of one picture.

    Args:
        number: of the frame, as it was asked for.
        values: (rows, columns) after rescaling.
        has_unused_bits: whether bits that hold no value were set; old overlays lie there. They were left out.
    """

    number: int
    values: Array
    has_unused_bits: bool = False


def read_values(frames: Sequence[Frame], reader: DicomReader, dtype: np.dtype[np.generic]) -> Iterator[Values]:
    """Yield the values of each frame, object by object, so that one is in memory at a time.

    Raises:
        InputError: ``input.no_pixels``, ``input.truncated``, or an object that changed since it was listed; it says
            which file is meant.
    """
    by_place: dict[DicomLocation, list[int]] = {}
    for number, frame in enumerate(frames):
        by_place.setdefault(frame.place, []).append(number)
    for numbers in by_place.values():
        first = frames[numbers[0]]
        with _file_named(first, by_place), reader.open(first.place) as stream, damage_named():
            stored = _decoded(read_whole(stream), first.pixels)
        for number in numbers:
            used, has_unused_bits = _used_bits(stored[frames[number].number], first.pixels)
            yield Values(number, _rescaled(used, frames[number], dtype), has_unused_bits)


@contextmanager
def _file_named(frame: Frame, places: Iterable[DicomLocation]) -> Iterator[None]:
    """Add the file's position in name order to an error, since the name itself may identify a patient.

    Args:
        frame: a picture of the file.
        places: all files of the series.
    """
    try:
        yield
    except InputError as error:
        ordered = sorted(places, key=lambda place: (place.path, place.member or 0))
        if len(ordered) == 1:
            raise
        which = f"file {ordered.index(frame.place) + 1} of {len(ordered)} in name order"
        if frame.sequence_number is not None:
            which += f", picture number {frame.sequence_number}"
        got = which if error.got is None else f"{error.got}: {which}"
        raise type(error)(error.what, expected=error.expected, got=got, cure=error.cure, code=error.code) from None


def _decoded(dataset: Dataset, pixels: Pixels) -> Array:
    """Return (frames, rows, columns) as stored."""
    if "PixelData" not in dataset:
        raise InputError(
            "a DICOM object without pixel data", cure="export the images with their pixel data", code="input.no_pixels"
        )
    if pixels.syntax in FRAME_MARKERS:
        return _decoded_by_itk(dataset, pixels)
    if UID(pixels.syntax).is_encapsulated:
        _check_compressed(dataset, pixels)
    # Unused bits are left to `_used_bits`: pydicom clears them for some ways of storing only, and says nothing of it.
    stored = pixel_array(dataset, raw=True, allow_excess_frames=False, correct_unused_bits=False)
    stored = stored if pixels.frames > 1 else stored[np.newaxis]
    if stored.shape != (pixels.frames, pixels.rows, pixels.columns):
        raise damaged("images of a different size than in the header")
    return stored


def _decoded_by_itk(dataset: Dataset, pixels: Pixels) -> Array:
    streams = list(generate_frames(dataset.PixelData, number_of_frames=pixels.frames))
    if len(streams) != pixels.frames:
        raise damaged("a different number of images than in the header")
    for stream in streams:
        _check_length(stream, pixels)
        check_jpeg(stream, pixels)
    return np.stack([decode_jpeg(stream, pixels) for stream in streams])


def _check_length(stream: bytes, pixels: Pixels) -> None:
    """Refuse a compressed picture that is longer than an uncompressed one."""
    if len(stream) > _LONGEST * pixels.frame_bytes + _LONGEST_MORE:
        raise damaged("compressed images longer than uncompressed ones")


def _used_bits(stored: Array, pixels: Pixels) -> tuple[Array, bool]:
    """Return the numbers that the stored bits hold, and whether other bits were set.

    A sample fills `bits_stored` bits that end with the high bit. Archives once kept overlays in the others
    (PS3.5, 8.1.1): read as a part of the number, they are bright lines and letters.

    Raises:
        InputError: ``input.format``, values below the lowest bit: the header contradicts the pixels.
    """
    unused = pixels.bits_allocated - pixels.bits_stored
    if unused == 0:
        return stored, False
    low = pixels.lowest_bit
    if low and np.bitwise_and(stored, 2**low - 1).any():
        raise InputError(
            "the pixels use bits outside the range that the header declares",
            expected=f"{pixels.bits_stored} bits up to bit {pixels.high_bit}",
            cure="export the series again",
            code="input.format",
        )
    # Up to the top, so that the sign is where the processor has it, and down again.
    used = np.right_shift(np.left_shift(stored, unused - low), unused)
    if np.array_equal(np.left_shift(used, low), stored):
        return used, False
    # The sign may be repeated in the bits above it or not: neither is an overlay.
    above = np.bitwise_and(np.right_shift(stored, low), 2**pixels.bits_stored - 1)
    return used, not np.array_equal(np.left_shift(above, low), stored)


def _check_compressed(dataset: Dataset, pixels: Pixels) -> None:
    """Refuse compressed pictures that would decode to more than the header says."""
    for frame in generate_frames(dataset.PixelData, number_of_frames=pixels.frames):
        _check_length(frame, pixels)
        if SYNTAXES[pixels.syntax].codec == "JPEG 2000":
            at = frame.find(_CODESTREAM)
            if at < 0 or len(frame) < at + 42:
                raise damaged("no JPEG 2000 picture")
            width, height, left, top = struct.unpack_from(">4I", frame, at + 8)
            (components,) = struct.unpack_from(">H", frame, at + 40)
            if (width - left, height - top, components) != (pixels.columns, pixels.rows, 1):
                raise damaged("a compressed image of a different size than in the header")


def _rescaled(stored: Array, frame: Frame, dtype: np.dtype[np.generic]) -> Array:
    if (frame.slope, frame.intercept) == (1.0, 0.0) and stored.dtype == dtype:
        return stored
    if dtype.kind == "f":
        values: npt.NDArray[np.float64] = stored.astype(np.float64) * frame.slope + frame.intercept
        return values.astype(dtype)
    whole: npt.NDArray[np.int64] = stored.astype(np.int64) * int(frame.slope) + int(frame.intercept)
    limits = np.iinfo(dtype.name)
    if whole.min() < limits.min or whole.max() > limits.max:
        raise damaged("values that need more bits than the header declares")
    return whole.astype(dtype)


def _stored_type(pixels: Pixels) -> np.dtype[np.generic]:
    return np.dtype(f"{'i' if pixels.signed else 'u'}{pixels.bits_allocated // 8}")


def _ends(frame: Frame) -> tuple[float, float]:
    """Return the values that the smallest and the largest stored number become."""
    bits = frame.pixels.bits_stored
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if frame.pixels.signed else (0, 2**bits - 1)
    return low * frame.slope + frame.intercept, high * frame.slope + frame.intercept


def _check_syntax(syntax: str) -> None:
    if syntax in FRAME_MARKERS or (syntax in SYNTAXES and get_decoder(UID(syntax)).is_available):
        return
    raise InputError(
        "unsupported transfer syntax",
        expected=f"uncompressed, {', '.join(_codecs())}",
        got=UID(syntax).name if UID(syntax).type == "Transfer Syntax" else "an unknown transfer syntax",
        cure="export it uncompressed (Explicit VR Little Endian)",
        code="input.transfer_syntax",
    )


def _codecs() -> list[str]:
    """Return the names of the compressions that are read."""
    return list(dict.fromkeys(syntax.codec for syntax in SYNTAXES.values() if syntax.codec is not None))


def _is_possible(pixels: Pixels) -> bool:
    """Return whether samples lie within their bits."""
    return (
        pixels.bits_allocated in (8, 16, 32)
        and 1 <= pixels.bits_stored <= pixels.bits_allocated
        and pixels.high_bit < pixels.bits_allocated
        and (pixels.lowest_bit == 0 or not UID(pixels.syntax).is_encapsulated)
    )


def _check_size(pixels: Pixels) -> None:
    if pixels.has_huge_frames:
        raise _too_large(f"at most {MAX_FRAME_PIXELS} pixels in a picture")
    if pixels.frames < 1 or pixels.is_huge:
        raise _too_large(f"at least one picture and at most {MAX_OBJECT_BYTES // 2**30} GiB in a file")


def _too_large(expected: str) -> InputError:
    return InputError(
        "the pictures are too large",
        expected=expected,
        cure="look at the header: MR pictures are smaller",
        code="input.too_large",
    )

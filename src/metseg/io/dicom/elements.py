"""Read DICOM headers: first the file meta, which tells whether the rest can be read."""

from __future__ import annotations

import io
import itertools
import logging
import math
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_partial, read_preamble
from pydicom.tag import BaseTag, Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage

from metseg.errors import InputError

# pydicom's warnings contain values, which may identify a patient. Relevant problems raise errors here instead.
warnings.filterwarnings("ignore", module=r"pydicom\.")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

#: Exceptions that pydicom raises on damaged files.
DAMAGE = (
    AttributeError,
    BytesLengthException,
    EOFError,
    InvalidDicomError,
    LookupError,
    OSError,
    OverflowError,
    RuntimeError,  # also what decoders fail with
    TypeError,
    ValueError,
    struct.error,
)

#: The elements read from a header. Names, birth dates and addresses are not read, so they cannot leak.
# fmt: off
KEYWORDS = (
    "ImageType", "SOPInstanceUID", "StudyDate", "StudyTime", "Modality", "SeriesDescription", "ProtocolName",
    "InstanceNumber", "InStackPositionNumber", "PatientID", "IssuerOfPatientID", "ContrastBolusAgent",
    "ContrastBolusAgentSequence", "ContrastBolusRoute", "ScanningSequence", "MRAcquisitionType", "EchoPulseSequence",
    "EchoPlanarPulseSequence", "InversionRecovery",
    "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "SliceThickness", "SpacingBetweenSlices",
    "DiffusionBValue", "TemporalPositionIdentifier", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber",
    "FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "SamplesPerPixel",
    "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "PixelSpacing", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "RescaleIntercept", "RescaleSlope", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
# fmt: on


#: Largest number of top-level elements; images of scanners have some hundred.
MAX_ELEMENTS = 20_000

_META_GROUP = 0x0002
#: Byte at which the file meta begins: behind the preamble and the letters DICM.
_META_AT = 132
#: Tag and length of an element are read at once; so many reads of zeros, one after the other, are no accident.
_ELEMENT_START_BYTES, _ZEROS_IN_A_ROW = 8, 8
#: No element of a header that is read here holds as many zeros; as elements, they would take a second.
_LONG_ZEROS = bytes(2**18)
#: The length of an element that ends with a mark, as compressed pixels do.
_UNDEFINED_LENGTH = 0xFFFFFFFF
#: Pixels as whole numbers, as float32 and as float64.
_PIXEL_TAGS = (0x7FE00010, 0x7FE00008, 0x7FE00009)


@dataclass(frozen=True)
class FileMeta:
    """The content of the file meta, which is never compressed.

    Args:
        syntax: UID of the transfer syntax.
        is_directory: whether the file is a DICOMDIR, which only refers to others.
    """

    syntax: str
    is_directory: bool


class Elements:
    """The values of one frame: from its own functional groups first, then the shared ones, then the object itself.

    Args:
        layers: data sets, the most special first.
    """

    def __init__(self, layers: Sequence[Dataset]) -> None:
        self._layers = layers

    def get(self, *keywords: str) -> Any:
        """Return the first value of the first of the names that has one; None for an invalid value."""
        for keyword in keywords:
            for layer in self._layers:
                try:
                    value = layer.get(keyword)
                except DAMAGE:
                    continue
                if value is not None and value != "":
                    return value
        return None

    def text(self, *keywords: str) -> str:
        """Return a value as one line of text, with a backslash between several values; "" if there is none."""
        return "\\".join(self.words(*keywords))

    def words(self, *keywords: str) -> tuple[str, ...]:
        """Return the parts of a value as text."""
        value = self.get(*keywords)
        parts = () if value is None else (value,) if isinstance(value, str | int | float) else tuple(value)
        return tuple(" ".join(str(part).split()) for part in parts)

    def numbers(self, *keywords: str, count: int) -> tuple[float, ...] | None:
        """Return `count` finite numbers, or None if there are not as many."""
        value = self.get(*keywords)
        parts = (value,) if isinstance(value, str | int | float) else tuple(value or ())
        try:
            numbers = tuple(float(part) for part in parts)
        except (TypeError, ValueError):
            return None
        return numbers if len(numbers) == count and all(map(math.isfinite, numbers)) else None

    def number(self, *keywords: str) -> float | None:
        """Return the first number of a value, or None without one that is finite."""
        value = self.get(*keywords)
        first = value if isinstance(value, str | int | float) else next(iter(value or ()), None)
        try:
            number = None if first is None else float(first)
        except (TypeError, ValueError):
            return None
        return number if number is not None and math.isfinite(number) else None

    def integer(self, keyword: str, default: int = 0) -> int:
        """Return an integer, or the default if there is none."""
        number = self.number(keyword)
        return default if number is None else int(number)


def begins_with_file_meta(head: bytes) -> bool:
    """Return whether the first element behind the letters DICM belongs to the file meta.

    Args:
        head: the first bytes of a DICOM file.

    >>> begins_with_file_meta(bytes(128) + b"DICM" + bytes([2, 0, 0, 0])), begins_with_file_meta(bytes(200))
    (True, False)
    """
    return head[_META_AT : _META_AT + 2] == _META_GROUP.to_bytes(2, "little")


def read_file_meta(stream: BinaryIO) -> FileMeta:
    """Return the file meta, without reading further.

    Raises:
        InputError: ``input.transfer_syntax`` for a deflated file. It is never inflated: some hundred kilobytes
            may expand to as many megabytes. ``input.truncated``, also for a file without a file meta.
    """
    with damage_named():
        stream.seek(0)
        read_preamble(stream, force=False)
        meta = read_dataset(stream, is_implicit_VR=False, is_little_endian=True, stop_when=_after_meta())
        syntax = str(meta.get("TransferSyntaxUID") or "")
        kind = meta.get("MediaStorageSOPClassUID")
        behind = stream.read(2)
    stream.seek(0)
    if not meta or behind == bytes(2):
        # Letters DICM with zeros behind them, or zeros behind the meta: pydicom would read each eight as an element.
        raise damaged("no file meta" if not meta else "elements that belong to no data set")
    if syntax == DeflatedExplicitVRLittleEndian:
        raise InputError(
            "a DICOM file uses a deflated transfer syntax",
            expected="uncompressed data set, with compressed or uncompressed pixel data",
            cure="export it with another transfer syntax, such as Explicit VR Little Endian",
            code="input.transfer_syntax",
        )
    return FileMeta(syntax, kind == MediaStorageDirectoryStorage)


def _after_meta() -> Callable[[BaseTag, str | None, int], bool]:
    """Return what ends the reading of a file meta: an element of another group, or too many elements."""
    count = itertools.count(1)

    def ends(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        if next(count) > MAX_ELEMENTS:
            raise damaged(f"more than {MAX_ELEMENTS} elements")
        return tag.group != _META_GROUP

    return ends


def read_header(stream: BinaryIO, keywords: Sequence[str] = KEYWORDS) -> tuple[Dataset, int | None]:
    """Return the elements of these keywords, and the bytes of pixel data that the file holds; these are not read.

    The bytes are None where there are no pixel data, or where their length is not given as they are compressed.

    Args:
        stream: of the file.
        keywords: of the elements on the top level; sequences are returned whole.
    Raises:
        InputError: ``input.truncated``.
    """
    with damage_named():
        stream.seek(0)
        guard = _ElementGuard(pixels_of=stream)
        reading = cast(BinaryIO, _ZeroGuard(stream))
        header = read_partial(reading, stop_when=guard, specific_tags=[Tag(name) for name in keywords])
        _refuse_zeros(header)
        return header, guard.pixel_bytes(end=stream.seek(0, io.SEEK_END))


def read_whole(stream: BinaryIO) -> Dataset:
    """Return all elements of an object up to its pixels; what follows them, such as padding with zeros, is not read.

    Raises:
        InputError: ``input.truncated``.
    """
    with damage_named():
        stream.seek(0)
        return read_partial(cast(BinaryIO, _ZeroGuard(stream)), stop_when=_ElementGuard())


class _ZeroGuard:
    """A stream that detects runs of zeros, which pydicom would read as empty elements inside a sequence.

    Each element begins with its tag, which is not zero, so that a value of zero has no other before it.

    Args:
        stream: what is read.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._zeros = 0

    def read(self, size: int = -1) -> bytes:
        """Return bytes of the stream.

        Raises:
            InputError: ``input.truncated``: zeros where elements should be.
        """
        content = self._stream.read(size)
        is_empty = 0 < len(content) <= _ELEMENT_START_BYTES and not content.strip(b"\0")
        self._zeros = self._zeros + 1 if is_empty else 0
        if self._zeros > _ZEROS_IN_A_ROW:
            raise damaged("zeros instead of elements")
        return content

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _refuse_zeros(header: Dataset) -> None:
    """Refuse sequences that hold long runs of zeros: their elements are looked for only when they are asked for."""
    for tag in header.keys():  # noqa: SIM118 - iterating over the data set itself would convert its values
        item = header.get_item(tag)
        if isinstance(item, RawDataElement) and isinstance(item.value, bytes) and _LONG_ZEROS in item.value:
            raise damaged("zeros instead of elements")


class _ElementGuard:
    """Looks at each element of a file before it is read, so that a file of zeros costs one element and not millions.

    Args:
        pixels_of: reading ends where the pixels of this stream begin; None: it goes on.
    """

    def __init__(self, *, pixels_of: BinaryIO | None = None) -> None:
        self._pixels_of = pixels_of
        self._pixels_at: tuple[int, int] | None = None
        self._count = 0
        self._pixels_read = False

    def __call__(self, tag: BaseTag, _vr: str | None, length: int) -> bool:
        """Return whether reading ends before this element.

        Raises:
            InputError: ``input.truncated``: an element of a group that no file has, or more than any image has.
        """
        self._count += 1
        if self._pixels_read and tag not in _PIXEL_TAGS:
            return True
        self._pixels_read = tag in _PIXEL_TAGS
        if tag.group <= _META_GROUP:
            raise damaged("elements that belong to no data set")
        if self._count > MAX_ELEMENTS:
            raise damaged(f"more than {MAX_ELEMENTS} elements")
        if self._pixels_of is None or not self._pixels_read:
            return False
        self._pixels_at = (self._pixels_of.tell(), length)
        return True

    def pixel_bytes(self, *, end: int) -> int | None:
        """Return how many bytes of pixels lie before the end of the file; None where that is not known.

        Args:
            end: of the file, in bytes.
        """
        if self._pixels_at is None or self._pixels_at[1] == _UNDEFINED_LENGTH:
            return None
        begin, length = self._pixels_at
        return min(length, end - begin)


def frame_elements(dataset: Dataset) -> Iterator[Elements]:
    """Yield the elements of each frame: one for a classic object, several for an enhanced multi-frame one.

    Raises:
        InputError: ``input.truncated``, the number of frames is not that of their descriptions.
    """
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence")
    count = Elements([dataset]).integer("NumberOfFrames", 1)
    if not per_frame:
        yield from (Elements([dataset]) for _ in range(min(count, 1)))
        return
    if len(per_frame) != count:
        raise damaged("a multi-frame object with a wrong number of frame descriptions")
    shared = [item for group in dataset.get("SharedFunctionalGroupsSequence") or () for item in _first_items(group)]
    for group in per_frame:
        yield Elements([*_first_items(group), *shared, dataset])


@contextmanager
def damage_named() -> Iterator[None]:
    """Replace pydicom's exceptions by one error, because their messages contain values."""
    try:
        yield
    except InputError:
        raise
    except DAMAGE:
        raise damaged("content that does not fit its header") from None


def damaged(detail: str) -> InputError:
    """Return the error for a file that is DICOM but cannot be read as such."""
    return InputError(
        "a DICOM file is truncated or damaged", got=detail, cure="export or copy it again", code="input.truncated"
    )


def _first_items(group: Mapping[Any, Any] | Dataset) -> list[Dataset]:
    """Return the first item of each sequence in a functional group."""
    with damage_named():
        return [element.value[0] for element in group if element.VR == "SQ" and element.value]

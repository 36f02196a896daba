"""Read headers: the file meta first, because it alone says whether the rest may be looked at."""

from __future__ import annotations

import logging
import math
import struct
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

from pydicom import Dataset, dcmread
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import read_dataset, read_preamble
from pydicom.uid import DeflatedExplicitVRLittleEndian, MediaStorageDirectoryStorage

from metseg.errors import InputError

# What pydicom warns of holds values, and values may name a patient. What matters of it is refused here by name.
warnings.filterwarnings("ignore", module=r"pydicom\.")
logging.getLogger("pydicom").setLevel(logging.CRITICAL)

#: What pydicom raises on damaged files.
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

#: What is read of a header. Names, birth dates and addresses are not: what was never read cannot leak.
# fmt: off
KEYWORDS = (
    "ImageType", "SOPInstanceUID", "StudyDate", "StudyTime", "Modality", "SeriesDescription", "ProtocolName",
    "PatientID", "IssuerOfPatientID", "ContrastBolusAgent", "ContrastBolusAgentSequence", "ContrastBolusRoute",
    "ScanningSequence", "MRAcquisitionType", "EchoPulseSequence", "EchoPlanarPulseSequence", "InversionRecovery",
    "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle", "SliceThickness", "SpacingBetweenSlices",
    "DiffusionBValue", "TemporalPositionIdentifier", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber",
    "FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "SamplesPerPixel",
    "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "PixelSpacing", "BitsAllocated", "BitsStored",
    "PixelRepresentation", "RescaleIntercept", "RescaleSlope", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
# fmt: on


@dataclass(frozen=True)
class FileMeta:
    """What the first part of a file says, which is never compressed.

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
        """Return the first value that is there, under the first of the names that has one; None for a broken one."""
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
        """Return a value as one line of text, several values with a backslash between; "" without any."""
        return "\\".join(self.words(*keywords))

    def words(self, *keywords: str) -> tuple[str, ...]:
        """Return the parts of a value as text."""
        value = self.get(*keywords)
        parts = () if value is None else (value,) if isinstance(value, str | int | float) else tuple(value)
        return tuple(" ".join(str(part).split()) for part in parts)

    def numbers(self, *keywords: str, count: int) -> tuple[float, ...] | None:
        """Return so many finite numbers, or None where there are not so many."""
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
        """Return a whole number, or what stands for none."""
        number = self.number(keyword)
        return default if number is None else int(number)


def read_file_meta(stream: BinaryIO) -> FileMeta:
    """Return what the file meta says, without reading further.

    Raises:
        InputError: ``input.transfer_syntax`` for a deflated file, of which nothing is inflated: some hundred kilobytes
            may become as many megabytes; ``input.truncated``.
    """
    with damage_named():
        stream.seek(0)
        read_preamble(stream, force=False)
        meta = read_dataset(
            stream, is_implicit_VR=False, is_little_endian=True, stop_when=lambda tag, _vr, _length: tag.group != 2
        )
        syntax = str(meta.get("TransferSyntaxUID") or "")
        kind = meta.get("MediaStorageSOPClassUID")
    stream.seek(0)
    if syntax == DeflatedExplicitVRLittleEndian:
        raise InputError(
            "a DICOM file is deflated as a whole",
            expected="pixel data uncompressed or compressed by themselves",
            cure="export it with another transfer syntax, such as Explicit VR Little Endian",
            code="input.transfer_syntax",
        )
    return FileMeta(syntax, kind == MediaStorageDirectoryStorage)


def read_header(stream: BinaryIO) -> Dataset:
    """Return the elements in `KEYWORDS`; pixel data are not read."""
    with damage_named():
        stream.seek(0)
        return dcmread(stream, stop_before_pixels=True, specific_tags=list(KEYWORDS))


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
        raise damaged("a multi-frame object that describes another number of frames than it has")
    shared = [item for group in dataset.get("SharedFunctionalGroupsSequence") or () for item in _first_items(group)]
    for group in per_frame:
        yield Elements([*_first_items(group), *shared, dataset])


@contextmanager
def damage_named() -> Iterator[None]:
    """Turn what pydicom raises into one error; its own messages hold values."""
    try:
        yield
    except InputError:
        raise
    except DAMAGE as error:
        raise damaged(type(error).__name__) from None


def damaged(detail: str) -> InputError:
    """Return the error for a file that is DICOM but cannot be read as such."""
    return InputError(
        "a DICOM file is cut short or damaged", got=detail, cure="export or copy it again", code="input.truncated"
    )


def _first_items(group: Mapping[Any, Any] | Dataset) -> list[Dataset]:
    """Return the first item of each sequence in a functional group."""
    with damage_named():
        return [element.value[0] for element in group if element.VR == "SQ" and element.value]

"""Reduce a DICOM object to the fields that place it in a series; identifiers become pseudonyms at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import BinaryIO

from pydicom import Dataset

from metseg.io.dicom.dicom_files import DicomLocation
from metseg.io.dicom.elements import KEYWORDS, Elements, FileMeta, damage_named, damaged, frame_elements, read_header
from metseg.io.dicom.header import SequenceHeader
from metseg.io.dicom.pseudonyms import pseudonym

#: Larger single pictures are refused; no MR slice has as many pixels.
MAX_FRAME_PIXELS = 4096**2
#: What one object may take when decoded.
MAX_OBJECT_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Pixels:
    """How the pixels of an object are stored.

    Args:
        rows: of one frame.
        columns: of one frame.
        frames: in the object.
        samples: per pixel; 1 for anything that can be an intensity.
        photometric: what the samples mean.
        bits_allocated: bits that each sample takes.
        bits_stored: bits of these that hold it.
        high_bit: where the highest of these is, counted from 0.
        signed: whether samples may be negative.
        syntax: UID of the transfer syntax.
    """

    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    syntax: str

    @property
    def lowest_bit(self) -> int:
        """Return where the lowest bit of a sample is; 0 unless the header says that samples lie further up."""
        return max(self.high_bit - self.bits_stored + 1, 0)

    @property
    def frame_bytes(self) -> int:
        """Return how many bytes one frame takes when it is decoded."""
        return self.rows * self.columns * self.samples * ((self.bits_allocated + 7) // 8)

    @property
    def has_huge_frames(self) -> bool:
        """Return whether one frame has more pixels than are read."""
        return self.rows * self.columns > MAX_FRAME_PIXELS

    @property
    def is_huge(self) -> bool:
        """Return whether the object would take more memory than is allowed."""
        return self.frame_bytes * self.frames > MAX_OBJECT_BYTES


@dataclass(frozen=True)
class Frame:
    """One picture.

    Args:
        place: where its object lies.
        number: of the frame in its object, from 0.
        pixels: how it is stored.
        position_mm: (3,) of the first pixel's centre in patient coordinates (LPS), or None where nothing says.
        orientation: (6,) unit vectors along the row and along the column (LPS), or None.
        spacing_mm: (2,) between rows, between columns, or None.
        thickness_mm: from slice to slice as the header has it, or else of the slice; some scanners mean the gap.
        sequence_number: of the picture in its series or stack, as the scanner counts; None where nothing says.
        slope: of the rescaling to values; 1 where none is given.
        intercept: of the rescaling to values; 0 where none is given.
        kind: what tells stacks of one series apart, besides geometry; see `metseg.io.dicom.series_splitting`.
        header: what tells the sequence.
    """

    place: DicomLocation
    number: int
    pixels: Pixels
    position_mm: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    spacing_mm: tuple[float, ...] | None
    thickness_mm: float | None
    sequence_number: int | None
    slope: float
    intercept: float
    kind: tuple[str, ...]
    header: SequenceHeader


@dataclass(frozen=True)
class Instance:
    """One object: a slice, or all frames of an enhanced multi-frame one.

    Args:
        patient: pseudonym of the patient, or of the study where no patient is named.
        study: pseudonym.
        series: pseudonym.
        frame_of_reference: pseudonym, or None where nothing says.
        sop: pseudonym of the object itself; the order of frames that nothing else orders.
        names_patient: whether the object has a patient id.
        series_number: as the scanner counts.
        date: of the study; orders timepoints, and is never printed.
        frames: its pictures, in file order.
    """

    patient: str
    study: str
    series: str
    frame_of_reference: str | None
    sop: str
    names_patient: bool
    series_number: int | None
    date: str = field(repr=False)
    frames: tuple[Frame, ...]


def read_instance(stream: BinaryIO, place: DicomLocation, meta: FileMeta) -> Instance | None:
    """Return the fields of an object, or None if it is not an image (a report, a plan).

    Raises:
        InputError: ``input.truncated``.
    """
    dataset, pixel_bytes = read_header(stream)
    with damage_named():
        whole = Elements([dataset])
        if whole.integer("Rows") < 1 or whole.integer("Columns") < 1:
            return None
        pixels = _pixels(whole, meta.syntax)
        _check_pixel_bytes(pixels, pixel_bytes)
        frames = tuple(
            _frame(elements, dataset, place, number, pixels) for number, elements in enumerate(frame_elements(dataset))
        )
        return _instance(whole, frames)


def read_complete_header(stream: BinaryIO, meta: FileMeta) -> Dataset:
    """Return the header of an object of any kind, with its file meta; its pixels are not read, but must all be there.

    Args:
        stream: of the file.
        meta: its file meta, by `read_file_meta`.
    Raises:
        InputError: ``input.truncated``.
    """
    header, pixel_bytes = read_header(stream, (*KEYWORDS, "SOPClassUID"))
    with damage_named():
        _check_pixel_bytes(_pixels(Elements([header]), meta.syntax), pixel_bytes)
    return header


def _check_pixel_bytes(pixels: Pixels, found: int | None) -> None:
    """Refuse a file with fewer pixel bytes than its header declares; colour and oversized images are refused later.

    Raises:
        InputError: ``input.truncated``.
    """
    if found is None or pixels.samples != 1 or pixels.bits_allocated < 8 or pixels.has_huge_frames or pixels.is_huge:
        return
    expected = pixels.frame_bytes * pixels.frames
    if found < expected:
        raise damaged(f"{found:,} bytes of pixels where its header says {expected:,}")


def _instance(whole: Elements, frames: tuple[Frame, ...]) -> Instance:
    study_uid, patient_id = whole.text("StudyInstanceUID"), whole.text("PatientID")
    reference = whole.text("FrameOfReferenceUID")
    number = whole.number("SeriesNumber")
    patient = ("patient", patient_id, whole.text("IssuerOfPatientID")) if patient_id else ("no patient", study_uid)
    return Instance(
        patient=pseudonym(*patient),
        study=pseudonym("study", study_uid),
        series=pseudonym("series", whole.text("SeriesInstanceUID")),
        frame_of_reference=pseudonym("frame of reference", reference) if reference else None,
        sop=pseudonym("object", whole.text("SOPInstanceUID")),
        names_patient=bool(patient_id),
        series_number=None if number is None else int(number),
        date=whole.text("StudyDate") + whole.text("StudyTime"),
        frames=frames,
    )


def _pixels(whole: Elements, syntax: str) -> Pixels:
    bits = whole.integer("BitsAllocated", 16)
    stored = whole.integer("BitsStored", bits)
    return Pixels(
        rows=whole.integer("Rows"),
        columns=whole.integer("Columns"),
        frames=whole.integer("NumberOfFrames", 1),
        samples=whole.integer("SamplesPerPixel", 1),
        photometric=whole.text("PhotometricInterpretation"),
        bits_allocated=bits,
        bits_stored=stored,
        high_bit=whole.integer("HighBit", stored - 1),
        signed=whole.integer("PixelRepresentation") == 1,
        syntax=syntax,
    )


def _frame(elements: Elements, dataset: Dataset, place: DicomLocation, number: int, pixels: Pixels) -> Frame:
    # Several frames that are not described one by one have one position between them: none of them is known.
    is_described = pixels.frames == 1 or "PerFrameFunctionalGroupsSequence" in dataset
    slope, intercept = elements.number("RescaleSlope"), elements.number("RescaleIntercept")
    has_scale = elements.get("RescaleSlope") is not None or elements.get("RescaleIntercept") is not None
    return Frame(
        place=place,
        number=number,
        pixels=pixels,
        position_mm=elements.numbers("ImagePositionPatient", count=3) if is_described else None,
        orientation=elements.numbers("ImageOrientationPatient", count=6),
        spacing_mm=elements.numbers("PixelSpacing", count=2),
        thickness_mm=elements.number("SpacingBetweenSlices") or elements.number("SliceThickness"),
        sequence_number=_sequence_number(elements, pixels),
        slope=_given(slope, 1.0, has_scale=has_scale),
        intercept=_given(intercept, 0.0, has_scale=has_scale),
        kind=_kind(elements),
        header=SequenceHeader.of(elements),
    )


def _sequence_number(elements: Elements, pixels: Pixels) -> int | None:
    number = elements.number("InstanceNumber" if pixels.frames == 1 else "InStackPositionNumber")
    return None if number is None else int(number)


def _given(number: float | None, default: float, *, has_scale: bool) -> float:
    """Return NaN for a rescaling with only a slope or only an intercept, since its meaning is undefined."""
    if number is None:
        return float("nan") if has_scale else default
    return number


def _kind(elements: Elements) -> tuple[str, ...]:
    """Return the key that separates the stacks of a series: Dixon images, echoes, b-values, time points.

    The StackID is not used: stacks of parallel slices are parts of one image, and other stacks are separated
    by its geometry.
    """
    echo, b_value = elements.number("EffectiveEchoTime", "EchoTime"), elements.number("DiffusionBValue")
    return (
        elements.text("FrameType", "ImageType").upper(),
        "" if echo is None else f"{echo:.1f}",
        "" if b_value is None else f"{b_value:.0f}",
        elements.text("TemporalPositionIndex", "TemporalPositionIdentifier"),
    )

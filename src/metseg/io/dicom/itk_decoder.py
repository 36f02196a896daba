"""Decode JPEG Lossless and JPEG-LS with SimpleITK (GDCM); pydicom's decoder for them is under the GPL.

SimpleITK reads only files. Each image is therefore written to a temporary DICOM file that contains only
the elements that describe its pixels, and no patient data.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MRImageStorage,
    generate_uid,
)

from metseg.io.dicom.elements import damaged
from metseg.io.dicom.instance_reader import Pixels
from metseg.runtime.atomic_io import disk_full_is_an_error
from metseg.volume import Array

#: Marker of each transfer syntax's frame header (SOF): lossless Huffman (ISO 10918-1), JPEG-LS (ISO 14495-1).
FRAME_MARKERS: Mapping[str, int] = {
    JPEGLossless: 0xC3,
    JPEGLosslessSV1: 0xC3,
    JPEGLSLossless: 0xF7,
    JPEGLSNearLossless: 0xF7,
}

_START, _START_OF_SCAN = b"\xff\xd8", 0xDA
#: Markers without a length: TEM, and the restart markers.
_WITHOUT_LENGTH = frozenset((0x01, *range(0xD0, 0xD8)))


def check_jpeg(stream: bytes, pixels: Pixels) -> None:
    """Refuse a compressed picture that is not of the kind and size that the DICOM header says, before it is decoded.

    Raises:
        InputError: ``input.truncated``.
    """
    marker, precision, rows, columns, components = _frame_header(stream)
    if marker != FRAME_MARKERS[pixels.syntax]:
        raise damaged("a compressed picture of a different format than in the header")
    if (rows, columns, components) != (pixels.rows, pixels.columns, 1) or precision > pixels.bits_allocated:
        raise damaged("a compressed picture of a different size than in the header")


def decode_jpeg(stream: bytes, pixels: Pixels) -> Array:
    """Return the samples (rows, columns) of one compressed picture as stored, without any rescaling.

    Args:
        stream: one picture, checked by `check_jpeg`.
        pixels: how it is stored.
    Raises:
        InputError: ``input.truncated``, it cannot be decoded.
        ResourceError: ``resources.disk``.
    """
    import SimpleITK as sitk  # half a second that only such files need

    with TemporaryDirectory(prefix="metseg-") as folder:
        path = Path(folder, "picture.dcm")
        with disk_full_is_an_error(path):
            _one_picture(stream, pixels).save_as(path, enforce_file_format=True)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(path))
        try:
            decoded: Array = sitk.GetArrayFromImage(reader.Execute())
        except RuntimeError:
            raise damaged("a compressed picture that cannot be decoded") from None
    kind = np.dtype(f"{'i' if pixels.signed else 'u'}{pixels.bits_allocated // 8}")
    return decoded.reshape(decoded.shape[-2:]).astype(kind, copy=False)


def _one_picture(stream: bytes, pixels: Pixels) -> Dataset:
    """Return a data set that describes the pixels of one picture and nothing else."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(pixels.syntax)
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.Modality = "MR"
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = pixels.photometric
    dataset.Rows, dataset.Columns = pixels.rows, pixels.columns
    dataset.BitsAllocated, dataset.BitsStored = pixels.bits_allocated, pixels.bits_stored
    dataset.HighBit = pixels.bits_stored - 1
    dataset.PixelRepresentation = int(pixels.signed)
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].is_undefined_length = True
    return dataset


def _frame_header(stream: bytes) -> tuple[int, int, int, int, int]:
    """Return marker, precision, rows, columns and components of the first frame header.

    Raises:
        InputError: ``input.truncated``, there is none.

    >>> header = bytes([0xFF, 0xC3, 0, 11, 16, 0, 7, 0, 5, 1])
    >>> _frame_header(bytes([0xFF, 0xD8, 0xFF, 0xE0, 0, 4, 1, 2]) + header)
    (195, 16, 7, 5, 1)
    """
    at = 2 if stream.startswith(_START) else len(stream)
    while at + 4 <= len(stream) and stream[at] == 0xFF:
        marker = stream[at + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2  # 0xFF may be repeated to fill
        elif _is_frame_header(marker) and at + 10 <= len(stream):
            return marker, *struct.unpack_from(">BHHB", stream, at + 4)
        elif marker == _START_OF_SCAN:
            break
        else:
            at += 2 + int.from_bytes(stream[at + 2 : at + 4], "big")
    raise damaged("no JPEG picture")


def _is_frame_header(marker: int) -> bool:
    """Return whether a marker is one of SOF0 to SOF15, or JPEG-LS's SOF55; DHT, JPG and DAC lie between them."""
    return (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7

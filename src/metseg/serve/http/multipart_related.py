"""Read the body of STOW-RS: ``multipart/related`` with one DICOM object in each part (PS3.18, 10.5)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from python_multipart.multipart import parse_options_header

from metseg.serve.http.problem_details import Refused
from metseg.serve.http.upload_reader import MultipartReader, Upload

#: Media type of a DICOM object.
DICOM: Final = "application/dicom"


def related_reader_for(content_type: str | None, folder: Path, *, max_files: int) -> RelatedReader:
    """Return the reader for a media type.

    Args:
        content_type: of the request.
        folder: folder for the objects.
        max_files: maximum number of objects.
    Raises:
        Refused: ``request.media_type``, ``request.malformed``.
    """
    media_type, options = parse_options_header(content_type)
    # Many clients leave the parameter "type" out; the parts then say what they are.
    if media_type != b"multipart/related" or not _is_dicom(options.get(b"type", DICOM.encode())):
        raise _unsupported("header Content-Type")
    return RelatedReader(folder, options.get(b"boundary", b""), max_files=max_files)


class RelatedReader(MultipartReader):
    """Reads ``multipart/related`` with objects as ``application/dicom``; arguments as those of `MultipartReader`."""

    content = "the body"
    expected = 'complete multipart/related with DICOM objects: type="application/dicom"'

    def end(self) -> Upload:
        """Return the upload; call after the last byte.

        Raises:
            Refused: ``request.malformed``, the body is not complete or has no object.
        """
        upload = super().end()
        if not upload.files:
            raise self.malformed()
        return upload

    def _headers_end(self) -> None:
        media_type, _ = parse_options_header(self._headers.get(b"content-type", DICOM.encode()).decode("latin-1"))
        if not _is_dicom(media_type):
            raise _unsupported("a part of the body")
        self._begin_file()

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._write(data[start:end])

    def _part_ends(self) -> None:
        self._end_file()


def _is_dicom(media_type: bytes) -> bool:
    return media_type.strip().lower() == DICOM.encode()


def _unsupported(where: str) -> Refused:
    return Refused(
        "request.media_type",
        "the media type is not supported",
        where=where,
        expected='multipart/related; type="application/dicom"',
        cure="send DICOM objects as files with file meta information",
    )

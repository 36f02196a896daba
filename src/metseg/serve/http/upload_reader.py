"""Write the files of an upload to disk under numbers as they arrive: the base of the readers of each media type."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, ClassVar, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from metseg.runtime.atomic_io import disk_full_is_an_error
from metseg.serve.http.problem_details import Refused

#: Maximum size of a part's header; file names of 10 KB must fit.
_MAX_HEADER_BYTES: Final = 32 * 1024


@dataclass(frozen=True)
class ReceivedFile:
    """One received file.

    Args:
        number: number in the upload, from 1.
        path: path of the stored file.
        sequence: sequence declared by its form field, else read from its name; `BRAIN_MASK` for a brain mask.
        bytes: size in bytes.
        sha256: SHA-256 of the content.
        reason: why it has this sequence, or why its name is ambiguous.
        is_doubtful: whether its name mentions sequences but is ambiguous.
        gap_before: for pictures, whether the numbers in the names say that slices are missing before this one.
    """

    number: int
    path: Path
    sequence: str | None
    bytes: int
    sha256: str
    reason: str = ""
    is_doubtful: bool = False
    gap_before: bool = False


@dataclass
class Upload:
    """A received upload.

    Args:
        folder: folder of the files.
        files: files in order.
        fields: values of the text fields by name.
    """

    folder: Path
    files: list[ReceivedFile] = field(default_factory=list)
    fields: dict[str, list[str]] = field(default_factory=dict)

    def digest(self) -> str:
        """Return a hash of the request: its fields, content and sequence of each file, and any gaps."""
        content: list[Any] = [sorted(self.fields.items()), [(file.sequence, file.sha256) for file in self.files]]
        if any(file.gap_before for file in self.files):
            content.append([file.gap_before for file in self.files])
        return hashlib.sha256(repr(content).encode()).hexdigest()


class UploadReader(ABC):
    """Writes numbered files into a folder."""

    def __init__(self, folder: Path, *, max_files: int) -> None:
        self.upload = Upload(folder)
        self._max_files = max_files
        self._open: IO[bytes] | None = None
        self._hash = hashlib.sha256()

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Process a chunk of the body."""

    @abstractmethod
    def end(self) -> Upload:
        """Return the upload; call after the last byte."""

    def close(self) -> None:
        """Close an incomplete file."""
        if self._open is not None:
            with suppress(OSError):  # on a full disk, closing fails again
                self._open.close()

    def _begin_file(self) -> None:
        number = len(self.upload.files) + 1
        if number > self._max_files:
            raise Refused(
                "request.too_large",
                "there are too many files",
                expected=f"at most {self._max_files}",
                cure="upload one study at a time, and pack DICOM files into a zip archive",
            )
        self._hash = hashlib.sha256()
        self._open = (self.upload.folder / f"{number:04d}").open("xb")

    def _write(self, data: bytes) -> None:
        assert self._open is not None
        self._hash.update(data)
        with disk_full_is_an_error(self.upload.folder):
            self._open.write(data)

    def _end_file(self) -> None:
        assert self._open is not None
        with disk_full_is_an_error(self.upload.folder):
            self._open.close()
        path = Path(self._open.name)
        number = len(self.upload.files) + 1
        self.upload.files.append(ReceivedFile(number, path, None, path.stat().st_size, self._hash.hexdigest()))
        self._open = None


class MultipartReader(UploadReader):
    """Reads a body of several parts; subclasses say what a part is.

    Args:
        folder: folder for the files.
        boundary: boundary of the parts, from the request header.
        max_files: maximum number of files.
    """

    #: What the body is and what was expected, for errors.
    content: ClassVar[str]
    expected: ClassVar[str]

    def __init__(self, folder: Path, boundary: bytes, *, max_files: int) -> None:
        super().__init__(folder, max_files=max_files)
        self._header = bytearray(), bytearray()
        #: Headers of the present part, by name in lower case.
        self._headers: dict[bytes, bytes] = {}
        self._whole = False
        callbacks: dict[str, Callable[..., None]] = {
            "on_part_begin": self._headers.clear,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._header_ends,
            "on_headers_finished": self._headers_end,
            "on_part_data": self._data,
            "on_part_end": self._part_ends,
            "on_end": self._all_ends,
        }
        any_callbacks: Any = callbacks
        try:
            if not boundary:
                raise FormParserError
            self._parser = MultipartParser(boundary, any_callbacks, max_header_size=_MAX_HEADER_BYTES)
        except FormParserError:
            raise self.malformed() from None

    def feed(self, data: bytes) -> None:
        """Process a chunk of the body.

        Raises:
            Refused: ``request.malformed``, ``request.too_large``, ``request.invalid``, ``request.media_type``.
            ResourceError: ``resources.disk``.
        """
        try:
            self._parser.write(data)
        except FormParserError:
            raise self.malformed() from None

    def end(self) -> Upload:
        """Return the upload; call after the last byte.

        Raises:
            Refused: ``request.malformed``, the last part is missing.
        """
        if not self._whole:
            raise self.malformed()
        return self.upload

    def malformed(self) -> Refused:
        """Return the error for a body that is incomplete, or is no body of several parts."""
        return Refused("request.malformed", f"{self.content} cannot be parsed", expected=self.expected)

    def _header_ends(self) -> None:
        name, value = self._header
        self._headers[bytes(name).lower()] = bytes(value)
        name.clear()
        value.clear()

    @abstractmethod
    def _headers_end(self) -> None:
        """Begin a part, by its headers."""

    @abstractmethod
    def _data(self, data: bytes, start: int, end: int) -> None:
        """Take a chunk of the part."""

    @abstractmethod
    def _part_ends(self) -> None:
        """End the part."""

    def _all_ends(self) -> None:
        self._whole = True

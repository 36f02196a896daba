"""Take the body of an upload apart as it comes: files to the disk, under numbers; fields into memory, within limits.

The names that files had are read when all files are there, for the sequence or the brain mask that they may tell; they
are neither joined to a path nor kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from metseg.atomic_io import disk_full_is_an_error
from metseg.io.declared_sequences import declaration
from metseg.io.sequence_names import MAX_CHARACTERS, NamedSequence, shared_prefix
from metseg.io.volumes.brain_masks import name_sequences_or_masks
from metseg.io.volumes.image_files import stem_of
from metseg.schemas import BRAIN_MASK, SEQUENCES
from metseg.serve.http.problem_details import Refused
from metseg.volume import canonical_modality

#: A part's header may hold a file name of 10 KB.
_MAX_HEADER_BYTES: Final = 32 * 1024
_MAX_FIELD_BYTES: Final = 4096
_MAX_FIELDS: Final = 64

#: Fields that files may come in, beside those called after what they show.
FILE_FIELDS: Final = ("files", "file")
#: What a file can be declared to be, by the field that it comes in.
DECLARED: Final = (*SEQUENCES, BRAIN_MASK)

#: What begins like a URL, a path or a share, or climbs. Nothing that may be asked for looks so.
_PLACE: Final = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:|[/\\~])|.*\.\.[/\\]", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class ReceivedFile:
    """One file that arrived.

    Args:
        number: its place in the upload, from 1.
        path: where it lies.
        sequence: as its field says, else as the name it had says plainly; `BRAIN_MASK` for a brain mask.
        bytes: how many.
        sha256: of its content.
        reason: why it is that sequence; where it is none, what its name leaves open.
        is_doubtful: whether its name speaks of a sequence without saying plainly which.
    """

    number: int
    path: Path
    sequence: str | None
    bytes: int
    sha256: str
    reason: str = ""
    is_doubtful: bool = False


@dataclass
class Upload:
    """What arrived.

    Args:
        folder: holds the files.
        files: in order.
        fields: text fields by name, all values of each.
    """

    folder: Path
    files: list[ReceivedFile] = field(default_factory=list)
    fields: dict[str, list[str]] = field(default_factory=dict)

    def digest(self) -> str:
        """Return what tells one request from another: fields, and content and sequence of each file."""
        content = [sorted(self.fields.items()), [(file.sequence, file.sha256) for file in self.files]]
        return hashlib.sha256(repr(content).encode()).hexdigest()


def reader_for(content_type: str | None, folder: Path, *, max_files: int) -> BodyReader | FormReader:
    """Return what takes a body of a media type apart.

    Raises:
        Refused: ``request.media_type``, ``request.malformed``.
    """
    media_type, options = parse_options_header(content_type)
    if media_type == b"multipart/form-data":
        return FormReader(folder, options.get(b"boundary", b""), max_files=max_files)
    if media_type.startswith(b"image/") or media_type == b"application/octet-stream":
        return BodyReader(folder)
    raise Refused(
        "request.media_type",
        "the media type of the body is not supported",
        where="header Content-Type",
        expected="multipart/form-data, or one picture as the body",
        cure="send the file as a form, for example with curl -F file=@slice.png",
    )


def refuse_place(value: str, where: str) -> None:
    """Refuse a value that names a place to fetch something from: nothing is ever fetched.

    Raises:
        Refused: ``request.url``.

    >>> refuse_place("lgg-flair", "field model")
    >>> refuse_place("https://example.org/a.png", "field model")
    Traceback (most recent call last):
    ...
    metseg.serve.http.problem_details.Refused: field model: a URL or a path is given; send the file itself
    """
    if _PLACE.match(value):
        raise Refused("request.url", "a URL or a path is given", where=where, cure="send the file itself")


class _Reader:
    """Writes numbered files into a folder."""

    def __init__(self, folder: Path, *, max_files: int) -> None:
        self.upload = Upload(folder)
        self._max_files = max_files
        self._open: IO[bytes] | None = None
        self._hash = hashlib.sha256()

    def close(self) -> None:
        """Let go of a file that is not whole."""
        if self._open is not None:
            with suppress(OSError):  # where the disk is full, closing says so once more
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


class BodyReader(_Reader):
    """Takes a body that is one file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, max_files=1)

    def feed(self, data: bytes) -> None:
        if self._open is None:
            self._begin_file()
        self._write(data)

    def end(self) -> Upload:
        """Return what arrived; to be called when the body is whole."""
        self.feed(b"")
        self._end_file()
        return self.upload


class FormReader(_Reader):
    """Takes ``multipart/form-data`` apart.

    Args:
        folder: for the files.
        boundary: between the parts, as the header of the request says.
        max_files: more are refused.
    """

    def __init__(self, folder: Path, boundary: bytes, *, max_files: int) -> None:
        super().__init__(folder, max_files=max_files)
        self._header = bytearray(), bytearray()
        self._disposition = b""
        self._field = ""
        self._is_field = False
        self._text = bytearray()
        self._whole = False
        self._names: list[tuple[str, str]] = []
        callbacks: dict[str, Callable[..., None]] = {
            "on_part_begin": self._part_begins,
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
            raise _malformed() from None

    def feed(self, data: bytes) -> None:
        """Take a piece of the body.

        Raises:
            Refused: ``request.malformed``, ``request.too_large``, ``request.invalid``.
            ResourceError: ``resources.disk``.
        """
        try:
            self._parser.write(data)
        except FormParserError:
            raise _malformed() from None

    def end(self) -> Upload:
        """Return what arrived; to be called when the body is whole."""
        if not self._whole:
            raise _malformed()
        named = _name_sequences(self._names)
        self.upload.files = [
            replace(
                file,
                sequence=name.modality,
                reason=name.reason,
                is_doubtful=name.modality is None and not name.is_silent,
            )
            for file, name in zip(self.upload.files, named, strict=True)
        ]
        return self.upload

    def _part_begins(self) -> None:
        self._disposition, self._field = b"", ""
        self._text.clear()

    def _header_ends(self) -> None:
        name, value = self._header
        if name.lower() == b"content-disposition":
            self._disposition = bytes(value)
        name.clear()
        value.clear()

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        if not self._field:
            raise _malformed()
        self._is_field = b"filename" not in options
        file_name = options.get(b"filename", b"").decode("utf-8", "replace")
        if file_name:  # without one, it is what a browser sends where no file was chosen
            _require_known_field(self._field)
            self._begin_file()
            stem = stem_of(PurePosixPath(file_name.replace("\\", "/")).name)
            self._names.append((self._field, stem[: MAX_CHARACTERS + 1]))  # no longer name is read anyway

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._open is not None:
            self._write(data[start:end])
        elif not self._is_field:
            return
        elif len(self._text) + end - start > _MAX_FIELD_BYTES:
            raise Refused(
                "request.too_large",
                "a text field is too long",
                expected=f"at most {_MAX_FIELD_BYTES} bytes",
                cure="send files with a file name, for example with curl -F files=@scan.nii.gz",
            )
        else:
            self._text += data[start:end]

    def _part_ends(self) -> None:
        if self._open is not None:
            self._end_file()
        elif self._is_field:
            self._end_field()

    def _end_field(self) -> None:
        if sum(map(len, self.upload.fields.values())) >= _MAX_FIELDS:
            raise Refused("request.too_large", "there are too many fields", expected=f"at most {_MAX_FIELDS}")
        try:
            value = self._text.decode("utf-8")
        except UnicodeDecodeError:
            raise _malformed() from None
        refuse_place(value, "a field of the form")
        if not value.strip():  # a field that was left empty asks for nothing, a file field that was left out too
            return
        self.upload.fields.setdefault(self._field, []).append(value)

    def _all_ends(self) -> None:
        self._whole = True


def _require_known_field(name: str) -> None:
    if name not in FILE_FIELDS and canonical_modality(name) not in DECLARED:
        raise Refused(
            "request.invalid",
            "a file was sent in an unknown form field",
            where="the form",
            expected=", ".join((*FILE_FIELDS, *DECLARED)),
        )


def _name_sequences(names: Sequence[tuple[str, str]]) -> list[NamedSequence]:
    """Return which sequence each file shows, or that it is a brain mask, by its field, or else by its name.

    Args:
        names: the field and the name without ending of each file of a study.
    """
    stems = [stem for _, stem in names]
    prefix = shared_prefix(stems)
    found = []
    for (field_name, stem), by_name in zip(names, name_sequences_or_masks(stems), strict=True):
        declared = canonical_modality(field_name)
        reason = f"the form declares it ({declared})"
        found.append(
            by_name
            # A field that agrees with the name adds nothing to what the name says.
            if field_name in FILE_FIELDS or by_name.modality == declared
            else NamedSequence(declared, declaration(reason, declared, stem, prefix=prefix))
        )
    return found


def _malformed() -> Refused:
    return Refused(
        "request.malformed",
        "the form cannot be parsed",
        expected="complete multipart/form-data with a name for each part",
    )

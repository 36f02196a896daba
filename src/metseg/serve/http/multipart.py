"""Parse the body of an upload as it arrives: write files to disk under numbers, and keep fields in memory.

After the last file, the original file names are used to find sequences and brain masks. They are never part of a path
and are not stored.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from python_multipart.multipart import parse_options_header

from metseg.io.declared_sequences import declaration
from metseg.io.file_index import slice_number
from metseg.io.images.slice_grouping import without_number
from metseg.io.images.slice_stack import slice_gaps
from metseg.io.sequence_names import MAX_CHARACTERS, NamedSequence, shared_prefix
from metseg.io.volumes.brain_masks import name_sequences_or_masks
from metseg.io.volumes.image_files import stem_of
from metseg.schemas import BRAIN_MASK, SEQUENCES
from metseg.serve.http.problem_details import Refused
from metseg.serve.http.upload_reader import MultipartReader, Upload, UploadReader
from metseg.volume import canonical_modality

_MAX_FIELD_BYTES: Final = 4096
_MAX_FIELDS: Final = 64

#: Form fields for files without a declared sequence.
FILE_FIELDS: Final = ("files", "file")
#: Form fields that declare the content of a file.
DECLARED: Final = (*SEQUENCES, BRAIN_MASK)

#: Values that start like a URL, a path or a network share, or contain ``../``. No valid value looks like that.
_PLACE: Final = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:|[/\\~])|.*\.\.[/\\]", re.IGNORECASE | re.DOTALL)


def reader_for(
    content_type: str | None, folder: Path, *, max_files: int, free_text: Collection[str] = ()
) -> BodyReader | FormReader:
    """Return the reader for a media type; arguments as those of `FormReader`.

    Raises:
        Refused: ``request.media_type``, ``request.malformed``.
    """
    media_type, options = parse_options_header(content_type)
    if media_type == b"multipart/form-data":
        return FormReader(folder, options.get(b"boundary", b""), max_files=max_files, free_text=free_text)
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
    """Raise for a value that is a URL or a path; the service never fetches files.

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


class BodyReader(UploadReader):
    """Reads a body that is one file."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, max_files=1)

    def feed(self, data: bytes) -> None:
        if self._open is None:
            self._begin_file()
        self._write(data)

    def end(self) -> Upload:
        """Return the upload; call after the last byte."""
        self.feed(b"")
        self._end_file()
        return self.upload


class FormReader(MultipartReader):
    """Reads ``multipart/form-data``.

    Args:
        folder: folder for the files.
        boundary: boundary of the parts, from the request header.
        max_files: maximum number of files.
        free_text: names of fields for people to read, which may look like a URL or a path ("left: not a lesion").
    """

    content = "the form"
    expected = "complete multipart/form-data with a name for each part"

    def __init__(self, folder: Path, boundary: bytes, *, max_files: int, free_text: Collection[str] = ()) -> None:
        super().__init__(folder, boundary, max_files=max_files)
        self._free_text = free_text
        self._field = ""
        self._is_field = False
        self._text = bytearray()
        self._names: list[tuple[str, str]] = []

    def end(self) -> Upload:
        """Return the upload; call after the last byte."""
        super().end()
        named = _name_sequences(self._names)
        gaps = _gaps_between([stem for _, stem in self._names])
        self.upload.files = [
            replace(
                file,
                sequence=name.modality,
                reason=name.reason,
                is_doubtful=name.modality is None and not name.is_silent,
                gap_before=gap,
            )
            for file, name, gap in zip(self.upload.files, named, gaps, strict=True)
        ]
        return self.upload

    def _headers_end(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        self._text.clear()
        self._field = options.get(b"name", b"").decode("utf-8", "replace")
        if not self._field:
            raise self.malformed()
        self._is_field = b"filename" not in options
        file_name = options.get(b"filename", b"").decode("utf-8", "replace")
        if file_name:  # without a name, the browser had no file chosen
            _require_known_field(self._field)
            self._begin_file()
            stem = stem_of(PurePosixPath(file_name.replace("\\", "/")).name)
            self._names.append((self._field, stem[: MAX_CHARACTERS + 1]))  # longer names are not read

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
            raise self.malformed() from None
        if self._field not in self._free_text:
            refuse_place(value, "a field of the form")
        if not value.strip():  # ignore empty fields, and file fields without a file
            return
        self.upload.fields.setdefault(self._field, []).append(value)


def _require_known_field(name: str) -> None:
    if name not in FILE_FIELDS and canonical_modality(name) not in DECLARED:
        raise Refused(
            "request.invalid",
            "a file was sent in an unknown form field",
            where="the form",
            expected=", ".join((*FILE_FIELDS, *DECLARED)),
        )


def _name_sequences(names: Sequence[tuple[str, str]]) -> list[NamedSequence]:
    """Return the sequence of each file, or `BRAIN_MASK`, from its form field, else from its name.

    Args:
        names: form field, and name without extension, of each file of a study.
    """
    stems = [stem for _, stem in names]
    prefix = shared_prefix(stems)
    found = []
    for (field_name, stem), by_name in zip(names, name_sequences_or_masks(stems), strict=True):
        declared = canonical_modality(field_name)
        reason = f"the form declares it ({declared})"
        found.append(
            by_name
            # A field that agrees with the name adds no information.
            if field_name in FILE_FIELDS or by_name.modality == declared
            else NamedSequence(declared, declaration(reason, declared, stem, prefix=prefix))
        )
    return found


def _gaps_between(stems: Sequence[str]) -> tuple[bool, ...]:
    """Return whether slices are missing before each file, by the last numbers in names that are equal otherwise.

    The order of the upload counts: pictures that a shell sent as 1, 10, 2 are no neighbours.

    >>> _gaps_between(["P7_1", "P7_2", "P7_4"]), _gaps_between(["P7_10", "P7_2"]), _gaps_between(["a1", "b5"])
    ((False, False, True), (False, True), (False, False))
    """
    unknown = (False,) * len(stems)
    if len({without_number(stem) for stem in stems}) != 1:
        return unknown
    numbers = [number for stem in stems if (number := slice_number(stem)) is not None]
    if len(numbers) != len(stems):
        return unknown
    return slice_gaps(numbers) or unknown

"""Find DICOM objects in files and in members of zip archives, by content and never by name."""

from __future__ import annotations

import io
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from metseg.errors import InputError
from metseg.io.dicom.archive import Archive, is_zip, nested_archive
from metseg.io.file_index import walk_once

#: Magic bytes of a DICOM file, after a preamble of any content.
PREAMBLE_BYTES, DICOM_MAGIC = 128, b"DICM"
HEAD_BYTES = PREAMBLE_BYTES + len(DICOM_MAGIC)

#: Size limit in bytes; larger files are refused before they are read.
MAX_FILE_BYTES = 2 * 2**30

#: Number of files checked to decide whether a tree contains DICOM.
_LOOKED_AT = 20

NOT_DICOM, NO_DICOM_IN_ZIP = "not DICOM", "zip archives without DICOM, or refused"


@dataclass(frozen=True)
class DicomLocation:
    """A file, or a member of an archive. Its name may contain a patient's name and is kept out of messages.

    Args:
        path: the file or the archive.
        member: number of the member.
    """

    path: Path = field(repr=False)
    member: int | None = None


def is_dicom(head: bytes) -> bool:
    """Return whether a file with these first `HEAD_BYTES` is DICOM.

    >>> is_dicom(bytes(128) + b"DICM"), is_dicom(b"DICM")
    (True, False)
    """
    return head[PREAMBLE_BYTES:HEAD_BYTES] == DICOM_MAGIC


def looks_like_dicom(paths: Sequence[Path]) -> bool:
    """Return whether one of a few files is DICOM, or a zip archive with DICOM in it; never raises.

    Files with a DICOM extension, and files without an extension, are checked first.
    """
    for path in sorted(paths, key=_unlikely)[:_LOOKED_AT]:
        try:
            head = _head_of_file(path)
            if is_dicom(head) or (is_zip(head) and _holds_dicom(path)):
                return True
        except (OSError, InputError):
            continue
    return False


def _unlikely(path: Path) -> int:
    """Return 0 for a name that DICOM often has, 1 for a number behind a point as in UIDs, 2 for any other."""
    ending = path.suffix.lower()
    if ending in ("", ".dcm", ".dicom", ".ima", ".zip"):
        return 0
    return 1 if ending[1:].isdigit() else 2


def find_dicom_files(roots: Sequence[Path]) -> tuple[list[DicomLocation], Counter[str]]:
    """Return the locations of DICOM objects in folders, zip archives and files, and counts of the other files.

    An unusable archive raises an error if it was given directly; inside a folder it is counted.

    Raises:
        InputError: ``input.missing``, or what is wrong with an archive.
    """
    found: list[DicomLocation] = []
    ignored: Counter[str] = Counter()
    for root in roots:
        if root.is_dir():
            for path in _files_below(root):
                _sort_in(path, found, ignored)
        elif _is_regular(root) and is_zip(_head_of_file(root)):
            found += _members(root, ignored)
        elif _is_regular(root):
            _sort_in(root, found, ignored)
        else:
            raise InputError("no such file or folder", cure="check the path", code="input.missing")
    return list(dict.fromkeys(found)), ignored


class DicomReader:
    """Opens locations; an archive stays open until a location elsewhere is requested."""

    def __init__(self) -> None:
        self._current: tuple[Path, Archive] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._stack.close()
        self._current = None

    def open(self, place: DicomLocation) -> BinaryIO:
        """Return a seekable stream; the caller closes it.

        Raises:
            InputError: the file is gone, too large, or its archive is damaged.
        """
        if place.member is not None:
            return io.BytesIO(self._archive(place.path).read(place.member))
        try:
            if place.path.stat().st_size > MAX_FILE_BYTES:
                raise InputError(
                    "a DICOM file is too large",
                    expected=f"at most {MAX_FILE_BYTES // 2**30} GiB",
                    cure="split the file into frames, or convert it to NIfTI",
                    code="input.too_large",
                )
            return place.path.open("rb")
        except OSError as error:
            raise _unreadable(error) from None

    def _archive(self, path: Path) -> Archive:
        if self._current is None or self._current[0] != path:
            self._stack.close()
            try:
                self._current = path, self._stack.enter_context(Archive(path))
            except OSError as error:
                raise _unreadable(error) from None
        return self._current[1]


def _files_below(root: Path) -> Iterator[Path]:
    """Yield the regular files under a folder in a stable order; see `walk_once`."""
    for folder, below, names in walk_once(root):
        below.sort()
        yield from (path for name in sorted(names) if _is_regular(path := Path(folder, name)))


def _is_regular(path: Path) -> bool:
    """Return whether a path is a regular file; opening a pipe or a device could block."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _head_of_file(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(HEAD_BYTES)
    except OSError as error:
        raise _unreadable(error) from None


def _sort_in(path: Path, found: list[DicomLocation], ignored: Counter[str]) -> None:
    try:
        head = _head_of_file(path)
    except InputError:
        found.append(DicomLocation(path))  # reading it says what is wrong
        return
    if is_dicom(head):
        found.append(DicomLocation(path))
    elif not is_zip(head):
        ignored[NOT_DICOM] += 1
    else:
        try:
            inside: Counter[str] = Counter()
            members = _members(path, inside)
        except InputError:
            members = []
        found += members
        ignored.update(inside if members else {NO_DICOM_IN_ZIP: 1})


def _members(path: Path, ignored: Counter[str]) -> list[DicomLocation]:
    """Return the members of an archive that are DICOM; nothing of one that holds another is read."""
    found = []
    with Archive(path) as archive:
        for member in archive.members:
            head = archive.head(member, HEAD_BYTES)
            if is_zip(head):
                raise nested_archive()
            if is_dicom(head):
                found.append(DicomLocation(path, member))
            else:
                ignored[NOT_DICOM] += 1
    return found


def _holds_dicom(path: Path) -> bool:
    with Archive(path) as archive:
        return any(is_dicom(archive.head(member, HEAD_BYTES)) for member in archive.members[:_LOOKED_AT])


def _unreadable(error: OSError) -> InputError:
    return InputError("cannot read a file", got=error.strerror, cure="check its permissions", code="input.unreadable")

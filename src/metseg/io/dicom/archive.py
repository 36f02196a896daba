"""Read members of an untrusted zip archive by number into memory.

Member names are used only to reject path traversal; they are never joined to a path,
never printed, and nothing is unpacked to disk. Sizes are counted while reading, because the sizes in the
archive's directory can be forged.
"""

from __future__ import annotations

import copy
import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from metseg.errors import InputError

MAX_MEMBERS = 5000
MAX_MEMBER_BYTES = 2**30
MAX_UNPACKED_BYTES = 4 * 2**30
#: Largest member list at the archive's end, in bytes: it is read whole, and 5,000 members take well under 2 MB.
MAX_DIRECTORY_BYTES = 16 * 2**20

#: First bytes of a zip archive, with members or empty.
ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")

_CHUNK_BYTES = 2**20
_END_RECORD = b"PK\x05\x06"
_END_RECORD_BYTES, _LONGEST_COMMENT = 22, 0xFFFF
#: Signature before the end record of an archive over 4 GiB or 65,535 members.
_ZIP64_LOCATOR, _ZIP64_LOCATOR_BYTES = b"PK\x06\x07", 20
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_DRIVE = re.compile(r"[A-Za-z]:")
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, RuntimeError, KeyError)


class Archive:
    """An open zip archive; members are addressed by number only.

    Args:
        path: the archive.
    Raises:
        InputError: ``input.archive_damaged``, ``input.archive_path`` (a name with ``..``, an absolute one, a link) or
            ``input.too_large``.
    """

    def __init__(self, path: Path) -> None:
        self._stream: BinaryIO = path.open("rb")
        self._unpacked = 0
        try:
            with _damage_named():
                _check_directory(self._stream)
                self._zip = zipfile.ZipFile(self._stream)
            self._infos = self._zip.infolist()
            _check_members(self._infos)
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._zip.close()
        self._stream.close()

    @property
    def members(self) -> tuple[int, ...]:
        """Return the numbers of the members that are files."""
        return tuple(number for number, info in enumerate(self._infos) if not info.is_dir())

    def head(self, member: int, count: int) -> bytes:
        """Return the first bytes of a member."""
        with _damage_named(), self._zip.open(self._unbounded(member)) as stream:
            return stream.read(count)

    def read(self, member: int) -> bytes:
        """Return the bytes of a member, with its checksum verified.

        Raises:
            InputError: ``input.too_large``, ``input.archive_forged`` (more or fewer bytes than the archive says) or
                ``input.archive_damaged``.
        """
        said = self._infos[member].file_size
        content = bytearray()
        with _damage_named(), self._zip.open(self._unbounded(member)) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                content += chunk
                self._count(len(chunk), len(content), said)
        if len(content) != said:
            raise _forged()
        return bytes(content)

    def _unbounded(self, member: int) -> zipfile.ZipInfo:
        """Return an entry that zipfile reads to the real end of its data, not to the size in the directory."""
        info = copy.copy(self._infos[member])
        info.file_size = MAX_MEMBER_BYTES + 2 * _CHUNK_BYTES
        return info

    def _count(self, new: int, so_far: int, said: int) -> None:
        self._unpacked += new
        if so_far > said:
            raise _forged()
        if so_far > MAX_MEMBER_BYTES or self._unpacked > MAX_UNPACKED_BYTES:
            raise _too_large("the unpacked archive is too large", f"at most {MAX_UNPACKED_BYTES // 2**30} GiB")


def is_zip(head: bytes) -> bool:
    """Return whether a file with these first bytes is a zip archive."""
    return head.startswith(ZIP_STARTS)


def nested_archive() -> InputError:
    """Return the error for an archive inside an archive."""
    return InputError(
        "the archive contains another archive",
        where="the archive",
        cure="pack the DICOM files themselves",
        code="input.archive_nested",
    )


@contextmanager
def _damage_named() -> Iterator[None]:
    """Replace zipfile's exceptions by one error, because their messages contain member names."""
    try:
        yield
    except _DAMAGE:
        raise InputError(
            "the archive is damaged or has an unknown format",
            where="the archive",
            expected="a zip archive (stored or deflated) without a password",
            cure="create or copy the archive again",
            code="input.archive_damaged",
        ) from None


def _check_directory(stream: BinaryIO) -> None:
    """Refuse an oversized directory before zipfile reads it."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(size - _END_RECORD_BYTES - _LONGEST_COMMENT - _ZIP64_LOCATOR_BYTES, 0))
    tail = stream.read()
    stream.seek(0)
    at = tail.rfind(_END_RECORD)
    if at < 0 or len(tail) - at < _END_RECORD_BYTES:
        raise zipfile.BadZipFile
    members, directory_bytes = struct.unpack_from("<HL", tail, at + 10)
    is_zip64 = tail[max(at - _ZIP64_LOCATOR_BYTES, 0) : at].startswith(_ZIP64_LOCATOR)
    if is_zip64 or members > MAX_MEMBERS or directory_bytes > MAX_DIRECTORY_BYTES:
        raise _too_many()


def _check_members(infos: list[zipfile.ZipInfo]) -> None:
    if len(infos) > MAX_MEMBERS:
        raise _too_many()
    for info in infos:
        if _reaches_outside(info.orig_filename) or not _is_plain(info):
            raise InputError(
                "an archive member is a link, or has an absolute path or '..' in its name",
                where="the archive",
                cure="create the archive again from within the folder that holds the files",
                code="input.archive_path",
            )
        if info.compress_type not in _METHODS or info.flag_bits & _ENCRYPTED:
            with _damage_named():
                raise zipfile.BadZipFile
    if sum(info.file_size for info in infos) > MAX_UNPACKED_BYTES:
        raise _too_large("the unpacked archive is too large", f"at most {MAX_UNPACKED_BYTES // 2**30} GiB")


def _reaches_outside(name: str) -> bool:
    """Return whether a member's name would leave the folder it is unpacked to.

    >>> [_reaches_outside(name) for name in ("a/b.dcm", "../b", "a/../../b", "/b", "C:b", "..\\\\b", "a..b")]
    [False, True, True, True, True, True, False]
    """
    plain = name.replace("\\", "/")
    return plain.startswith("/") or ".." in plain.split("/") or _DRIVE.match(plain) is not None


def _is_plain(info: zipfile.ZipInfo) -> bool:
    """Return whether a member is a file or a folder, as far as the system that packed it says so."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    return kind in (0, stat.S_IFREG, stat.S_IFDIR)


def _too_large(what: str, expected: str) -> InputError:
    return InputError(
        what, where="the archive", expected=expected, cure="give one study at a time", code="input.too_large"
    )


def _too_many() -> InputError:
    return _too_large("the archive has too many members", f"at most {MAX_MEMBERS}")


def _forged() -> InputError:
    return InputError(
        "an archive member does not have the size that the archive declares",
        where="the archive",
        cure="create or copy the archive again",
        code="input.archive_forged",
    )

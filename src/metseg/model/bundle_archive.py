"""A bundle as one file: a zip archive that is the same, byte by byte, on every machine."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

from metseg.bundle_folder import CHECKSUMS, checksums, verify_bundle
from metseg.errors import BundleError
from metseg.runtime.atomic_io import atomic_file

#: The date of every member: the oldest that the format knows. A real one would change the checksum of the archive.
_DATE: Final = (1980, 1, 1, 0, 0, 0)
_MODE: Final = 0o644
_UNIX: Final = 3


def pack_bundle(folder: Path, archive: Path) -> None:
    """Write a bundle as a zip archive. Equal bundles give equal archives.

    Members are not compressed: weights hardly shrink, and compressed bytes would depend on the version of zlib.

    Args:
        folder: the bundle.
        archive: the file to write.
    Raises:
        BundleError: a file of the bundle differs from its checksum.
    """
    verify_bundle(folder)
    names = [line.split("  ", 1)[1] for line in checksums(folder).splitlines()]
    with atomic_file(archive) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as target:
        for name in sorted([*names, CHECKSUMS]):
            member = zipfile.ZipInfo(name, _DATE)
            member.create_system, member.external_attr = _UNIX, _MODE << 16
            target.writestr(member, (folder / name).read_bytes())


def unpack_bundle(archive: Path, folder: Path) -> None:
    """Unpack an archive of `pack_bundle` into a folder that exists.

    Raises:
        BundleError: not a zip archive, or it holds anything but the plain files of a bundle.
    """
    try:
        with zipfile.ZipFile(archive) as source:
            for member in source.infolist():
                if member.filename != Path(member.filename).name or member.filename.startswith("."):
                    raise BundleError(
                        "the archive holds a folder or a path",
                        where=archive,
                        got=member.filename,
                        expected="the files of a bundle",
                        code="model.invalid",
                    )
                (folder / member.filename).write_bytes(source.read(member))
    except zipfile.BadZipFile as error:
        raise BundleError("not a bundle archive", where=archive, got=error, code="model.invalid") from None

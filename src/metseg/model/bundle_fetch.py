"""Download a released bundle, check it, and install it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from metseg.bundle_folder import user_bundles
from metseg.errors import BundleError, UsageError
from metseg.model import releases
from metseg.model.bundle_archive import unpack_bundle
from metseg.model.bundle_install import install_bundle, require_free_name
from metseg.model.download import RemoteFile, download, require_checksum
from metseg.model.releases import ADDRESS_SETTING, Release
from metseg.registry import lookup
from metseg.runtime.progress import OnShare, no_progress


def fetch_bundle(
    name: str, *, file: Path | None = None, overwrite: bool = False, on_share: OnShare = no_progress
) -> Path:
    """Install a released bundle and return its folder.

    A download that was cut is continued, also by a later call. Only an archive with the right checksum is unpacked.

    Args:
        name: an entry of `RELEASES`.
        file: the archive, if it is on this machine already; None: it is downloaded from ``METSEG_MODELS_URL``.
        overwrite: replace a bundle of this name in the user's folder.
        on_share: called with the part of the download that is done, 0 to 1.
    Raises:
        UsageError: an unknown name, no address, or a bundle of this name exists.
        BundleError: ``model.missing``, there is no such file; ``model.download``, it cannot be downloaded;
            ``model.checksum``, the content is another.
        ResourceError: the disk is full.
    """
    release = lookup("released model", releases.RELEASES, name)
    require_free_name(name, overwrite=overwrite, cure="replace it with --overwrite")
    if file is None:
        part = user_bundles().parent / "downloads" / f"{release.file}.part"
        download(_remote(release, address=_address()), part, on_share)
        installed = _install(part, name, overwrite)
        part.unlink()
        return installed
    if not file.is_file():
        raise BundleError("no such file", where=file, cure="check the path", code="model.missing")
    require_checksum(file, _remote(release, address=""))
    return _install(file, name, overwrite)


def _install(archive: Path, name: str, overwrite: bool) -> Path:
    with tempfile.TemporaryDirectory(prefix="metseg-") as folder:
        unpack_bundle(archive, Path(folder))
        return install_bundle(Path(folder), name=name, overwrite=overwrite)


def _remote(release: Release, *, address: str) -> RemoteFile:
    return RemoteFile(
        f"{address}/{release.file}",
        "sha256",
        release.sha256,
        release.size,
        missing_cure=f"check {ADDRESS_SETTING}",
    )


def _address() -> str:
    address = os.environ.get(ADDRESS_SETTING, "").strip().rstrip("/")
    if not address:
        raise UsageError(
            "no address of released models is set",
            where=ADDRESS_SETTING,
            expected="a URL such as https://github.com/OWNER/REPOSITORY/releases/download/models-1",
            cure="set it, or download the archive yourself and use --from FILE",
            code="usage.models_url",
        )
    return address

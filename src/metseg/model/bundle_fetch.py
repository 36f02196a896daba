"""Download a released bundle, check it, and install it."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from metseg.bundle_folder import user_bundles
from metseg.errors import BundleError, UsageError
from metseg.model import releases
from metseg.model.bundle_archive import unpack_bundle
from metseg.model.bundle_install import install_bundle, require_free_name
from metseg.model.releases import ADDRESS_SETTING, Release
from metseg.registry import lookup
from metseg.runtime.atomic_io import disk_full_is_an_error
from metseg.runtime.progress import OnShare, no_progress

if TYPE_CHECKING:
    import httpx

#: How often a transfer that was cut is continued, and the seconds between.
ATTEMPTS: Final = 3
PAUSE_S: Final = 1.0
_OK, _PARTIAL, _NOT_FOUND, _NO_SUCH_RANGE = 200, 206, 404, 416


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
        _download(release, part, on_share)
        installed = _install(part, name, overwrite)
        part.unlink()
        return installed
    if not file.is_file():
        raise BundleError("no such file", where=file, cure="check the path", code="model.missing")
    _require_checksum(file, release)
    return _install(file, name, overwrite)


def _install(archive: Path, name: str, overwrite: bool) -> Path:
    with tempfile.TemporaryDirectory(prefix="metseg-") as folder:
        unpack_bundle(archive, Path(folder))
        return install_bundle(Path(folder), name=name, overwrite=overwrite)


def _download(release: Release, part: Path, on_share: OnShare) -> None:
    """Download an archive; what an earlier call has left is continued."""
    import httpx

    url = f"{_address()}/{release.file}"
    was_there = part.is_file()
    part.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with disk_full_is_an_error(part):
                _transfer(url, part, release, on_share)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if attempt == ATTEMPTS or not isinstance(error, httpx.TransportError):
                raise _failed(url, f"{type(error).__name__}: {error}".rstrip(": ")) from None
        else:
            if _size(part) < release.size:  # cut, by a server that did not say how much it sends
                if attempt == ATTEMPTS:
                    raise _failed(url, f"{_size(part)} of {release.size} bytes")
            elif _is_right(part, release) or not was_there:
                break
            else:  # the earlier part was of another file: once more from the beginning
                part.unlink()
                was_there = False
                continue
        time.sleep(PAUSE_S)
    try:
        _require_checksum(part, release, where=url)
    except BundleError:
        part.unlink(missing_ok=True)
        raise


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


def _transfer(url: str, part: Path, release: Release, on_share: OnShare) -> None:
    """Append to a part of an archive, or begin anew where the server sends all of it."""
    import httpx

    have = _size(part)
    if have >= release.size:
        return
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with httpx.stream("GET", url, headers=headers, follow_redirects=True, timeout=60.0) as response:
        if response.status_code == _NO_SUCH_RANGE:
            part.unlink()
            return
        have = _beginning(response, url, have)
        with part.open("ab" if have else "wb") as target:
            part.chmod(0o600)
            for chunk in response.iter_raw():
                target.write(chunk)
                have += len(chunk)
                on_share(min(have / release.size, 1.0))
                if have > release.size:  # another file, maybe without an end
                    return


def _beginning(response: httpx.Response, url: str, have: int) -> int:
    """Return the place in the archive at which the content of a response begins."""
    if response.status_code == _OK:
        return 0
    if response.status_code == _PARTIAL and response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        return have
    if response.status_code == _NOT_FOUND:
        raise BundleError(
            "the release has no such file",
            where=url,
            got="status 404",
            cure=f"check {ADDRESS_SETTING}",
            code="model.missing",
        )
    raise _failed(url, f"status {response.status_code}")


def _failed(url: str, got: str) -> BundleError:
    return BundleError(
        "the model cannot be downloaded",
        where=url,
        got=got,
        cure="try again later; what has arrived is kept. Or download it yourself and use --from FILE",
        code="model.download",
    )


def _is_right(archive: Path, release: Release) -> bool:
    return _size(archive) == release.size and _sha256(archive) == release.sha256


def _require_checksum(archive: Path, release: Release, *, where: object = None) -> None:
    if not _is_right(archive, release):
        raise BundleError(
            "the archive is not the released one",
            where=where or archive,
            expected=f"{release.size} bytes, sha256 {release.sha256}",
            got=f"{_size(archive)} bytes, sha256 {_sha256(archive)}",
            cure="download it again",
            code="model.checksum",
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

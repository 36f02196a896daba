"""Download a file with a known checksum, and continue a download that was cut."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from metseg.errors import BundleError
from metseg.runtime.atomic_io import disk_full_is_an_error
from metseg.runtime.progress import OnShare, no_progress

if TYPE_CHECKING:
    import httpx

#: How often a transfer that was cut is continued, and the seconds between.
ATTEMPTS: Final = 3
PAUSE_S: Final = 1.0
#: Bytes at which a download of unknown size is given up.
LARGEST_UNKNOWN: Final = 2_000_000_000
_OK, _PARTIAL, _NOT_FOUND, _NO_SUCH_RANGE = 200, 206, 404, 416


@dataclass(frozen=True)
class RemoteFile:
    """A file at an address, and how it is recognised.

    Args:
        url: its address.
        algorithm: of the checksum, a name that `hashlib` knows.
        digest: its first hexadecimal digits, all of them where they are published.
        size: in bytes; None: not published.
        kind: what it is, for messages.
        missing_cure: what helps where the address has no such file.
    """

    url: str
    algorithm: str
    digest: str
    size: int | None = None
    kind: str = "archive"
    missing_cure: str = "check the address, or download it yourself and use --from FILE"

    def matches(self, path: Path) -> bool:
        """Return whether a file has this size and checksum."""
        right_size = self.size is None or _size(path) == self.size
        return path.is_file() and right_size and _digest(path, self.algorithm).startswith(self.digest)


def download(remote: RemoteFile, part: Path, on_share: OnShare = no_progress) -> None:
    """Download a file to ``part``; what an earlier call has left is continued.

    Raises:
        BundleError: ``model.missing``, there is no such file; ``model.download``, it cannot be downloaded;
            ``model.checksum``, the content is another.
        ResourceError: the disk is full.
    """
    import httpx

    url = remote.url
    was_there = part.is_file()
    part.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with disk_full_is_an_error(part):
                _transfer(part, remote, on_share)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            if attempt == ATTEMPTS or not isinstance(error, httpx.TransportError):
                raise _failed(url, f"{type(error).__name__}: {error}".rstrip(": ")) from None
        else:
            if _size(part) < (remote.size or 0):  # cut, by a server that did not say how much it sends
                if attempt == ATTEMPTS:
                    raise _failed(url, f"{_size(part)} of {remote.size} bytes")
            elif remote.matches(part) or not was_there:
                break
            else:  # the earlier part was of another file: once more from the beginning
                part.unlink()
                was_there = False
                continue
        time.sleep(PAUSE_S)
    try:
        require_checksum(part, remote, where=url)
    except BundleError:
        part.unlink(missing_ok=True)
        raise


def _transfer(part: Path, remote: RemoteFile, on_share: OnShare) -> None:
    """Append to a part of a file, or begin anew where the server sends all of it."""
    import httpx

    have, size = _size(part), remote.size
    if size is not None and have >= size:
        return
    headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
    with httpx.stream("GET", remote.url, headers=headers, follow_redirects=True, timeout=60.0) as response:
        if response.status_code == _NO_SUCH_RANGE:
            part.unlink()
            return
        have = _beginning(response, remote, have)
        with part.open("ab" if have else "wb") as target:
            part.chmod(0o600)
            for chunk in response.iter_raw():
                target.write(chunk)
                have += len(chunk)
                if size is not None:
                    on_share(min(have / size, 1.0))
                if have > (size or LARGEST_UNKNOWN):  # another file, maybe without an end
                    return


def _beginning(response: httpx.Response, remote: RemoteFile, have: int) -> int:
    """Return the place in the file at which the content of a response begins."""
    if response.status_code == _OK:
        return 0
    if response.status_code == _PARTIAL and response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        return have
    if response.status_code == _NOT_FOUND:
        raise BundleError(
            "the release has no such file",
            where=remote.url,
            got="status 404",
            cure=remote.missing_cure,
            code="model.missing",
        )
    raise _failed(remote.url, f"status {response.status_code}")


def _failed(url: str, got: str) -> BundleError:
    return BundleError(
        "the model cannot be downloaded",
        where=url,
        got=got,
        cure="try again later; what has arrived is kept. Or download it yourself and use --from FILE",
        code="model.download",
    )


def require_checksum(path: Path, remote: RemoteFile, *, where: object = None) -> None:
    """Raise `BundleError` ``model.checksum`` unless a file is the one described; ``where`` is for the message."""
    if not remote.matches(path):
        raise BundleError(
            f"the {remote.kind} is not the released one",
            where=where or path,
            expected=_description(remote.size, remote.algorithm, remote.digest),
            got=_description(_size(path), remote.algorithm, _digest(path, remote.algorithm)),
            cure="download it again",
            code="model.checksum",
        )


def _description(size: int | None, algorithm: str, digest: str) -> str:
    return f"{algorithm} {digest}" if size is None else f"{size} bytes, {algorithm} {digest}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()

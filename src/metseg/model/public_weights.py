"""Install public weights, such as InceptionV3 of ImageNet, so that a recipe can name them."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

from metseg.bundle_folder import user_bundles
from metseg.errors import BundleError
from metseg.model import releases
from metseg.model.download import RemoteFile, download, require_checksum
from metseg.registry import lookup
from metseg.runtime.atomic_io import disk_full_is_an_error
from metseg.runtime.progress import OnShare, no_progress


def installed_weights(name: str) -> Path | None:
    """Return the file of public weights that were fetched, or came with a package; None: absent, or no such name."""
    if name in releases.PACKAGED_WEIGHTS:
        return _in_package(releases.PACKAGED_WEIGHTS[name])
    known = releases.PUBLIC_WEIGHTS.get(name)
    path = None if known is None else _place(known)
    return path if path is not None and path.is_file() else None


def how_to_install(name: str) -> str:
    """Return the command that installs public weights.

    Args:
        name: an entry of `releases.PUBLIC_WEIGHTS` or `releases.PACKAGED_WEIGHTS`.
    """
    packaged = releases.PACKAGED_WEIGHTS.get(name)
    return f"metseg models fetch {name}" if packaged is None else packaged.install


def fetch_weights(name: str, *, file: Path | None = None, on_share: OnShare = no_progress) -> Path:
    """Install public weights into ``$METSEG_HOME/weights`` and return their file.

    A download that was cut is continued. Only a file with the right checksum is installed; it replaces an earlier one.

    Args:
        name: an entry of `releases.PUBLIC_WEIGHTS`.
        file: the file, if it is on this machine already; None: it is downloaded.
        on_share: called with the part of the download that is done, 0 to 1, where the size is known.
    Raises:
        UsageError: an unknown name.
        BundleError: ``model.missing``, there is no such file; ``model.download``, it cannot be downloaded;
            ``model.checksum``, the content is another.
        ResourceError: the disk is full.
    """
    known = lookup("public weights", releases.PUBLIC_WEIGHTS, name)
    remote = RemoteFile(known.url, known.algorithm, known.digest, known.size, kind="file")
    place = _place(known)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = place.with_name(f"{place.name}.part")
    if file is None:
        download(remote, part, on_share)
    else:
        if not file.is_file():
            raise BundleError("no such file", where=file, cure="check the path", code="model.missing")
        require_checksum(file, remote)
        with disk_full_is_an_error(part):
            shutil.copyfile(file, part)
    os.replace(part, place)
    return place


def _place(known: releases.PublicWeights) -> Path:
    return user_bundles().parent / "weights" / known.file


def _in_package(known: releases.PackagedWeights) -> Path | None:
    # The package is found and not imported: nothing of it is needed but the file.
    found = importlib.util.find_spec(known.package)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / known.file
    if not path.is_file():
        return None
    require_checksum(path, RemoteFile(known.install, "sha256", known.sha256, None, kind="file"))
    return path

"""Write a folder wholly or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from metseg.errors import ResourceError

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give a temporary sibling to write into; at the end it takes the place of ``target`` by renaming.

    Whatever goes wrong before the end, ``target`` stays as it was and the sibling is removed.

    Raises:
        ResourceError: the disk is full (``resources.disk``) or refuses to be written to (``resources.write``).
    """
    target = target.absolute()
    partial = target.with_name(f".{target.name}.{uuid4().hex[:8]}.partial")
    try:
        partial.mkdir(parents=True)
        yield partial
        _sync_folder(partial)
        _take_place(partial, target)
    except OSError as error:
        full = error.errno in _FULL
        raise ResourceError(
            "the disk is full" if full else "cannot write the folder",
            where=target,
            got=error.strerror,
            cure="free some space and repeat; what was there before is unchanged" if full else "choose another folder",
            code="resources.disk" if full else "resources.write",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_durably(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on the disk, so that a full disk is noticed here and not later."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _take_place(partial: Path, target: Path) -> None:
    """Rename ``partial`` to ``target``; a folder cannot be renamed onto a filled one, so the old one steps aside first.

    Between the two renames there is no ``target`` at all, never half of one.
    """
    aside = partial.with_suffix(".old")
    if target.exists():
        os.rename(target, aside)
    try:
        os.rename(partial, target)
    except OSError:
        if aside.exists():
            os.rename(aside, target)
        raise
    _sync_folder(target.parent)
    shutil.rmtree(aside, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable, where the system lets a folder be opened (Windows does not)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

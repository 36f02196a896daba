"""Write files and folders atomically: readers see the old content or the new one, never a part."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from metseg.errors import MetsegError, ResourceError, UsageError

#: Suffix of a folder that is set aside while another one replaces it.
ASIDE = ".old"

#: Error numbers for a disk that accepts no more data, and their messages. On FAT disks a file is limited to 4 GB.
LACKS: Mapping[int, str] = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file is larger than this disk or a limit of this process allows",
}


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``. On success it replaces ``path``; on an error it is removed.

    Raises:
        ResourceError: the disk is full; what was at ``path`` before is untouched.
    """
    with disk_full_is_an_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
        os.close(descriptor)
        temporary = Path(name)
        try:
            yield temporary
            flush_to_disk(temporary)
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
            flush_renames(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``. On success it replaces ``path``; on an error it is removed.

    Raises:
        ResourceError: the disk is full; what was at ``path`` before is untouched.
    """
    with disk_full_is_an_error(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
        try:
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    flush_to_disk(file)
            temporary.chmod(0o777 & ~_umask())
            _swap_in(temporary, path)
            flush_renames(path.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically; see `atomic_file`.

    Prefer this when a library can return bytes: libraries that write files themselves report a full disk in different
    ways, safetensors and ``torch.save`` not as an OSError.
    """
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file atomically; see `atomic_file`."""
    with atomic_file(path) as temporary:
        temporary.write_text(text, "utf-8")


def remove_leftovers(path: Path) -> None:
    """Remove the temporary files and folders beside ``path`` that a killed process left behind.

    If the process was killed while it replaced a folder, after setting the old one aside, the move is completed first.
    Call this only while no other process writes ``path``.
    """
    _complete_swap(path)
    for leftover in path.parent.glob(f".{path.name}.*"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


@contextmanager
def disk_full_is_an_error(path: Path) -> Iterator[None]:
    """Turn "no space left", "quota exceeded" and "file too large" into a `ResourceError`; other errors pass unchanged.

    ``torch.save`` raises a RuntimeError while it handles the system's error, so the chain of errors is searched too.
    """
    try:
        yield
    except MetsegError:
        raise
    except Exception as error:
        reason = next((LACKS[one.errno] for one in _chain(error) if getattr(one, "errno", None) in LACKS), None)
        if reason is None:
            raise
        raise ResourceError(
            f"{reason}; existing files are unchanged",
            where=path,
            got=_free_space(path),
            cure="free some space or choose another folder, then repeat; resume a training with --resume",
            code="resources.disk",
        ) from error


def require_writable_folder(folder: Path) -> None:
    """Raise if a folder cannot be written, or cannot be created; nothing is created. For work that takes minutes.

    Raises:
        UsageError: ``usage.folder``.
    """
    place = folder.absolute()
    there = next(one for one in (place, *place.parents) if one.exists())
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return
    raise UsageError(
        "the output folder cannot be written",
        where=folder,
        got=f"no permission in {there}" if there.is_dir() else f"a file, {there}",
        cure="choose another one with --out",
        code="usage.folder",
    )


def _chain(error: BaseException | None) -> Iterator[Any]:
    """Yield an error, then the errors in its chain of contexts."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def flush_to_disk(path: Path) -> None:
    """Flush a file to disk, so that it survives a power cut."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Flush the files of a folder to disk, and their names.

    Raises:
        ResourceError: the disk is full.
    """
    with disk_full_is_an_error(folder):
        for path in folder.iterdir():
            flush_to_disk(path)
        flush_renames(folder)


def move_folder(folder: Path, target: Path) -> None:
    """Move a flushed folder to its final place, and flush the move to disk.

    Raises:
        ResourceError: the disk is full.
    """
    with disk_full_is_an_error(target):
        target.parent.mkdir(mode=0o700, exist_ok=True)
        os.replace(folder, target)
        flush_renames(target.parent)


def flush_renames(folder: Path) -> None:
    """Flush renames inside a folder to disk, if the system can open folders (Windows cannot)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _swap_in(temporary: Path, path: Path) -> None:
    """Move a folder into place; a folder already there is set aside first, and put back if the move fails."""
    if not path.exists():
        os.replace(temporary, path)
        return
    aside = temporary.with_name(temporary.name + ASIDE)
    os.replace(path, aside)
    try:
        os.replace(temporary, path)
    except OSError:
        os.replace(aside, path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _complete_swap(path: Path) -> None:
    """Put the new folder, or else the old one, in place after a killed `_swap_in` left neither; both are complete."""
    if path.exists():
        return
    for aside in path.parent.glob(f".{path.name}.*{ASIDE}"):
        new = aside.with_name(aside.name.removesuffix(ASIDE))
        os.replace(new if new.exists() else aside, path)
        flush_renames(path.parent)
        return


def _free_space(path: Path) -> str:
    there = next((folder for folder in path.absolute().parents if folder.exists()), Path("/"))
    return f"{shutil.disk_usage(there).free / 1e6:.0f} MB free"


def make_private(folder: Path) -> None:
    """Give a folder and everything in it to its account alone: folders 0700, files 0600, independent of the umask."""
    for path in (folder, *folder.rglob("*")):
        with suppress(FileNotFoundError):  # a temporary file of another process
            path.chmod(0o700 if path.is_dir() else 0o600)


def _umask() -> int:
    """Return the umask, on Linux without changing it: files of other threads would be open to all for a moment."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    mask = os.umask(0)
    os.umask(mask)
    return mask

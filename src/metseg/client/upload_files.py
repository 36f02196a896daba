"""The files of a study on this machine: what is uploaded, in which order and in which form field."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Final

from metseg.client.service_api import FilePart
from metseg.errors import InputError, UsageError
from metseg.schemas import BRAIN_MASK, SEQUENCES

#: The form field of files without a declared sequence.
_FILES: Final = "files"
#: Files that file managers leave in folders.
_CLUTTER: Final = ("thumbs.db", "desktop.ini")
#: Endings of tables, texts and records that lie beside images. DICOM files can have any other ending, or none.
_NO_IMAGES: Final = (
    *(".json", ".txt", ".csv", ".tsv", ".md", ".log", ".xml", ".html", ".htm", ".yaml", ".yml", ".toml", ".ini"),
    *(".bval", ".bvec", ".pdf", ".rtf", ".doc", ".docx", ".xls", ".xlsx", ".py", ".sh"),
)
_DIGITS: Final = re.compile(r"(\d+)")


def upload_parts(paths: Sequence[Path], sequences: Mapping[str, Path]) -> list[FilePart]:
    """Return the files to upload.

    Args:
        paths: files in their order, and folders: all files in them, sorted by name with numbers by their value, except
            those that `is_no_image` names.
        sequences: file of each declared sequence (``t1n``, ``t1c``, ``t2w``, ``t2f``) and of ``brain_mask``.
    Raises:
        InputError: a file is not there, or there is no file at all.
        UsageError: an unknown sequence.
    """
    for name in sequences:
        if name not in (*SEQUENCES, BRAIN_MASK):
            known = ", ".join((*SEQUENCES, BRAIN_MASK))
            raise UsageError("unknown sequence", where=name, expected=known, code="usage.unknown_name")
    found = [FilePart(_FILES, file.name, file) for path in paths for file in _files(path)]
    found += [FilePart(name, path.name, path) for name, path in sequences.items() for path in [_file(path)]]
    if not found:
        where = ", ".join(map(str, paths)) or None
        raise InputError("no file to upload", where=where, cure="name the files of a study", code="input.missing")
    return found


def files_below(folder: Path) -> list[Path]:
    """Return the files of a folder in their order: by name, with numbers by their value; without clutter."""
    found = [file for file in folder.rglob("*") if file.is_file() and not is_clutter(file.relative_to(folder))]
    return sorted(found, key=lambda file: natural_order(str(file.relative_to(folder))))


def is_no_image(name: str) -> bool:
    """Return whether a file is a table, a text or a record by the ending of its name.

    >>> is_no_image("P1.json"), is_no_image("P1-t1c.nii.gz"), is_no_image("IM0001"), is_no_image("1.2.840.7")
    (True, False, False, False)
    """
    return name.lower().endswith(_NO_IMAGES)


def is_clutter(path: PurePath) -> bool:
    """Return whether a file is a hidden or system file that is not meant for upload.

    Args:
        path: relative to the chosen folder.

    >>> is_clutter(PurePath("study/.DS_Store")), is_clutter(PurePath("Thumbs.db")), is_clutter(PurePath("study/IM1"))
    (True, True, False)
    """
    return path.name.lower() in _CLUTTER or any(part.startswith(".") for part in path.parts)


def natural_order(name: str) -> tuple[tuple[int, str], ...]:
    """Return a key that sorts names with numbers by their value.

    >>> sorted(["s10.png", "s9.png", "a.png"], key=natural_order)
    ['a.png', 's9.png', 's10.png']
    """
    return tuple((int(part), "") if part.isdigit() else (0, part) for part in _DIGITS.split(name.lower()))


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [_file(path)]
    return [file for file in files_below(path) if not is_no_image(file.name)]


def _file(path: Path) -> Path:
    if not path.is_file():
        what = "a folder is given for a sequence" if path.is_dir() else "no such file"
        raise InputError(what, where=path, cure="check the path", code="input.missing")
    return path

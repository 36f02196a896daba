"""Cache keys: a stamp of a case's preprocessing steps with all options, and of the content of its files.

The stamp depends on contents, so that a copied or touched data set keeps its cache. Contents are read again only if a
file's size or times differ from those stored beside the stamp.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from metseg.errors import InputError
from metseg.io.case_source import CaseSource
from metseg.preprocess import check_steps
from metseg.preprocess.missing_sequences import sequence_fill
from metseg.recipe import Recipe

#: Goes up whenever the files of the cache change, or what a case becomes by the same recipe: what is decoded out of the
#: same file (orientation of pictures, unused bits, units), and what a step computes.
FORMAT_VERSION = 4
#: Keys of a recipe's data part that do not affect a preprocessed case: texts, selections made when it is read, and the
#: path of the table of patients, because the stamp holds the patient.
NOT_STAMPED = frozenset({"licence", "written_for", "slice_range", "neighbours", "patients"})
#: A file changed less than this before it was stamped may change again without its time showing it.
CLOCK_GRAIN_NS = 2_000_000_000


class CaseContent(NamedTuple):
    """What the files of a case hold.

    Args:
        content: checksum over who the case is, and over names and contents of its files.
        files: name, size and times of each; where they are as they were, contents are not read again.
        read_ns: when the contents were read.
    """

    content: str
    files: list[list[Any]]
    read_ns: int


def recipe_stamp(recipe: Recipe, *, brain_model: str = "") -> str:
    """Return a sha256 over everything in a recipe that decides what a case becomes; defaults are written out.

    Args:
        recipe: its data and preprocess parts count.
        brain_model: what tells the program that makes brain masks from every other; empty: none does.
    Raises:
        UsageError: unknown or misplaced steps.
    """
    rules = recipe.data.model_dump(mode="json", exclude=set(NOT_STAMPED))
    steps = [step.to_json() for step in check_steps(recipe.preprocess)]
    fill = sequence_fill(recipe.augment).model_dump(mode="json") if recipe.data.optional else None
    return _digest([FORMAT_VERSION, rules, steps, fill, *([brain_model] if brain_model else [])])


def case_stamp(content: str, recipe: str) -> str:
    """Return a sha256 over the recipe's stamp and the checksum of `CaseContent`."""
    return _digest([recipe, content])


def read_content(source: CaseSource, known: CaseContent | None = None) -> CaseContent:
    """Return what a case's files hold; they are read only where their sizes or times are not those that are known.

    Raises:
        InputError: a file cannot be read.
    """
    read_ns, times = now_ns(), file_times(source)
    if known is not None and times == known.files and settled(known.files, known.read_ns):
        return known
    identity = [source.case_id, source.patient, source.timepoint]
    contents = [[relative_name(file, source.root), content_hash(file)] for file in source.files]
    return CaseContent(_digest([identity, contents]), times, read_ns)


def file_times(source: CaseSource) -> list[list[Any]]:
    """Return name, size, and times of content and of attributes in ns, of every file.

    Raises:
        InputError: a file is gone.
    """
    rows: list[list[Any]] = []
    for file in source.files:
        try:
            status = file.stat()
        except OSError as error:
            raise unreadable(file, error) from None
        rows.append([relative_name(file, source.root), status.st_size, status.st_mtime_ns, status.st_ctime_ns])
    return rows


def settled(times: Sequence[Sequence[Any]], stamped_ns: int) -> bool:
    """Return whether every file was last changed long enough before it was stamped for its times to be trusted."""
    return all(row[2] < stamped_ns - CLOCK_GRAIN_NS for row in times)


def now_ns() -> int:
    return time.time_ns()


def relative_name(file: Path, root: Path) -> str:
    """Return the path below the data set's root, so that a moved data set keeps its cache."""
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.as_posix()


def content_hash(file: Path) -> str:
    """Return the sha256 of a file.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(file, error) from None


def unreadable(file: Path, error: OSError) -> InputError:
    return InputError(
        "cannot read the file", where=file, got=error.strerror, cure="check its permissions", code="input.unreadable"
    )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()

"""What made a cached case: the steps with all their options, and the content of every file it was read from.

The stamp is over contents, so that a copied or touched data set keeps its cache. Contents are read again only where a
file's size or times differ from those noted beside the stamp.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metseg.errors import InputError
from metseg.io.source import CaseSource
from metseg.preprocess import check_steps
from metseg.preprocess.missing import sequence_fill
from metseg.recipe import Recipe

#: Goes up whenever the files of the cache, or what a step computes, change.
FORMAT_VERSION = 3
#: What of a recipe's data part does not decide what a case becomes: words, and what is read of it later.
NOT_STAMPED = frozenset({"licence", "written_for", "slice_range", "neighbours"})
#: A file changed less than this before it was stamped may change again without its time showing it.
CLOCK_GRAIN_NS = 2_000_000_000


def recipe_stamp(recipe: Recipe) -> str:
    """Return a sha256 over everything in a recipe that decides what a case becomes; defaults are written out.

    Raises:
        UsageError: unknown or misplaced steps.
    """
    rules = recipe.data.model_dump(mode="json", exclude=set(NOT_STAMPED))
    steps = [step.to_json() for step in check_steps(recipe.preprocess)]
    fill = sequence_fill(recipe.augment).model_dump(mode="json") if recipe.data.optional else None
    return _digest([FORMAT_VERSION, rules, steps, fill])


def case_stamp(source: CaseSource, recipe: str) -> str:
    """Return a sha256 over the recipe's stamp, who the case is, and names and contents of its files.

    Raises:
        InputError: a file cannot be read.
    """
    identity = [source.case_id, source.patient, source.timepoint]
    contents = [[relative_name(file, source.root), content_hash(file)] for file in source.files]
    return _digest([recipe, identity, contents])


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

"""Count the attempts at a phase that ended with the death of the process.

A study that kills its worker must not pass from worker to worker without end. A process that the system kills for its
use of memory cannot record that. So each attempt is recorded before it starts, and the record is removed when the
attempt ends, with or without an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metseg.errors import ResourceError
from metseg.runtime.atomic_io import write_text

#: Attempts at a phase that may end with the death of the process or without enough memory, before the study fails.
ATTEMPTS = 3


@contextmanager
def noted(note: Path, *, limit: int = ATTEMPTS) -> Iterator[None]:
    """Record an attempt at a phase; remove the record when the attempt ends, even by an error or an interruption.

    Args:
        note: file of the record, one per phase and study.
        limit: number of attempts that may end with the death of the process.
    Raises:
        ResourceError: ``resources.memory``, the limit is reached; the phase does not start.
    """
    died = _died(note)
    if died >= limit:
        raise ResourceError(
            f"the worker process of this study died {died} times, most likely because memory ran out",
            cure="upload a smaller study, choose another model, or ask the administrator for more worker memory",
            code="resources.memory",
        )
    write_text(note, json.dumps(died + 1))
    try:
        yield
    finally:
        _take_back(note, died)


def _take_back(note: Path, died: int) -> None:
    if died:
        write_text(note, json.dumps(died))
    else:
        note.unlink(missing_ok=True)


def _died(note: Path) -> int:
    try:
        return int(json.loads(note.read_text("utf-8")))
    except (FileNotFoundError, ValueError):
        return 0

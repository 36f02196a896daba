"""How often a phase began and neither ended nor failed: its process died, most likely of it.

A study that kills whoever works on it must not be handed from worker to worker for ever. What the system does to a
process that takes too much memory leaves no trace in the process; so each attempt is noted before it begins, and the
note is taken back when it is over, whatever came of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metseg.atomic_io import write_text
from metseg.errors import ResourceError

#: So many processes may die of one phase of a study, or find that memory does not suffice, before it fails.
ATTEMPTS = 3


@contextmanager
def noted(note: Path, *, limit: int = ATTEMPTS) -> Iterator[None]:
    """Note that a phase begins; take the note back when it is over, also where it was interrupted or failed.

    Args:
        note: the file; of one phase of one study.
        limit: how many attempts may end without a word.
    Raises:
        ResourceError: ``resources.memory``, so many have; the phase is not begun.
    """
    died = _died(note)
    if died >= limit:
        raise ResourceError(
            f"the process that worked on this study died {died} times, most likely because memory ran out",
            cure="upload a smaller study, or choose another model; whoever runs the service: give workers more memory",
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

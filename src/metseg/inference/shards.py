"""Divide thousands of studies over many processes: select, skip finished cases, lock cases in progress.

Nothing is agreed on beforehand but the folder of the results. A case is finished when its document is there, which is
written last, names the same model and options, and lies beside every result that is asked for; it is being worked on
while its lock is held. Shards may overlap, be repeated,
or be killed: another process then does what is missing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

from filelock import FileLock, Timeout

from metseg.errors import UsageError
from metseg.recipe import PredictPart

#: Folder of the locks inside the results; safe to delete when no process works there.
LOCKS = ".locks"

Item = TypeVar("Item")


@dataclass(frozen=True)
class Shard:
    """One of ``count`` equal parts of the work, numbered from 1.

    >>> Shard.parse("2/3").select(["a", "b", "c", "d", "e"])
    ['b', 'e']
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the shard of ``i/n``.

        Raises:
            UsageError: not of that form, or i is not one of 1..n.
        """
        found = re.fullmatch(r"(\d+)/(\d+)", text.strip())
        number, count = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= number <= count:
            raise UsageError(
                "not a shard",
                where="--shard",
                expected="i/n with i from 1 to n, such as 3/16",
                got=text,
                cure="in a Slurm array: --shard $SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT with --array=1-16",
                code="usage.shard",
            )
        return cls(number, count)

    def select(self, items: Sequence[Item]) -> list[Item]:
        """Return every ``count``-th item, so that neighbours, often alike in size, are spread over the shards."""
        return list(items[self.number - 1 :: self.count])


def finished(document: Path, *, model: str, part: PredictPart) -> dict[str, Any] | None:
    """Return a case's document if it is there, whole, and says what would be predicted now; else None.

    Args:
        document: where it would lie.
        model: fingerprint of the bundle; a model without one never made it.
        part: how masks are made of probabilities.
    """
    try:
        found = json.loads(document.read_text("utf-8"))
        alike = found["bundle"] == model and found["technique"]["predict"] == part.model_dump(mode="json")
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(found) if model and alike else None


@contextmanager
def claimed(out: Path, case_id: str) -> Iterator[bool]:
    """Give whether the case is ours to work on; False while another process holds it."""
    locks = out / LOCKS
    locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(locks / f"{case_id}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()

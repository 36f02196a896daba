"""What a run's images and masks were when it began, so that it is not gone on with on others unnoticed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from metseg.errors import UsageError
from metseg.files import write_text
from metseg.io.source import CaseSource
from metseg.machine import processors
from metseg.preprocess.cache import stamp

FORMAT, VERSION = "metseg-run-data", 1
#: So many cases are named in a message.
NAMED = 3


class CaseRecord(NamedTuple):
    """The files of a case.

    Args:
        content: checksum over names and contents.
        files: name, size and times of each; where they are as they were, contents are not read again.
        read_ns: when the contents were read.
    """

    content: str
    files: list[list[Any]]
    read_ns: int


def record_data(path: Path, sources: Iterable[CaseSource]) -> None:
    """Write what the cases of a new run are.

    Raises:
        InputError: a file cannot be read.
    """
    listed = list(sources)
    _write(path, dict(zip((source.case_id for source in listed), _in_threads(listed), strict=True)))


def require_same_data(path: Path, sources: Sequence[CaseSource], *, allow_changed: bool) -> None:
    """Refuse to go on with a run whose cases are not what they were; where that is asked for, say so and note it.

    A run of an earlier version has no record; from now on it has one.

    Args:
        path: of the record.
        sources: the cases as they are now.
        allow_changed: go on all the same.
    Raises:
        UsageError: ``usage.changed_data``, cases that changed, by name.
        InputError: a file cannot be read.
    """
    before = _read(path)
    if before is None:
        record_data(path, sources)
        return
    now = {source.case_id: _as_now(source, before.get(source.case_id)) for source in sources}
    changed = sorted(case for case, record in now.items() if case in before and record.content != before[case].content)
    changed += sorted(now.keys() ^ before.keys())
    if changed:
        _refuse_or_say(path, changed, allow_changed=allow_changed)
    _write(path, now)


def _refuse_or_say(path: Path, changed: Sequence[str], *, allow_changed: bool) -> None:
    named = ", ".join(changed[:NAMED]) + (f" and {len(changed) - NAMED} more" if len(changed) > NAMED else "")
    if not allow_changed:
        raise UsageError(
            "the images or masks are not those that the run was begun with",
            where=path.parent,
            got=f"{len(changed)} other case(s): {named}",
            cure="give the data that it was begun with, choose another --out, or go on all the same with "
            "--allow-changed-data",
            code="usage.changed_data",
        )
    sys.stderr.write(f"metseg: warning: the run goes on with {len(changed)} changed case(s): {named}\n")


def _as_now(source: CaseSource, before: CaseRecord | None) -> CaseRecord:
    """Return the record of a case; its files are read only where their sizes or times changed."""
    if before is not None and stamp.settled(before.files, before.read_ns) and stamp.file_times(source) == before.files:
        return before
    return _record(source)


def _record(source: CaseSource) -> CaseRecord:
    read_ns, times = stamp.now_ns(), stamp.file_times(source)
    return CaseRecord(stamp.case_stamp(source, ""), times, read_ns)


def _in_threads(sources: Sequence[CaseSource]) -> list[CaseRecord]:
    with ThreadPoolExecutor(processors()) as pool:
        return list(pool.map(_record, sources))


def _write(path: Path, records: Mapping[str, CaseRecord]) -> None:
    cases = {case: record._asdict() for case, record in records.items()}
    write_text(path, json.dumps({"format": FORMAT, "version": VERSION, "cases": cases}))


def _read(path: Path) -> dict[str, CaseRecord] | None:
    """Return the record, or None where there is none that can be read."""
    try:
        document = json.loads(path.read_text("utf-8"))
        return {
            str(case): CaseRecord(str(record["content"]), list(record["files"]), int(record["read_ns"]))
            for case, record in document["cases"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None

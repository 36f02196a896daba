"""Record of a run's images and masks at its start, to detect changed data when the run is resumed."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from metseg.errors import UsageError
from metseg.io.case_source import CaseSource
from metseg.message_text import pluralize
from metseg.preprocess.cache.cache_key import CaseContent, read_content
from metseg.runtime.atomic_io import write_text
from metseg.runtime.system_info import processors

FORMAT, VERSION = "metseg-run-data", 1
#: Maximum number of cases named in a message.
NAMED = 3

#: Hint where the data have changed, or may have changed.
CURE = "choose another --out, or continue anyway with --allow-changed-data"


class DataRecord(NamedTuple):
    """The current cases of a run.

    Args:
        cases: by case id.
        remark: how they differ from the cases at the start of the run, one sentence; None: they are the same.
    """

    cases: Mapping[str, CaseContent]
    remark: str | None = None


def read_data(
    path: Path | None, sources: Sequence[CaseSource], *, allow_changed: bool, is_finished: bool = False
) -> DataRecord:
    """Return the current cases; raise if they have changed since the start of the run, unless that is allowed.

    Runs of earlier versions have no record, so their cases are not compared. Nothing is written.

    Args:
        path: of the run's record; None: a new run.
        sources: the current cases.
        allow_changed: continue with changed data, with a warning.
        is_finished: the run is finished: nothing is trained on the changed data.
    Raises:
        UsageError: ``usage.changed_data``, names the changed cases; ``usage.data_record``, an unreadable record.
        InputError: a file cannot be read.
    """
    remark, before = None, {}
    try:
        before = {} if path is None else _read(path)
    except UsageError as error:
        if not allow_changed:
            raise
        may_differ = "the data of the finished run" if is_finished else "the run continues with data that"
        remark = f"{may_differ} may have changed: {error.what}"
    now = _contents(sources, before)
    changed = [case for case in sorted(now.keys() & before.keys()) if now[case].content != before[case].content]
    changed += sorted(now.keys() ^ before.keys()) if before else []
    if changed:
        named = ", ".join(changed[:NAMED]) + (f" and {len(changed) - NAMED} more" if len(changed) > NAMED else "")
        if not allow_changed:
            raise UsageError(
                "images or masks have changed since the run was started",
                where=None if path is None else path.parent,
                got=f"{pluralize(len(changed), 'changed case')}: {named}",
                cure=f"restore the original data, {CURE}",
                code="usage.changed_data",
            )
        begins = "the run is finished and was not trained on" if is_finished else "the run continues with"
        remark = f"{begins} {pluralize(len(changed), 'changed case')}: {named}"
    if remark is not None:
        sys.stderr.write(f"metseg: warning: {remark}\n")
    return DataRecord(now, remark)


def write_record(path: Path, record: DataRecord) -> None:
    """Write the record of a run's cases."""
    cases = {case: content._asdict() for case, content in record.cases.items()}
    write_text(path, json.dumps({"format": FORMAT, "version": VERSION, "cases": cases}))


def _contents(sources: Sequence[CaseSource], before: Mapping[str, CaseContent]) -> dict[str, CaseContent]:
    def read(source: CaseSource) -> CaseContent:
        return read_content(source, before.get(source.case_id))

    with ThreadPoolExecutor(processors()) as pool:
        return dict(zip((source.case_id for source in sources), pool.map(read, sources), strict=True))


def _read(path: Path) -> dict[str, CaseContent]:
    """Return the record; empty where there is none.

    Raises:
        UsageError: ``usage.data_record``, damaged or of another version.
    """
    if not path.exists():
        return {}
    try:
        document: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
        if (document["format"], document["version"]) != (FORMAT, VERSION):
            raise _unreadable(path, got=f"{document['format']} {document['version']}")
        return {
            str(case): CaseContent(str(record["content"]), list(record["files"]), int(record["read_ns"]))
            for case, record in document["cases"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _unreadable(path, got=f"{type(error).__name__}: {error}") from None


def _unreadable(path: Path, *, got: str) -> UsageError:
    return UsageError(
        "cannot read the record of the run's original data",
        where=path,
        expected=f"{FORMAT} {VERSION}",
        got=got[:200],
        cure=f"restore the file from a copy, {CURE}",
        code="usage.data_record",
    )

"""``lesions.csv``: the lesions of all cases in a folder of results, from their JSON documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from filelock import FileLock
from pydantic import ValidationError

from metseg.errors import InputError
from metseg.labels import LABEL_SCHEMES
from metseg.lesion import CASE_COLUMN, COLUMNS, Lesion, lesions_csv_of_cases
from metseg.runtime.atomic_io import write_text

LESIONS_FILE: Final = "lesions.csv"

#: Begins every table of lesions of several cases.
_HEADER: Final = ",".join((CASE_COLUMN, *COLUMNS))


def write_lesions_file(out: Path, locks: Path | None = None) -> Path:
    """Write the lesions of all cases with a document in a folder, sorted by case, and return the file.

    Args:
        out: the folder of the results.
        locks: folder for a lock, where several processes write results into the same folder: the last of them to get
            the lock sees the documents of all. None: there is only this process.
    """
    if locks is None:
        return _write(out)
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{LESIONS_FILE}.lock"):
        return _write(out)


def require_own_lesions_file(out: Path) -> None:
    """Refuse to replace a file of the same name that is not such a table, such as that of `metseg evaluate`.

    Raises:
        InputError: ``input.name_clash``.
    """
    file = out / LESIONS_FILE
    if not file.is_file():
        return
    with file.open(encoding="utf-8", errors="replace") as stream:
        if stream.readline().startswith(_HEADER):
            return
    raise InputError(
        "the table of lesions would overwrite an existing file",
        where=file,
        expected="no such file, or the table of an earlier prediction",
        cure="choose another --out",
        code="input.name_clash",
    )


def _write(out: Path) -> Path:
    documents = [found for path in sorted(out.glob("*.json")) if (found := _document(path)) is not None]
    schemes = dict.fromkeys(document["technique"].get("labels") for document in documents)
    labels = dict.fromkeys(
        name for scheme in schemes if scheme in LABEL_SCHEMES for name in LABEL_SCHEMES[scheme].classes.values()
    )
    cases = {document["case"]: document["lesions"] for document in documents}
    file = out / LESIONS_FILE
    write_text(file, lesions_csv_of_cases(cases, tuple(labels)))
    return file


def _document(path: Path) -> dict[str, Any] | None:
    """Return case, technique and lesions of a document; None for a JSON file that is none."""
    try:
        found = json.loads(path.read_text("utf-8"))
        lesions = [Lesion.model_validate(lesion) for lesion in found["lesions"]]
        return {"case": str(found["case"]), "technique": dict(found.get("technique") or {}), "lesions": lesions}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError):
        return None

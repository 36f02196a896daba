"""Write the results of a follow-up: JSON document, CSV table, and the report in its formats."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from metseg.follow_up_document import follow_up_csv
from metseg.longitudinal.follow_up import FollowUp
from metseg.reporting.follow_up.follow_up_page import follow_up_page
from metseg.reporting.study.formats import write_page
from metseg.reporting.study.pdf_writer import DEFAULT_PAPER, Paper
from metseg.runtime.atomic_io import write_text

#: Ending of the names of all files.
ENDING = "-follow-up"


def write_follow_up(
    follow_up: FollowUp,
    folder: Path,
    formats: Sequence[str] = (),
    *,
    paper: Paper = DEFAULT_PAPER,
    made_on: date | None = None,
) -> list[Path]:
    """Write ``<patient>-follow-up.json`` and ``.csv``, and the report, and return the files.

    Args:
        follow_up: the patient.
        folder: created if absent.
        formats: of the report, ``pdf`` and ``html``; empty: no report.
        paper: for PDF.
        made_on: date of the report; None: today.
    Raises:
        UsageError: an unknown format, or a missing package (extra ``report``).
        ResourceError: the disk is full.
    """
    name = re.sub(r"[^\w.-]+", "_", follow_up.document.patient).strip("._") or "patient"
    stem, day = folder / f"{name}{ENDING}", made_on or date.today()
    document, table = stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}.csv")
    write_text(document, follow_up.document.model_dump_json(indent=1) + "\n")
    write_text(table, follow_up_csv(follow_up.document))
    report = write_page(lambda: follow_up_page(follow_up, day), day, stem, formats, paper=paper) if formats else []
    return [document, table, *report]

"""The rules behind the values, and the warnings."""

from __future__ import annotations

from pathlib import Path

from metseg.reporting.blocks import Block, Bullets, Paragraph, Section
from metseg.reporting.method_text import rules
from metseg.reporting.report_data import Contents

#: Maximum number of warnings shown; `summary.json` contains all.
MOST_WARNINGS = 50


def method(contents: Contents, _figures: Path) -> Section:
    """Return the rules of the protocol, the policy for empty masks, and the warnings."""
    blocks: list[Block] = [Bullets(rules(contents.manner))]
    warnings = tuple(dict.fromkeys((*contents.warnings, *_of_cases(contents))))
    if not warnings:
        blocks.append(Paragraph("Nothing unusual was noticed.", label="Warnings"))
    else:
        blocks.append(Paragraph("", label="Warnings"))
        more = len(warnings) - MOST_WARNINGS
        rest = (f"{more} more, in summary.json",) if more > 0 else ()
        blocks.append(Bullets((*warnings[:MOST_WARNINGS], *rest), tone="warning"))
    return Section("method", "Rules and warnings", tuple(blocks))


def _of_cases(contents: Contents) -> list[str]:
    """Return the warnings of every set of predictions, with the name of the set if there are several."""
    return [
        f"{one.name}: {warning}" if contents.is_comparison else warning
        for one in contents.scored
        for warning in one.summary.warnings
    ]

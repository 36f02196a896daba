"""The date, version and machine of a report, and the basis of its intervals, without names of users or paths."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from metseg.evaluation import Summary
from metseg.evaluation.statistics.confidence_intervals import LEVEL
from metseg.message_text import pluralize
from metseg.runtime.system_info import machine_facts, machine_line
from metseg.version import __version__

Fact = tuple[str, str]


def scoring_facts(summary: Summary) -> tuple[Fact, ...]:
    """Return the numbers of cases and patients, and the settings of the intervals."""
    return (
        ("Scored", f"{pluralize(summary.cases, 'case')} of {pluralize(summary.patients, 'patient')}"),
        (
            "Intervals",
            f"{LEVEL:.0%}, bootstrap over patients, {summary.resamples:,} resamples, seed {summary.seed}",
        ),
    )


def making_facts(now: datetime | None = None) -> tuple[Fact, ...]:
    """Return version, date and machine of the scoring.

    Args:
        now: the time; None: the current time.
    """
    moment = (now or datetime.now(UTC)).astimezone(UTC)
    return (
        ("Version", f"metseg {__version__}"),
        ("Date", f"{moment:%Y-%m-%d %H:%M} UTC"),
        ("Machine", machine_line(machine_facts())),
    )


def folder_name(path: Path) -> str:
    """Return the name of a folder or file without its path, which is private.

    >>> folder_name(Path("/home/somebody/study/truth")), folder_name(Path("/"))
    ('truth', '/')
    """
    return path.resolve().name or path.anchor

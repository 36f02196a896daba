"""The sections of a report, in order. Each is a function of the contents and the folder for figures.

Every section is always present, except for groups of patients and the comparison with a second reader. If the data
have nothing for a section, it states the reason, so that it does not seem forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from metseg.reporting.blocks import Section
from metseg.reporting.report_data import Contents
from metseg.reporting.sections.calibration import calibration
from metseg.reporting.sections.cases import cases
from metseg.reporting.sections.detection import detection
from metseg.reporting.sections.differences import paired_tests
from metseg.reporting.sections.distribution import distribution
from metseg.reporting.sections.froc import froc
from metseg.reporting.sections.groups import groups
from metseg.reporting.sections.method import method
from metseg.reporting.sections.readers import readers
from metseg.reporting.sections.results import results
from metseg.reporting.sections.volumes import volumes
from metseg.reporting.sections.worst_case_overlays import overlays

SectionOf = Callable[[Contents, Path], Section | None]

SECTIONS: tuple[SectionOf, ...] = (
    results,
    groups,
    paired_tests,
    distribution,
    detection,
    froc,
    volumes,
    calibration,
    readers,
    overlays,
    cases,
    method,
)

"""The parts of a report, in order: each a function of the contents and of the folder that figures are written to.

Every part is always there, but for a second reader's, whom few have. Where the data have nothing for a part, it says
why: nobody should have to wonder whether something was forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from metseg.report.blocks import Section
from metseg.report.contents import Contents
from metseg.report.sections.calibration import calibration
from metseg.report.sections.cases import cases
from metseg.report.sections.detection import detection
from metseg.report.sections.differences import paired_tests
from metseg.report.sections.distribution import distribution
from metseg.report.sections.froc import froc
from metseg.report.sections.method import method
from metseg.report.sections.overlays import overlays
from metseg.report.sections.readers import readers
from metseg.report.sections.results import results
from metseg.report.sections.volumes import volumes

SectionOf = Callable[[Contents, Path], Section | None]

SECTIONS: tuple[SectionOf, ...] = (
    results,
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

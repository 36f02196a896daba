"""Write the study report as one self-contained HTML file, without scripts and with all text escaped."""

from __future__ import annotations

import base64
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from metseg.reporting.study.page_parts import Page
from metseg.reporting.study.study_report import StudyReport
from metseg.reporting.study.study_text import study_page
from metseg.runtime.atomic_io import write_text

if TYPE_CHECKING:
    from jinja2 import Template

TEMPLATE = Path(__file__).with_name("study.html.j2")


def study_html(report: StudyReport) -> str:
    """Return the report as the text of an HTML file; the output is deterministic."""
    return page_html(study_page(report))


def page_html(page: Page) -> str:
    """Return a page as the text of an HTML file; the output is deterministic."""
    return _template().render(page=page)


def write_study_html(report: StudyReport, path: Path) -> None:
    """Write the report as an HTML file, atomically."""
    write_text(path, study_html(report))


@lru_cache(maxsize=1)
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    # Escape all text, for any template name. An undefined variable is an error and not an empty text.
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode("ascii")
    return environment.from_string(TEMPLATE.read_text("utf-8"))

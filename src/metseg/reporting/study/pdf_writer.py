"""Write the study report as a PDF: A4 or Letter, with embedded fonts and deterministic output."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any, Literal

from metseg.reporting.study.page_parts import Page
from metseg.reporting.study.pdf_parts import Flowable, closing_parts, paragraph, section_parts
from metseg.reporting.study.pdf_style import CAUTION, MUTED, RULE, fonts, printable, shortened
from metseg.reporting.study.study_report import StudyReport
from metseg.reporting.study.study_text import study_page
from metseg.runtime.atomic_io import write_bytes
from metseg.version import __version__

Paper = Literal["A4", "Letter"]

#: Columns and rows of a page in points: 210 x 297 mm, 8.5 x 11 inches.
PAPERS: Mapping[str, tuple[float, float]] = {"A4": (595.276, 841.89), "Letter": (612.0, 792.0)}

DEFAULT_PAPER: Paper = "A4"

#: Margins in points, and the padding of ReportLab's frame.
SIDE, TOP, BOTTOM = 48.0, 54.0, 50.0
INSET = 6.0
SMALL = 7.0


def study_pdf(report: StudyReport, *, paper: Paper = DEFAULT_PAPER) -> bytes:
    """Return the report as a PDF. The output is deterministic; its date is the report's.

    Args:
        report: from `metseg.reporting.study.report_builder`.
        paper: a name in `PAPERS`.
    """
    return page_pdf(study_page(report), report.made_on, paper=paper)


def page_pdf(page: Page, made_on: date, *, paper: Paper = DEFAULT_PAPER) -> bytes:
    """Return a page as a PDF. The output is deterministic.

    Args:
        page: the whole text and its pictures.
        made_on: date of the document.
        paper: a name in `PAPERS`.
    """
    # The number of pages is known only after a first layout.
    _, pages = _build(page, made_on, paper, pages=0)
    return _build(page, made_on, paper, pages=pages)[0]


def write_study_pdf(report: StudyReport, path: Path, *, paper: Paper = DEFAULT_PAPER) -> None:
    """Write the report as a PDF, atomically."""
    write_bytes(path, study_pdf(report, paper=paper))


def _build(page: Page, made_on: date, paper: Paper, *, pages: int) -> tuple[bytes, int]:
    """Return the document and its number of pages, with ``pages`` as the total on each page."""
    from reportlab.platypus import SimpleDocTemplate

    regular, _ = fonts()
    encoded = io.BytesIO()
    document = SimpleDocTemplate(
        encoded,
        pagesize=PAPERS[paper],
        leftMargin=SIDE - INSET,
        rightMargin=SIDE - INSET,
        topMargin=TOP,
        bottomMargin=BOTTOM,
        title=f"{page.title} - {printable(page.footer[0])}",
        author=f"metseg {__version__}",
        subject=page.subject,
        keywords=", ".join(page.keywords),
        creator="metseg",
        producer="metseg with ReportLab",
        invariant=1,
        lang="en-GB",
        displayDocTitle=True,
        initialFontName=regular,
    )
    document.afterFlowable = _outline(document)
    frame = _frame(page, made_on, pages)
    document.build(_story(page, document.width - 2 * INSET), onFirstPage=frame, onLaterPages=frame)
    return encoded.getvalue(), int(document.page)


def _story(page: Page, width: float) -> list[Flowable]:
    parts = [paragraph(page.title, "title"), paragraph(page.subject, "subject")]
    *sections, last, signature = page.sections  # every report ends with the signature
    for section in sections:
        parts += section_parts(section, width)
    return [*parts, *closing_parts(last, signature, width)]


def _outline(document: Any) -> Callable[[Flowable], None]:
    """Return a hook that adds each heading to the outline of the document."""

    def after(flowable: Flowable) -> None:
        title = getattr(flowable, "section_title", None)
        if title is not None:
            key = re.sub(r"\W+", "-", title).lower()
            document.canv.bookmarkPage(key)
            document.canv.addOutlineEntry(title, key)

    return after


def _frame(page: Page, made_on: date, pages: int) -> Callable[[Any, Any], None]:
    """Return a hook that draws the parts on every page."""
    regular, bold = fonts()

    def draw(canvas: Any, document: Any) -> None:
        # Without this, a deterministic document gets a date in the year 2000.
        canvas.setDateFormatter(lambda *_: f"D:{made_on:%Y%m%d}000000Z")
        width, height = document.pagesize
        canvas.saveState()
        canvas.setStrokeColor(RULE)
        canvas.setLineWidth(0.6)
        canvas.line(SIDE, height - 38, width - SIDE, height - 38)
        canvas.line(SIDE, 38, width - SIDE, 38)
        canvas.setFillColor(CAUTION)
        canvas.setFont(bold, SMALL + 1)
        canvas.drawString(SIDE, height - 33, page.banner)
        canvas.setFillColor(MUTED)
        canvas.setFont(regular, SMALL)
        canvas.drawRightString(width - SIDE, height - 33, "metseg")
        number = f"Page {canvas.getPageNumber()} of {pages}"
        canvas.drawRightString(width - SIDE, 27, number)
        room = width - 2 * SIDE - canvas.stringWidth(number, regular, SMALL) - 12
        canvas.drawString(SIDE, 27, _footer(page, canvas, room))
        canvas.restoreState()

    return draw


def _footer(page: Page, canvas: Any, room: float) -> str:
    """Return the footer in one line; if it is too long, only the study's name is shortened."""
    regular, _ = fonts()
    study, *others = page.footer
    rest = "".join(f"  |  {text}" for text in others)
    return shortened(study, regular, SMALL, room - canvas.stringWidth(rest, regular, SMALL)) + rest

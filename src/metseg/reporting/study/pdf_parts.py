"""Convert the parts of a page to ReportLab flowables."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from metseg.reporting.study.image_panels import DOTS_PER_INCH, PANEL_INCHES
from metseg.reporting.study.page_parts import Section, Table
from metseg.reporting.study.pdf_style import (
    CAUTION_PAPER,
    CAUTION_RULE,
    FAINT,
    INK,
    MUTED,
    RULE,
    fonts,
    marked_up,
    styles,
)
from metseg.reporting.study.study_report import KeyImage

#: ReportLab has no type hints.
Flowable = Any

#: Share of the width that names of facts take, and the width of a figure, in points.
FACT_SHARE, FIGURE_POINTS = 0.2, 110.0
#: Maximum number of rows of a table that is kept on one page.
SHORT_ROWS = 12
#: Room that a page must have for a section to begin on it, and the gap between sections, in points.
LEAST_ROOM, SECTION_GAP = 90.0, 10.0
#: Minimum total width of columns that fill the page; narrower tables stay narrow, so that rows are easy to read.
FULL_WIDTH = 5.0
#: Columns of a key image that fills the width: a row of four panels.
FULL_ROW_PIXELS = 4 * PANEL_INCHES * DOTS_PER_INCH
#: Space between a table's columns, in points on either side.
CELL_PADDING = 4.0


def section_parts(section: Section, width: float) -> list[Flowable]:
    """Return a section, with its heading on the same page as the part that follows.

    Args:
        section: of the report.
        width: of the text, in points.
    """
    from reportlab.platypus import CondPageBreak, Spacer

    # A table over several pages cannot be kept with its heading; it starts on a new page if there is room for few rows.
    return [CondPageBreak(LEAST_ROOM), *_kept_parts(section, width), Spacer(1, SECTION_GAP)]


def closing_parts(last: Section, signature: Section, width: float) -> list[Flowable]:
    """Return the last section and the signature, on one page where they fit one.

    Otherwise a few lines of the section could stand on a last page that is empty but for the signature.

    Args:
        last: the section before the signature.
        signature: the section with blanks.
        width: of the text, in points.
    """
    from reportlab.platypus import KeepTogether, Spacer

    parts = [*_kept_parts(last, width), Spacer(1, SECTION_GAP), *_kept_parts(signature, width)]
    return [KeepTogether(parts)]


def _kept_parts(section: Section, width: float) -> list[Flowable]:
    """Return the heading and the parts of a section, those together that stay on one page."""
    from reportlab.platypus import KeepTogether

    first, *others = _groups(section, width) or [[]]
    if section.blanks:  # keep the signature with the signed text
        kept = [[_heading(section.title, width), *first, *(part for group in others for part in group)]]
    else:
        kept = [[_heading(section.title, width), *first], *others]
    return [group[0] if len(group) == 1 else KeepTogether(group) for group in kept]


def _groups(section: Section, width: float) -> list[list[Flowable]]:
    """Return the parts of a section; each group stays on one page."""
    groups: list[list[Flowable]] = [[paragraph(section.opening, "body")]] if section.opening else []
    groups += [[_caution(text, width)] for text in section.doubts]
    groups += [[paragraph(text, "body" if place else "lead")] for place, text in enumerate(section.lead)]
    groups += [[_figures(section.figures, width)]] if section.figures else []
    groups += [[_facts(section.facts, width)]] if section.facts else []
    groups += [[_caution(text, width)] for text in section.caution]
    groups += [[paragraph(text, "body")] for text in section.paragraphs]
    groups += [group for table in section.tables for group in _table(table, width)]
    groups += [_key_image(image, width) for image in section.key_images]
    groups += [[paragraph(text, "bullet", bulletText="•")] for text in section.bullets]
    groups += [[_blanks(section.blanks, width)]] if section.blanks else []
    return groups


def paragraph(text: str, style: str, **options: Any) -> Flowable:
    """Return a text in one of `styles`; markup in it is escaped."""
    from reportlab.platypus import Paragraph

    return Paragraph(marked_up(text), styles()[style], **options)


def _heading(title: str, width: float) -> Flowable:
    from reportlab.platypus import Table as Grid

    made = Grid([[paragraph(title, "heading")]], colWidths=[width])
    made.setStyle([*_flat(), ("LINEBELOW", (0, 0), (-1, -1), 0.6, RULE), ("BOTTOMPADDING", (0, 0), (-1, -1), 1)])
    made.spaceAfter = 5
    made.section_title = title  # read by the hook that creates the outline of the document
    return made


def _figures(figures: Sequence[tuple[str, str]], width: float) -> Flowable:
    from reportlab.platypus import Table as Grid

    rows = [
        [paragraph(figure, "figure") for figure, _ in figures],
        [paragraph(what, "figure_name") for _, what in figures],
    ]
    each = min(FIGURE_POINTS, width / len(figures))
    made = Grid(rows, colWidths=[each] * len(figures), hAlign="LEFT")
    made.setStyle(_flat())
    made.spaceBefore = made.spaceAfter = 5
    return made


def _facts(facts: Sequence[tuple[str, Sequence[str]]], width: float) -> Flowable:
    from reportlab.platypus import Table as Grid

    # One row per line, because a row cannot be split across pages.
    rows = [
        [paragraph(what if place == 0 else "", "fact"), paragraph(line, "value")]
        for what, lines in facts
        for place, line in enumerate(lines)
    ]
    made = Grid(rows, colWidths=[FACT_SHARE * width, (1 - FACT_SHARE) * width])
    made.setStyle([*_flat(), ("BOTTOMPADDING", (0, 0), (-1, -1), 1.6), ("RIGHTPADDING", (0, 0), (0, -1), 8)])
    made.spaceAfter = 4
    return made


def _caution(text: str, width: float) -> Flowable:
    from reportlab.platypus import Table as Grid

    made = Grid([[paragraph(text, "caution")]], colWidths=[width])
    made.setStyle(
        [
            _embedded_font(),
            ("BACKGROUND", (0, 0), (-1, -1), CAUTION_PAPER),
            ("LINEBEFORE", (0, 0), (0, -1), 2, CAUTION_RULE),
            ("TOPPADDING", (0, 0), (-1, -1), 3),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 5),
        ]
    )
    made.spaceBefore = made.spaceAfter = 4
    return made


def _table(table: Table, width: float) -> list[list[Flowable]]:
    """Return a table; a short one stays together, a long one is split across pages with a repeated header."""
    from reportlab.platypus import LongTable, Spacer

    whole = max(sum(column.width for column in table.columns), FULL_WIDTH)
    heads = [paragraph(one.title, "head_number" if one.is_number else "head") for one in table.columns]
    rows = [
        [paragraph(text, "number" if one.is_number else "cell") for text, one in zip(row, table.columns, strict=True)]
        for row in table.rows
    ]
    total = [[paragraph(text, "total") for text in table.total]] if table.total else []
    made = LongTable(
        [heads, *rows, *total],
        colWidths=[column.width / whole * width for column in table.columns],
        repeatRows=1,
        hAlign="LEFT",
    )
    made.setStyle(_lines(len(rows), has_total=bool(total)))
    notes = [Spacer(1, 3), *(paragraph(note, "note") for note in table.notes), Spacer(1, 5)]
    caption = paragraph(table.caption, "caption")
    if len(rows) <= SHORT_ROWS:
        return [[caption, made, *notes]]
    return [[caption], [made], notes]


def _lines(rows: int, *, has_total: bool) -> list[Any]:
    lines: list[Any] = [
        _embedded_font(),
        ("VALIGN", (0, 0), (-1, 0), "BOTTOM"),
        ("VALIGN", (0, 1), (-1, -1), "TOP"),
        ("TOPPADDING", (0, 0), (-1, -1), 1.8),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 3),
        ("LEFTPADDING", (0, 0), (-1, -1), CELL_PADDING),
        ("RIGHTPADDING", (0, 0), (-1, -1), CELL_PADDING),
        ("LINEBELOW", (0, 0), (-1, 0), 0.9, MUTED),
        ("LINEBELOW", (0, 1), (-1, -1), 0.4, RULE),
        ("ROWBACKGROUNDS", (0, 1), (-1, rows), ["#ffffff", FAINT] if rows > SHORT_ROWS else ["#ffffff"]),
    ]
    return [*lines, ("LINEABOVE", (0, -1), (-1, -1), 0.9, MUTED)] if has_total else lines


def _key_image(image: KeyImage, width: float) -> list[Flowable]:
    """Return a picture with its caption above it, not larger than its intended size."""
    from reportlab.platypus import Image, Paragraph, Spacer

    columns, rows = image.size
    # A row of four panels takes the full width; fewer panels have the same size.
    shown = min(width, width * columns / FULL_ROW_PIXELS)
    text = Paragraph(f"<b>{marked_up(image.title)}</b>&nbsp; {marked_up(image.caption)}", styles()["caption"])
    picture = Image(io.BytesIO(image.png), width=shown, height=shown * rows / columns, hAlign="LEFT")
    return [text, picture, Spacer(1, 8)]


def _blanks(blanks: Sequence[str], width: float) -> Flowable:
    """Return lines for handwriting."""
    from reportlab.platypus import Table as Grid

    gap = 18.0
    each = (width - gap * (len(blanks) - 1)) / len(blanks)
    widths = [each if place % 2 == 0 else gap for place in range(2 * len(blanks) - 1)]
    cells: list[Flowable] = []
    for what in blanks:
        cells += [*([""] if cells else []), paragraph(what, "figure_name")]
    made = Grid([cells], colWidths=widths)
    lines = [("LINEABOVE", (place, 0), (place, 0), 0.6, INK) for place in range(0, len(cells), 2)]
    made.setStyle([*_flat(), *lines, ("TOPPADDING", (0, 0), (-1, -1), 2)])
    made.spaceBefore = 34
    return made


def _embedded_font() -> Any:
    """Return the style entry that sets the font of a grid; the default font is not embedded.

    The cells are paragraphs with their own fonts, but the file also names the font of the grid.
    """
    return ("FONTNAME", (0, 0), (-1, -1), fonts()[0])


def _flat() -> list[Any]:
    """Return the style of a layout grid: no lines and no padding."""
    return [
        _embedded_font(),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        *((f"{side}PADDING", (0, 0), (-1, -1), 0) for side in ("LEFT", "RIGHT", "TOP", "BOTTOM")),
    ]

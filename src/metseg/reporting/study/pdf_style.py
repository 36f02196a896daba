"""Style of the printed report: fonts, colours, paragraph styles, and text conversion."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

INK, MUTED, RULE, FAINT, ACCENT = "#1c2833", "#5a6875", "#d5dce2", "#f4f6f8", "#0f4c6b"
CAUTION, CAUTION_PAPER, CAUTION_RULE = "#8a3b0a", "#fdf4ec", "#e3b58f"

#: DejaVu Sans has Latin, Greek and Cyrillic letters and the symbols of units, and may be embedded; it comes with
#: matplotlib.
REGULAR, BOLD = "DejaVuSans", "DejaVuSans-Bold"

#: Name of a font in ReportLab, with a prefix so that fonts of other programs are not overwritten.
PREFIX = "metseg-"


@lru_cache(maxsize=1)
def fonts() -> tuple[str, str]:
    """Return the names of the regular and the bold font, registered and embedded in every document that uses them."""
    import matplotlib
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    for name in (REGULAR, BOLD):
        pdfmetrics.registerFont(TTFont(PREFIX + name, str(folder / f"{name}.ttf")))
    pdfmetrics.registerFontFamily(PREFIX + REGULAR, normal=PREFIX + REGULAR, bold=PREFIX + BOLD)
    return PREFIX + REGULAR, PREFIX + BOLD


def printable(text: str) -> str:
    """Return a text with characters that the font lacks replaced by their code, so that they do not disappear."""
    return "".join(_sign(sign) for sign in unicodedata.normalize("NFC", text))


def marked_up(text: str) -> str:
    """Return a text for a paragraph, with markup escaped."""
    return escape(printable(text))


def shortened(text: str, font: str, size: float, width: float) -> str:
    """Shorten a text to at most ``width`` points by leaving out its middle."""
    from reportlab.pdfbase.pdfmetrics import stringWidth

    text = printable(text)
    if stringWidth(text, font, size) <= width:
        return text
    kept = len(text)
    while kept > 2 and stringWidth(_without_middle(text, kept), font, size) > width:
        kept -= 1
    return _without_middle(text, kept)


def _without_middle(text: str, kept: int) -> str:
    return f"{text[: kept - kept // 2]}…{text[len(text) - kept // 2 :]}"


def _sign(sign: str) -> str:
    if sign.isspace():
        return " "
    return sign if ord(sign) in _known_signs() else f"[U+{ord(sign):04X}]"


@lru_cache(maxsize=1)
def _known_signs() -> frozenset[int]:
    from reportlab.pdfbase import pdfmetrics

    regular, bold = (pdfmetrics.getFont(name).face.charToGlyph for name in fonts())
    # The glyph of a control character is empty, so it would disappear too.
    return frozenset(code for code in regular.keys() & bold.keys() if unicodedata.category(chr(code))[0] != "C")


@lru_cache(maxsize=1)
def styles() -> dict[str, Any]:
    """Return the paragraph styles by name."""
    from reportlab.lib.enums import TA_RIGHT
    from reportlab.lib.styles import ParagraphStyle

    regular, bold = fonts()
    # The bullet has its own font, and the default one is not embedded.
    own: dict[str, Any] = {"fontName": regular, "bulletFontName": regular, "bulletFontSize": 8.6}
    body = ParagraphStyle("body", **own, fontSize=8.6, leading=12.2, textColor=INK, spaceAfter=3)
    small = {"fontSize": 7.2, "leading": 9.8, "textColor": MUTED, "spaceAfter": 2}
    cell = {"fontSize": 8, "leading": 10.4, "spaceAfter": 0}
    changes: dict[str, dict[str, Any]] = {
        "title": {"fontName": bold, "fontSize": 15, "leading": 19, "spaceAfter": 1},
        "subject": {"textColor": MUTED, "spaceAfter": 14},
        "heading": {"fontName": bold, "fontSize": 10, "leading": 13, "textColor": ACCENT, "spaceAfter": 3},
        "lead": {"fontName": bold, "fontSize": 10.5, "leading": 14.5},
        "caution": {"textColor": CAUTION, "spaceAfter": 0},
        "note": small,
        "caption": {"fontSize": 7.6, "leading": 10.4, "textColor": MUTED, "spaceAfter": 2.5},
        "fact": {"textColor": MUTED, "spaceAfter": 0},
        "value": {"spaceAfter": 0},
        "figure": {"fontSize": 15, "leading": 18, "spaceAfter": 0},
        "figure_name": {**small, "spaceAfter": 0},
        "bullet": {"leftIndent": 12, "bulletIndent": 2, "spaceAfter": 2},
        "cell": cell,
        "number": {**cell, "alignment": TA_RIGHT},
        "head": {**cell, "fontName": bold, "fontSize": 7.4, "leading": 9.4},
        "head_number": {**cell, "fontName": bold, "fontSize": 7.4, "leading": 9.4, "alignment": TA_RIGHT},
        "total": {**cell, "fontName": bold, "alignment": TA_RIGHT},
    }
    made = {name: ParagraphStyle(name, parent=body, **change) for name, change in changes.items()}
    return {"body": body, **made}

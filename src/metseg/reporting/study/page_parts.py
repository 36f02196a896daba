"""The parts of a page, shared by all formats."""

from __future__ import annotations

from dataclasses import dataclass

from metseg.reporting.study.study_report import KeyImage


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        title: with its unit.
        is_number: numbers are aligned right.
        width: relative width of the column.
        wraps: whether long texts are wrapped.
    """

    title: str
    is_number: bool = True
    width: float = 1.0
    wraps: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        caption: description, for readers who cannot see the table.
        columns: at least one.
        rows: each with a text per column.
        total: a last row with totals; empty for none.
        notes: below the table.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """A section of a page; its parts are drawn in this order.

    Args:
        title: heading.
        opening: a sentence before everything else.
        doubts: warnings about the results below.
        lead: main sentences, printed larger.
        figures: (value, label), printed large.
        caution: warnings.
        facts: (term, lines).
        paragraphs: plain text.
        tables: with their captions.
        key_images: with their captions.
        bullets: a list.
        blanks: labels of lines for handwriting.
    """

    title: str
    opening: str = ""
    doubts: tuple[str, ...] = ()
    lead: tuple[str, ...] = ()
    figures: tuple[tuple[str, str], ...] = ()
    caution: tuple[str, ...] = ()
    facts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    paragraphs: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    key_images: tuple[KeyImage, ...] = ()
    bullets: tuple[str, ...] = ()
    blanks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Page:
    """A complete report.

    Args:
        title: of the report.
        subject: the subject, one line.
        keywords: document keywords.
        banner: text on every page.
        footer: text on every page, beside the page number.
        sections: in order.
    """

    title: str
    subject: str
    keywords: tuple[str, ...]
    banner: str
    footer: tuple[str, ...]
    sections: tuple[Section, ...]

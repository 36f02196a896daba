"""A page as parts, before it is drawn: the same words for every format."""

from __future__ import annotations

from dataclasses import dataclass

from metseg.reporting.study.study_report import KeyImage


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        title: with its unit.
        is_number: numbers are aligned at their right.
        width: share of the table's width, in relation to the other columns'.
        wraps: whether its texts may be long, and are broken into lines.
    """

    title: str
    is_number: bool = True
    width: float = 1.0
    wraps: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        caption: what it is of, for readers who do not see it.
        columns: at least one.
        rows: each with a text per column.
        total: a last row that sums up the others; empty for none.
        notes: below the table.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """A part of a page, drawn in the order of these.

    Args:
        title: heading.
        doubts: sentences that put what follows in doubt, before all else.
        lead: sentences that matter most, printed larger.
        figures: (figure, what it is), printed large.
        caution: sentences that must not be overlooked.
        facts: (what, lines).
        paragraphs: plain text.
        tables: with their captions.
        key_images: with their captions.
        bullets: a list.
        blanks: lines to write on, by what belongs there.
    """

    title: str
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
    """A whole report.

    Args:
        title: of the report.
        subject: what it is about, in a line.
        keywords: for catalogues.
        banner: stands on every page.
        footer: stands on every page, beside its number.
        sections: in order.
    """

    title: str
    subject: str
    keywords: tuple[str, ...]
    banner: str
    footer: tuple[str, ...]
    sections: tuple[Section, ...]

"""What a page is made of: paragraphs, tables, figures. The same blocks become HTML and Markdown.

A new kind of block is a class here, a template ``blocks/<kind>.html``, and a line in
`metseg.reporting.markdown.WRITERS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

#: Where there is no figure to print.
NOTHING = "–"


@dataclass(frozen=True)
class Paragraph:
    """A few sentences.

    Args:
        text: plain, without markup of any kind.
        label: a word or two in bold before it; alone where there is no text.
        tone: how it looks.
    """

    kind: ClassVar[str] = "paragraph"
    text: str
    label: str = ""
    tone: Literal["plain", "warning", "verdict"] = "plain"


@dataclass(frozen=True)
class Bullets:
    """Several sentences, one under the other.

    Args:
        items: at least one, plain text.
        tone: how they look.
    """

    kind: ClassVar[str] = "bullets"
    items: tuple[str, ...]
    tone: Literal["plain", "warning"] = "plain"


@dataclass(frozen=True)
class Facts:
    """What is known, as pairs of a term and what it is."""

    kind: ClassVar[str] = "facts"
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """A table of texts; a cell without a figure is empty or `NOTHING`.

    Args:
        titles: one per column.
        rows: as many cells each.
        words: how many of the first columns hold words; the others hold figures and are set to the right.
        caption: what is in it.
        sortable: by any column, where scripts run.
        trailing_words: how many of the last columns hold words too.
        folded: only the caption is shown until it is clicked on; for details that few look at. Printed whole.
    """

    kind: ClassVar[str] = "table"
    titles: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: int = 1
    caption: str = ""
    sortable: bool = False
    trailing_words: int = 0
    folded: bool = False

    def holds_words(self, column: int) -> bool:
        """Return whether a column, from 0, holds words."""
        return column < self.words or column >= len(self.titles) - self.trailing_words


@dataclass(frozen=True)
class Figure:
    """A picture that lies in a file, which the page takes in whole.

    Args:
        path: SVG or PNG.
        caption: what is seen: axes, n, what the bars and bands are.
        alt: the same in a few words, for who does not see it.
        wide: takes the whole width of the page.
    """

    kind: ClassVar[str] = "figure"
    path: Path
    caption: str
    alt: str
    wide: bool = True


@dataclass(frozen=True)
class Gallery:
    """Small pictures side by side."""

    kind: ClassVar[str] = "gallery"
    figures: tuple[Figure, ...]


Block = Paragraph | Bullets | Facts | Table | Figure | Gallery


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Args:
        name: its anchor, a word in lower case.
        title: its heading.
        blocks: in order.
    """

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """A whole report.

    Args:
        title: what it is.
        notice: what it must not be used for; stands at its top and its end.
        summary: what stands before the first heading.
        sections: in order.
    """

    title: str
    notice: str
    summary: tuple[Block, ...]
    sections: tuple[Section, ...]

"""The blocks of a page: paragraphs, tables, figures. The same blocks are written as HTML and Markdown.

To add a kind of block, add a class here, a template ``blocks/<kind>.html``, and an entry in
`metseg.reporting.markdown.WRITERS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

#: Text of a cell without a value.
NOTHING = "–"


@dataclass(frozen=True)
class Paragraph:
    """A few sentences.

    Args:
        text: plain text without markup.
        label: one or two words in bold before the text; without text, the label alone.
        tone: the style.
    """

    kind: ClassVar[str] = "paragraph"
    text: str
    label: str = ""
    tone: Literal["plain", "warning", "verdict"] = "plain"


@dataclass(frozen=True)
class Bullets:
    """A list of sentences.

    Args:
        items: at least one, plain text.
        tone: the style.
    """

    kind: ClassVar[str] = "bullets"
    items: tuple[str, ...]
    tone: Literal["plain", "warning"] = "plain"


@dataclass(frozen=True)
class Facts:
    """Facts as pairs of a term and its value."""

    kind: ClassVar[str] = "facts"
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Table:
    """A table of texts; a cell without a value is empty or `NOTHING`.

    Args:
        titles: one per column.
        rows: as many cells each.
        words: number of leading columns with words; the others contain numbers and are aligned right.
        caption: description of the contents.
        sortable: sortable by any column, if scripts run.
        trailing_words: number of trailing columns with words.
        folded: only the caption is shown until a click, for details. Printed in full.
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
        """Return whether a column, counted from 0, contains words."""
        return column < self.words or column >= len(self.titles) - self.trailing_words


@dataclass(frozen=True)
class Figure:
    """A picture from a file, embedded in the page.

    Args:
        path: SVG or PNG.
        caption: description: axes, n, meaning of the bars and bands.
        alt: short alternative text.
        wide: uses the full width of the page.
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
    """A section of a page.

    Args:
        name: anchor, a word in lower case.
        title: its heading.
        blocks: in order.
    """

    name: str
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """A complete report.

    Args:
        title: the title.
        notice: the disclaimer, shown at the top and the end.
        summary: blocks before the first heading.
        sections: in order.
    """

    title: str
    notice: str
    summary: tuple[Block, ...]
    sections: tuple[Section, ...]

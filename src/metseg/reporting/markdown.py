"""Write blocks as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from metseg.reporting.blocks import Block, Bullets, Facts, Figure, Gallery, Paragraph, Section, Table


def markdown(blocks: Iterable[Block]) -> str:
    """Return blocks as Markdown, separated by empty lines."""
    return "\n\n".join(WRITERS[type(block)](block) for block in blocks)


def section_markdown(section: Section) -> str:
    """Return a section with its heading."""
    return f"## {section.title}\n\n{markdown(section.blocks)}"


def table_markdown(table: Table) -> str:
    """Return a table.

    >>> print(table_markdown(Table(("model", "Dice"), (("a|b", "0.5"),))))
    | model | Dice |
    | --- | --- |
    | a\\|b | 0.5 |
    """
    lines = (table.titles, ("---",) * len(table.titles), *table.rows)
    return "\n".join(f"| {' | '.join(_cell(text) for text in cells)} |" for cells in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _paragraph(block: Paragraph) -> str:
    label = f"**{block.label}**" if block.label else ""
    return ": ".join(part for part in (label, block.text) if part)


def _bullets(block: Bullets) -> str:
    return "\n".join(f"- {item}" for item in block.items)


def _facts(block: Facts) -> str:
    return "\n".join(f"- {term}: {text}" for term, text in block.items)


def _figure(block: Figure) -> str:
    return f"![{block.alt}]({block.path.name})"


def _gallery(block: Gallery) -> str:
    return "\n\n".join(map(_figure, block.figures))


WRITERS: Mapping[type[Any], Callable[[Any], str]] = {
    Paragraph: _paragraph,
    Bullets: _bullets,
    Facts: _facts,
    Table: table_markdown,
    Figure: _figure,
    Gallery: _gallery,
}

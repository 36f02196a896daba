"""Print results: as tables on a terminal, and as one line per fact into a pipe."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metseg.message_text import pluralize

#: Names listed one by one; the rest are counted.
SHOWN = 6


@dataclass(frozen=True)
class Cells:
    """A table with a heading above each column."""

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Shown:
    """The output of a command.

    Args:
        document: all results, for ``--json``.
        lines: pairs of fact and value, for terminal and pipe.
        cells: a table printed before the facts.
    """

    document: Mapping[str, Any]
    lines: Sequence[tuple[str, str]]
    cells: Cells | None = None

    def print(self, more: Sequence[tuple[str, str]] = ()) -> None:
        """Print tables on a terminal; into a pipe, print each row and fact on one unwrapped line."""
        lines = [*self.lines, *more]
        if sys.stdout.isatty():
            self._print_tables(lines)
            return
        if self.cells is not None:
            for row in self.cells.rows:
                pairs = zip(self.cells.headings, row, strict=True)
                print(", ".join(f"{heading} {value}" for heading, value in pairs if value))
        print("\n".join(f"{name}: {value}" for name, value in lines))

    def _print_tables(self, lines: Sequence[tuple[str, str]]) -> None:
        from rich.console import Console
        from rich.table import Table

        console = Console(highlight=False, markup=False)
        if self.cells is not None:
            cells = Table(*self.cells.headings, box=None, padding=(0, 2, 0, 0))
            for row in self.cells.rows:
                cells.add_row(*row)
            console.print(cells)
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in lines:
            table.add_row(name, value)
        console.print(table)


def counts(values: Mapping[Any, int]) -> str:
    """Return each value with how often it occurs.

    >>> counts({"int16": 4, "float32": 1})
    'int16 (4), float32 (1)'
    """
    return ", ".join(f"{value} ({count})" for value, count in values.items())


def names(names: Sequence[str], thing: str, things: str | None = None) -> str:
    """Return a count and the first names; an empty string if there are none.

    >>> names(["a"], "study", "studies"), names("abcdefgh", "mask"), names([], "mask")
    ('1 study: a', '8 masks: a, b, c, d, e, f and 2 more', '')
    """
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{pluralize(len(names), thing, things)}: {', '.join(names[:SHOWN])}{more}"

"""Print results: as tables on a terminal, and as one line per fact into a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from metseg.message_text import pluralize

if TYPE_CHECKING:
    from rich.table import Table

#: Names listed one by one; the rest are counted.
SHOWN = 6

#: Characters within which the natural width of a table is measured.
UNLIMITED = 10_000

Column = TypeVar("Column")


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
            print_cells(self.cells)
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, value in lines:
            table.add_row(name, value)
        console.print(table)


def print_cells(cells: Cells) -> None:
    """Print a table for a terminal; long cells are wrapped."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*cells.headings, box=None, padding=(0, 2, 0, 0))
    for row in cells.rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)


def print_in_parts(columns: Sequence[Column], table_of: Callable[[Sequence[Column]], Table]) -> None:
    """Print a table, divided by columns if it does not fit the width of the output with whole cells.

    Args:
        columns: what the columns after the first show.
        table_of: returns the table of some of them.
    """
    from rich.console import Console

    console = Console(highlight=False)
    unlimited = console.options.update(width=UNLIMITED)
    for size in range(len(columns), 0, -1):
        parts = [table_of(columns[first : first + size]) for first in range(0, len(columns), size)]
        # A single column that is still too wide is wrapped.
        if size == 1 or max(console.measure(part, options=unlimited).maximum for part in parts) <= console.width:
            for part in parts:
                console.print(part)
            return


def print_transposed(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows as columns: their first cells are headings, and the titles of the other cells stand on the left."""
    from rich.table import Table
    from rich.text import Text

    def table_of(shown: Sequence[Sequence[str]]) -> Table:
        table = Table(titles[0])
        for row in shown:
            table.add_column(Text(row[0]))
        for place, title in enumerate(titles[1:], start=1):
            table.add_row(title, *(Text(row[place]) for row in shown))
        return table

    print_in_parts(rows, table_of)


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

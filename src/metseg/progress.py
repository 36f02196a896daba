"""Show the progress of long tasks: a bar with rate and time left on a terminal, plain lines when piped.

Progress goes to stderr, so stdout contains only the JSON document or the table.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

Item = TypeVar("Item")

#: Callback for the completed share of the work, 0 to 1.
OnShare = Callable[[float], None]

#: Seconds between two plain lines without a terminal.
PLAIN_INTERVAL_S = 10.0


def no_progress(_share: float) -> None:
    """Report no progress: the default of every `OnShare`."""


def track(items: Iterable[Item], what: str, *, total: int | None = None, quiet: bool = False) -> Iterator[Item]:
    """Yield the items one by one and show the progress.

    Args:
        items: the items to process.
        what: the activity, such as "Preprocessing".
        total: number of items, if ``items`` has no length.
        quiet: show nothing.
    """
    count = total if total is not None else (len(items) if isinstance(items, Sized) else None)
    if quiet:
        yield from items
    elif sys.stderr.isatty():
        yield from _on_terminal(items, what, count)
    else:
        yield from _in_lines(items, what, count)


def _on_terminal(items: Iterable[Item], what: str, count: int | None) -> Iterator[Item]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        """Column of the rate; empty until the first item is done."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else rate_text(speed))

    left = () if count is None else (TextColumn("left"), TimeRemainingColumn())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeElapsedColumn(), *left)
    with Progress(*columns, console=Console(stderr=True), transient=False) as progress:
        task = progress.add_task(what, total=count)
        for item in items:
            yield item
            progress.advance(task)


def _in_lines(items: Iterable[Item], what: str, count: int | None) -> Iterator[Item]:
    begin = last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= PLAIN_INTERVAL_S:
            last = now
            print(progress_line(what, done, count, now - begin), file=sys.stderr, flush=True)


def progress_line(what: str, done: int, count: int | None, elapsed_s: float) -> str:
    """Return a plain line with the progress.

    >>> progress_line("Reading", 50, 200, 10.0)
    'Reading: 50/200, 5.0/s, 30 s left'
    """
    rate = done / elapsed_s if elapsed_s > 0 else 0.0
    if count is None or rate == 0:
        return f"{what}: {done}, {rate_text(rate)}"
    return f"{what}: {done}/{count}, {rate_text(rate)}, {(count - done) / rate:.0f} s left"


def rate_text(rate: float) -> str:
    """Return a number of items per second as a text; below one per second, the seconds of one item.

    >>> rate_text(5.0), rate_text(0.02)
    ('5.0/s', '50.0 s each')
    """
    return f"{rate:.1f}/s" if rate >= 1 or rate == 0 else f"{1 / rate:.1f} s each"

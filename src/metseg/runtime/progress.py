"""Show the progress of long tasks: a bar with rate and time left on a terminal, plain lines when piped.

Progress goes to stderr, so stdout contains only the JSON document or the table.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

Item = TypeVar("Item")

#: Callback for the completed share of the work, 0 to 1.
OnShare = Callable[[float], None]

#: From a description of an activity to a context that shows its progress.
ShowShare = Callable[[str], AbstractContextManager[OnShare]]

#: Seconds between two plain lines without a terminal.
PLAIN_INTERVAL_S = 10.0

#: Seconds over which a terminal's rates are averaged: a window of a large network takes many seconds.
RATE_PERIOD_S = 600.0

#: The display on the terminal, which the parts of an item share with the items; empty: nothing is shown.
_on_display: list[Progress] = []


def no_progress(_share: float) -> None:
    """Report no progress: the default of every `OnShare`."""


def show_no_share(_what: str) -> AbstractContextManager[OnShare]:
    """Show nothing: the default of every `ShowShare`."""
    return nullcontext(no_progress)


@contextmanager
def share_bar(what: str) -> Iterator[OnShare]:
    """Give a function that takes the completed share of one activity, and show a bar with the time left on a terminal.

    The bar appears with the first share and disappears at the end. Below the bar of `track`, it shows the progress
    within one item. Without a terminal nothing is shown: the lines of `track` are enough there.

    Args:
        what: the activity, such as "Windows".
    """
    if not sys.stderr.isatty():
        yield no_progress
        return
    with _display() as progress:
        task = progress.add_task(what, total=1.0, visible=False, is_share=True)
        try:
            yield lambda share: progress.update(task, completed=share, visible=True)
        finally:
            progress.remove_task(task)


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
    is_nested = bool(_on_display)
    with _display() as progress:
        task = progress.add_task(what, total=count, is_share=False)
        for item in items:
            yield item
            progress.advance(task)
        if is_nested:  # otherwise each item above would leave a line
            progress.remove_task(task)


@contextmanager
def _display() -> Iterator[Progress]:
    """Give the display that is on the terminal, or a new one until the end of the context."""
    if _on_display:
        yield _on_display[-1]
        return
    with _new_display() as progress:
        _on_display.append(progress)
        try:
            yield progress
        finally:
            _on_display.pop()


def _new_display() -> Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Done(ProgressColumn):
        """Column of completed and all items, or of the completed share."""

        def render(self, task: Task) -> Text:
            if task.fields["is_share"]:
                return Text(f"{task.completed:.0%}")
            return Text(f"{task.completed:.0f}/{'?' if task.total is None else f'{task.total:.0f}'}")

    class Rate(ProgressColumn):
        """Column of the rate; empty for a share, and until the first item is done."""

        def render(self, task: Task) -> Text:
            speed = None if task.fields["is_share"] else task.finished_speed or task.speed
            return Text("" if speed is None else rate_text(speed))

    class Left(TimeRemainingColumn):
        """Column of the time left; empty where the number of items is not known."""

        def render(self, task: Task) -> Text:
            return Text("") if task.total is None else Text.assemble("left ", super().render(task))

    columns = (TextColumn("{task.description}"), BarColumn(), Done(), Rate(), TimeElapsedColumn(), Left())
    return Progress(*columns, console=Console(stderr=True), speed_estimate_period=RATE_PERIOD_S)


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

"""One style for every figure: quiet, readable when small, safe for colour-blind readers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from cycler import cycler
from matplotlib.figure import Figure

from metseg.plot.colours import LINE_COLOURS, hexadecimal

#: Lines one after another.
COLOURS = tuple(map(hexadecimal, LINE_COLOURS))

_STYLE: dict[Any, Any] = {
    "axes.prop_cycle": cycler(color=COLOURS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.8,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 150,
}


@contextmanager
def figure(*, width: float, height: float) -> Iterator[Figure]:
    """Give an empty figure in the common style.

    It is made without pyplot, whose backend belongs to the user: in a notebook their own figures still show.

    Args:
        width: inches.
        height: inches.
    """
    with matplotlib.rc_context(_STYLE):
        yield Figure(figsize=(width, height))


def save(drawn: Figure, path: Path) -> None:
    """Write a figure whole or not at all; the ending of the path chooses the format."""
    from metseg.files import atomic_file

    with atomic_file(path) as temporary:
        drawn.savefig(temporary, format=path.suffix.removeprefix("."))

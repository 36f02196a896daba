"""The style of all figures: plain, readable at small sizes, safe for colour-blind readers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from cycler import cycler
from matplotlib.figure import Figure

from metseg.errors import UsageError
from metseg.picture_style import LINE_COLOURS, hexadecimal

#: Colours of successive lines.
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
    # Text stays text, so that it can be searched and edited, as journals require.
    "svg.fonttype": "none",
    # Deterministic files: ids are not random, and no date is written.
    "svg.hashsalt": "metseg",
}

#: Minus sign as on the axes.
MINUS = "\N{MINUS SIGN}"

#: Dots per inch of the PNG written together with an SVG.
PRINT_DPI = 300


class Style(NamedTuple):
    """Style of one of several series; marker and dashes distinguish it without colours."""

    colour: str
    marker: str
    dashes: Any


_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.4)), (0, (6, 2, 1.2, 2)))


def style(place: int) -> Style:
    """Return the style of a series by its index, from 0, for every figure.

    >>> style(0)
    Style(colour='#0072B2', marker='o', dashes='-')
    """
    return Style(COLOURS[place % len(COLOURS)], _MARKERS[place % len(_MARKERS)], _DASHES[place % len(_DASHES)])


@contextmanager
def figure(*, width: float, height: float) -> Iterator[Figure]:
    """Create an empty figure in the common style.

    It is created without pyplot, so that the user's backend is not changed and notebooks still show their own figures.

    Args:
        width: inches.
        height: inches.
    """
    with matplotlib.rc_context(_STYLE):
        yield Figure(figsize=(width, height))


def save(drawn: Figure, path: Path) -> None:
    """Write a figure atomically; the suffix of the path sets the format.

    Raises:
        UsageError: ``usage.path``, no format for figures.
    """
    from metseg.runtime.atomic_io import atomic_file

    kind = path.suffix.removeprefix(".")
    if kind.lower() not in drawn.canvas.get_supported_filetypes():
        raise UsageError(
            "figures are not written in this format",
            where=path,
            got=path.suffix or "a name without an ending",
            cure="give a name that ends in .png or .svg",
            code="usage.path",
        )
    with atomic_file(path) as temporary:
        drawn.savefig(temporary, format=kind, metadata={"Date": None} if kind == "svg" else None)


def save_for_print(drawn: Figure, path: Path) -> None:
    """Write a figure twice: as SVG, and as PNG of `PRINT_DPI`.

    Args:
        drawn: from `figure`.
        path: without a suffix, or with one of the two, which is ignored.
    """
    with matplotlib.rc_context({"savefig.dpi": PRINT_DPI}):
        for ending in (".svg", ".png"):
            save(drawn, path.with_name(plain_name(path.name) + ending))


def plain_name(name: str) -> str:
    """Return a figure's file name without the suffix of a picture; other dots are kept.

    >>> plain_name("nsd_1.0"), plain_name("froc.png")
    ('nsd_1.0', 'froc')
    """
    return next((name.removesuffix(ending) for ending in (".svg", ".png") if name.endswith(ending)), name)

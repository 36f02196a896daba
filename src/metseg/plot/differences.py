"""Forest plot of the paired differences between models with their intervals."""

from __future__ import annotations

from collections.abc import Container, Mapping
from pathlib import Path

from metseg.plot.error_bars import ErrorBounds, error_bars
from metseg.plot.style import figure, save_for_print

#: Height of a row in inches, and of the space above and below the rows.
ROW_INCHES, FRAME_INCHES = 0.38, 1.0

LINE_COLOUR = "#404040"


def draw_differences(rows: Mapping[str, ErrorBounds], path: Path, *, shown: Container[str], label: str) -> None:
    """Write one row per pair: the mean difference and its interval beside the line of no difference.

    A filled marker is a significant difference; an open one is not.

    Args:
        rows: name of the pair, as "A - B", to the difference A minus B; the first is drawn on top.
        path: of the PNG and the SVG.
        shown: names of the pairs with a better model.
        label: name of the metric, with its unit.
    """
    with figure(width=6.8, height=FRAME_INCHES + ROW_INCHES * len(rows)) as drawn:
        axes = drawn.add_subplot()
        axes.axvline(0, color=LINE_COLOUR, linewidth=1, linestyle="--")
        for row, (name, bounds) in enumerate(rows.items()):
            axes.errorbar(
                [bounds.value],
                [row],
                xerr=error_bars([bounds]),
                color="C0",
                marker="o",
                markersize=7,
                markerfacecolor="C0" if name in shown else "white",
                capsize=3,
                linestyle="none",
            )
        axes.set_yticks(range(len(rows)), list(rows))
        axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel=label)
        axes.grid(visible=False, axis="y")
        save_for_print(drawn, path)

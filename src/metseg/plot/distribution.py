"""Distribution of a metric over patients, by model: every patient a point, quartiles as a box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from metseg.plot.style import figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Height of a model's row in inches, and of the space above and below the rows.
ROW_INCHES, FRAME_INCHES = 0.62, 1.0
#: Thickness of the points and of the box, in rows.
CLOUD, BOX = 0.5, 0.6


def draw_distribution(figures: Mapping[str, Sequence[float]], path: Path, *, label: str) -> None:
    """Write one row per model: a point per patient, a box from the 1st to the 3rd quartile, the mean as a diamond.

    The whiskers reach the last patient within 1.5 box lengths (Tukey 1977). Every patient is drawn.

    Args:
        figures: model to one value per patient, each between 0 and 1; the first model is drawn on top. Colours are the
            same as in the training curves.
        path: PNG or SVG.
        label: name of the metric, under the axis.
    """
    with figure(width=8, height=FRAME_INCHES + ROW_INCHES * len(figures)) as drawn:
        axes = drawn.add_subplot()
        draw_rows(axes, figures)
        axes.set(xlim=(-0.02, 1.02), xlabel=f"{label} (diamond: mean)")
        save(drawn, path)


def draw_rows(axes: Axes, figures: Mapping[str, Sequence[float]]) -> None:
    """Draw the rows of `draw_distribution` into axes of any range; a row without values stays empty."""
    for row, values in enumerate(figures.values()):
        if not len(values):
            continue
        colour = f"C{row}"
        quiet = {"color": colour, "linewidth": 1.0}
        axes.boxplot(
            [list(values)],
            orientation="horizontal",
            positions=[row],
            widths=BOX,
            showfliers=False,
            boxprops=quiet,
            whiskerprops=quiet,
            capprops=quiet,
            medianprops={"color": colour, "linewidth": 2.2},
        )
        axes.scatter(values, row + _spread(len(values)), s=16, color=colour, alpha=0.55, linewidths=0, zorder=3)
        axes.scatter([float(np.mean(values))], [row], marker="D", s=34, color="white", edgecolors=colour, zorder=4)
    axes.set_yticks(range(len(figures)), [f"{name} ({len(values)})" for name, values in figures.items()])
    axes.set_ylim(len(figures) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")


def _spread(count: int) -> npt.NDArray[np.float64]:
    """Return the offset of each point from its row, so that equal values do not hide one another.

    Offsets are multiples of the golden ratio, modulo one: neighbours are far apart, and the drawing is deterministic.
    """
    return np.asarray(CLOUD * ((np.arange(count) * 0.6180339887) % 1.0 - 0.5), dtype=np.float64)

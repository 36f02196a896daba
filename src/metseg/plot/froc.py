"""Free-response (FROC) curves: sensitivity against false positives per patient (Bunch et al. 1978)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from metseg.plot.error_bars import ErrorBounds, error_bars
from metseg.plot.style import Style, figure, save_for_print, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Upper limit of the axis: higher rates of false positives are of no practical use.
MOST_FALSE = 10.0


@dataclass(frozen=True)
class FrocCurve:
    """Curve of one model, one entry per threshold, in the order of the line.

    Args:
        false_positives: per patient.
        sensitivity: as many, each with its interval.
        chosen: false positives per patient and sensitivity at the operating point, or None.
    """

    false_positives: Sequence[float]
    sensitivity: Sequence[ErrorBounds]
    chosen: tuple[float, float] | None = None


def draw_froc(models: Mapping[str, FrocCurve], path: Path) -> None:
    """Write sensitivity against false positives per patient, a marker with its interval for each threshold.

    The large marker is the operating point. A model with masks only is a single point.

    Args:
        models: model to curve.
        path: of the PNG and the SVG.
    """
    with figure(width=6.4, height=4.2 + 0.18 * len(models)) as drawn:
        axes = drawn.add_subplot()
        for row, (name, curve) in enumerate(models.items()):
            _draw_curve(axes, curve, style(row), name)
        rates = [rate for curve in models.values() for rate in curve.false_positives]
        reach = min(MOST_FALSE, max([1.0, *rates]))
        axes.set(xlim=(-0.02 * reach, 1.02 * reach), ylim=(-0.03, 1.03))
        axes.set(xlabel="false positives per patient", ylabel="sensitivity")
        drawn.legend(loc="outside lower center", ncols=min(3, max(len(models), 1)))
        save_for_print(drawn, path)


def _draw_curve(axes: Axes, curve: FrocCurve, drawn_as: Style, name: str) -> None:
    several = len(curve.false_positives) > 1
    axes.errorbar(
        list(curve.false_positives),
        [share.value for share in curve.sensitivity],
        yerr=error_bars(curve.sensitivity),
        color=drawn_as.colour,
        linestyle=drawn_as.dashes if several else "none",
        marker=drawn_as.marker,
        markersize=3.5 if several else 8,
        elinewidth=0.7,
        linewidth=1.6,
        label=name,
    )
    if curve.chosen is not None:
        axes.plot(*curve.chosen, color=drawn_as.colour, marker=drawn_as.marker, markersize=10, zorder=4)

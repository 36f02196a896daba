"""Reliability diagrams: the observed share of lesion against the predicted probability (DeGroot & Fienberg 1983)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metseg.plot.error_bars import ErrorBounds, error_bars
from metseg.plot.style import figure, save_for_print, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Of the two panels, one above the other.
HEIGHTS = (3, 1)

#: Counts with a smaller spread than this are written as plain numbers, not as powers of ten.
FEW_DECADES = 200.0


@dataclass(frozen=True)
class Reliability:
    """Curve of one model; empty bins are left out.

    Args:
        predicted: mean probability of each bin.
        observed: share that was correct in each bin, with its interval.
        counts: number of voxels or lesions in each bin.
        error: expected calibration error, or None.
    """

    predicted: Sequence[float]
    observed: Sequence[ErrorBounds]
    counts: Sequence[float]
    error: float | None = None


@dataclass(frozen=True)
class Axis:
    """Labels of the axes: ``predicted`` for x, ``observed`` for y, and the name of the counted entries."""

    predicted: str
    observed: str
    counted: str


VOXELS = Axis("predicted probability", "observed share of lesion", "voxels")
LESIONS = Axis("confidence of a predicted lesion", "share that are lesions", "lesions")


def draw_reliability(models: Mapping[str, Reliability], path: Path, *, axis: Axis = VOXELS) -> None:
    """Write the reliability curve of every model, and below it how many entries each bin holds.

    On the dotted diagonal probabilities are exactly right; below it they are too high.

    Args:
        models: model to curve.
        path: of the PNG and the SVG.
        axis: the words on the axes.
    """
    with figure(width=5.6, height=5.2 + 0.18 * len(models)) as drawn:
        curves, counts = drawn.subplots(2, 1, sharex=True, height_ratios=HEIGHTS)
        curves.plot([0, 1], [0, 1], color="#707070", linewidth=1, linestyle=":")
        for row, (name, one) in enumerate(models.items()):
            drawn_as = style(row)
            error = "" if one.error is None else f" (ECE {one.error:.3f})"
            curves.errorbar(
                one.predicted,
                [share.value for share in one.observed],
                yerr=error_bars(one.observed),
                color=drawn_as.colour,
                marker=drawn_as.marker,
                linestyle=drawn_as.dashes,
                markersize=5,
                capsize=2,
                label=f"{name}{error}",
            )
            counts.plot(
                one.predicted,
                np.asarray(one.counts, float),
                color=drawn_as.colour,
                marker=drawn_as.marker,
                linestyle=drawn_as.dashes,
                markersize=4,
                drawstyle="steps-mid",
            )
        curves.set(xlim=(-0.02, 1.02), ylim=(-0.03, 1.03), ylabel=axis.observed)
        counts.set(xlabel=axis.predicted, ylabel=axis.counted)
        if any(count > 0 for one in models.values() for count in one.counts):
            counts.set_yscale("log")
            _few_ticks(counts)
        drawn.legend(loc="outside lower center", ncols=1)
        save_for_print(drawn, path)


def _few_ticks(axes: Axes) -> None:
    """Write counts of less than two decades as plain numbers, without the crowd of names between them."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    low, high = axes.get_ylim()
    if high / low < FEW_DECADES:
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())

"""Bland-Altman plots (1986) of lesion volumes: agreement of two measurements, by size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metseg.plot.error_bars import ErrorBounds
from metseg.plot.style import MINUS, figure, save_for_print, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Panels side by side, and inches of one.
ACROSS, PANEL_WIDTH, PANEL_HEIGHT = 2, 4.2, 3.4

#: Volumes spread wider than this times their median are shown on a logarithmic axis, linear below `LINEAR_ML`.
WIDE, LINEAR_ML = 8.0, 0.1

#: End of a logarithmic axis, as a factor of the largest volume.
BEYOND = 1.5

#: Dark grey of the summary lines, and their dash styles.
LINE_COLOUR, BAND = "#404040", 0.12


@dataclass(frozen=True)
class Agreement:
    """Predicted against true volumes of the patients.

    Args:
        truth_ml: (N,) true volumes.
        predicted_ml: (N,) predicted volumes.
        bias_ml: mean of predicted minus true.
        lower_ml: lower limit of agreement, bias - 1.96 standard deviations; None with a single case.
        upper_ml: upper limit, bias + 1.96 standard deviations; None with a single case.
        series: index of the series, from 0; each series has the same style in every panel and figure.
    """

    truth_ml: Sequence[float]
    predicted_ml: Sequence[float]
    bias_ml: ErrorBounds
    lower_ml: ErrorBounds | None = None
    upper_ml: ErrorBounds | None = None
    series: int = 0


def draw_bland_altman(panels: Mapping[str, Agreement], path: Path) -> None:
    """Write one panel per entry: the difference against the mean, with bias and limits of agreement.

    Args:
        panels: title to volumes; at least one.
        path: of the PNG and the SVG.
    """
    down = math.ceil(len(panels) / ACROSS)
    across = min(ACROSS, len(panels))
    with figure(width=PANEL_WIDTH * across + 0.6, height=PANEL_HEIGHT * down) as drawn:
        places = drawn.subplots(down, across, squeeze=False).ravel()
        for axes, (title, agreement) in zip(places, panels.items(), strict=False):
            _draw_panel(axes, agreement)
            axes.set_title(f"{title} (n = {len(agreement.truth_ml)})", loc="left")
        for axes in places[len(panels) :]:
            axes.set_visible(False)
        save_for_print(drawn, path)


def _draw_panel(axes: Axes, agreement: Agreement) -> None:
    truth, predicted = np.asarray(agreement.truth_ml, float), np.asarray(agreement.predicted_ml, float)
    mean, difference = (truth + predicted) / 2, predicted - truth
    drawn_as = style(agreement.series)
    axes.scatter(mean, difference, s=22, color=drawn_as.colour, marker=drawn_as.marker, alpha=0.7, linewidths=0)
    axes.axhline(0, color=LINE_COLOUR, linewidth=0.6)
    limits = (
        ("+1.96 SD", agreement.upper_ml, "--"),
        ("bias", agreement.bias_ml, "-"),
        (f"{MINUS}1.96 SD", agreement.lower_ml, "--"),
    )
    for name, line, dashes in limits:
        # If all differences are the same, the limits coincide with the line of the bias.
        if line is not None and (name == "bias" or line.value != agreement.bias_ml.value):
            _draw_line(axes, line, dashes, name)
    positive = mean[mean > 0]
    if positive.size and positive.max() > WIDE * np.median(positive):
        axes.set_xscale("symlog", linthresh=LINEAR_ML)
        axes.set_xlim(0, BEYOND * positive.max())  # a margin in mL would be invisible on this axis
    axes.set_xlim(left=0)
    axes.set(xlabel="mean of true and predicted volume (mL)", ylabel=f"predicted {MINUS} true (mL)")


def _draw_line(axes: Axes, line: ErrorBounds, dashes: str, name: str) -> None:
    """Draw a level and its interval, and write its value at the right end, outside the points."""
    axes.axhline(line.value, color=LINE_COLOUR, linewidth=1.2, linestyle=dashes)
    if line.low is not None and line.high is not None:
        axes.axhspan(line.low, line.high, color=LINE_COLOUR, alpha=BAND, linewidth=0, zorder=0)
    beside = axes.get_yaxis_transform()  # x in shares of the axes, y in mL
    value = f"{line.value:+.2g}".replace("-", MINUS)
    axes.text(1.01, line.value, f"{name}\n{value}", transform=beside, fontsize=8, va="center", ha="left")

"""Pictures side by side, with truth and prediction outlined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from metseg.picture_style import PREDICTION_COLOUR, TRUTH_COLOUR, hexadecimal
from metseg.plot.images.contour import draw_contour
from metseg.plot.images.overlay import grey
from metseg.plot.style import figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Mask = npt.NDArray[np.bool_]

PANEL_INCHES, HEADING_INCHES, LEGEND_INCHES = 3.0, 0.55, 0.35

#: The truth is drawn first and thicker, so that it still shows where the prediction follows it exactly.
TRUTH_WIDTH, PREDICTION_WIDTH = 2.8, 1.2


@dataclass(frozen=True)
class Panel:
    """One picture with two masks.

    Args:
        picture: (X, Y) of any range.
        truth: (X, Y) bool.
        prediction: (X, Y) bool.
        title: one line or two.
        aspect: ratio of the pixel size along Y to that along X.
    """

    picture: npt.NDArray[np.generic]
    truth: Mask
    prediction: Mask
    title: str
    aspect: float = 1.0


def draw_outlines(panels: Sequence[Panel], path: Path) -> None:
    """Write panels side by side with the outlines of truth and prediction, and a legend below.

    Args:
        panels: at least one.
        path: PNG or SVG.
    """
    from matplotlib.lines import Line2D

    height = PANEL_INCHES + HEADING_INCHES + LEGEND_INCHES
    with figure(width=PANEL_INCHES * max(len(panels), 2), height=height) as drawn:
        places = drawn.subplots(1, len(panels), squeeze=False)[0]
        for axes, panel in zip(places, panels, strict=True):
            _draw_panel(axes, panel)
            axes.set_title(panel.title, fontsize=10)
        drawn.legend(
            [
                Line2D([], [], color=hexadecimal(TRUTH_COLOUR), linewidth=TRUTH_WIDTH),
                Line2D([], [], color=hexadecimal(PREDICTION_COLOUR), linewidth=PREDICTION_WIDTH),
            ],
            ["truth", "prediction"],
            loc="outside lower center",
            ncols=2,
        )
        save(drawn, path)


def draw_outline_picture(panel: Panel, path: Path) -> None:
    """Write one panel without margin, title and legend, for pages that have both as text.

    Args:
        panel: the picture.
        path: PNG or SVG.
    """
    columns, rows = panel.picture.shape[0], panel.picture.shape[1] * panel.aspect
    inches = PANEL_INCHES / max(columns, rows)
    with figure(width=columns * inches, height=rows * inches) as drawn:
        drawn.set_layout_engine("none")
        _draw_panel(drawn.add_axes((0.0, 0.0, 1.0, 1.0)), panel)
        save(drawn, path)


def _draw_panel(axes: Axes, panel: Panel) -> None:
    axes.imshow(grey(panel.picture).transpose(1, 0, 2), interpolation="bilinear", aspect=panel.aspect)
    draw_contour(axes, panel.truth.T, colour=TRUTH_COLOUR, width=TRUTH_WIDTH)
    draw_contour(axes, panel.prediction.T, colour=PREDICTION_COLOUR, width=PREDICTION_WIDTH)
    axes.set_axis_off()

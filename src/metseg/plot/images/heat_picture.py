"""A picture beside the same picture under a heat map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from metseg.picture_style import Styles
from metseg.plot.images.annotations import TEXT, TITLE_POINTS, draw_head, draw_heat_bar, draw_legend
from metseg.plot.images.overlay import draw_heat, draw_labels, grey
from metseg.plot.style import figure, save

PANEL_INCHES, BAR_INCHES, MARGIN_INCHES = 3.4, 0.9, 0.9


def draw_heat_picture(
    picture: npt.NDArray[np.generic],
    labels: npt.NDArray[np.uint8],
    heat: npt.NDArray[np.floating],
    path: Path,
    *,
    name: str,
    styles: Styles,
    title: str,
) -> None:
    """Write two panels: the picture with its lesions, and the heat map over it with the lesions outlined.

    Args:
        picture: (X, Y) of any range.
        labels: (X, Y) class ids.
        heat: (X, Y) from 0 to 1.
        path: PNG or SVG.
        name: of the picture.
        styles: of the classes, from `metseg.class_styles`.
        title: of the colour bar.
    """
    plain = grey(picture)
    panels = {
        "prediction": draw_labels(plain, labels, styles),
        "map, lesions outlined": draw_labels(draw_heat(plain, heat), labels, styles, opacity=0.0),
    }
    height = PANEL_INCHES * picture.shape[1] / picture.shape[0] + MARGIN_INCHES
    with figure(width=2 * PANEL_INCHES + BAR_INCHES, height=height) as drawn:
        draw_head(drawn, name)
        row = drawn.subplots(1, 2)
        for axes, (words, image) in zip(row, panels.items(), strict=True):
            axes.imshow(image.transpose(1, 0, 2), interpolation="nearest")
            axes.set_axis_off()
            axes.set_title(words, fontsize=TITLE_POINTS, color=TEXT, weight="normal")
        draw_heat_bar(drawn, row, title)
        draw_legend(drawn, [styles[value] for value in map(int, np.unique(labels)) if value in styles])
        save(drawn, path)

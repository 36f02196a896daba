"""Distribution of a metric over patients, by region and model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from metseg.plot.distribution import FRAME_INCHES, ROW_INCHES, draw_rows
from metseg.plot.style import figure, save_for_print

#: Space above and below the rows of every panel except the last, which has the axis label.
PANEL_INCHES = 0.45

#: Shares are shown from 0 to 1, with room for the points at both ends.
SHARE = (-0.02, 1.02)


def draw_distribution_by_region(
    regions: Mapping[str, Mapping[str, Sequence[float]]], path: Path, *, label: str, is_share: bool
) -> None:
    """Write one panel per region, one row per model in each: every patient a point, quartiles, mean.

    Args:
        regions: region to model to one value per patient.
        path: of the PNG and the SVG.
        label: name of the metric, with its unit.
        is_share: values are between 0 and 1; otherwise the axis goes from 0 to the largest value.
    """
    rows = max((len(models) for models in regions.values()), default=1)
    height = FRAME_INCHES + len(regions) * (ROW_INCHES * rows + PANEL_INCHES)
    with figure(width=7.2, height=height) as drawn:
        panels = drawn.subplots(len(regions), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (region, models) in zip(panels, regions.items(), strict=True):
            draw_rows(axes, models)
            axes.set_title(region, loc="left")
        panels[-1].set(xlabel=f"{label} (diamond: mean; in brackets: patients)")
        panels[-1].set_xlim(*(SHARE if is_share else (0, None)))
        save_for_print(drawn, path)

"""Sensitivity by lesion size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from metseg.plot.error_bars import ErrorBounds, error_bars
from metseg.plot.style import figure, save_for_print, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Share of a bin's width for the points of its models, which are placed side by side.
SPREAD = 0.6

#: Panels side by side, and inches of one.
ACROSS, PANEL_WIDTH, PANEL_HEIGHT = 2, 3.7, 2.9


@dataclass(frozen=True)
class SizeSensitivity:
    """The lesions of one size.

    Args:
        lesions: number of lesions.
        share: share of found lesions with its interval; None if there is no lesion of this size.
    """

    lesions: int
    share: ErrorBounds | None


def draw_sensitivity_by_size(
    regions: Mapping[str, Mapping[str, Sequence[SizeSensitivity]]], path: Path, *, bins: Sequence[str]
) -> None:
    """Write one panel per region: the sensitivity in every bin of the longest diameter, with intervals.

    Args:
        regions: region, at least one, to model to its bins; the number of lesions under a bin is that of the first
            model, since all have the same truth.
        path: of the PNG and the SVG.
        bins: names of the bins, from small to large.
    """
    across, down = min(ACROSS, len(regions)), math.ceil(len(regions) / ACROSS)
    models = next(iter(regions.values()))
    legend = 0.2 * len(models) if len(models) > 1 else 0.0
    with figure(width=PANEL_WIDTH * max(across, 1.4), height=PANEL_HEIGHT * down + legend) as drawn:
        panels = drawn.subplots(down, across, squeeze=False, sharey=True).ravel()
        for axes, (region, by_model) in zip(panels, regions.items(), strict=False):
            _draw_panel(axes, by_model, bins)
            axes.set_title(region, loc="left")
        for axes in panels[len(regions) :]:
            axes.set_visible(False)
        for axes in panels[::across]:
            axes.set_ylabel("sensitivity")
        if legend:
            handles, names = panels[0].get_legend_handles_labels()
            drawn.legend(handles, names, loc="outside lower center", ncols=min(3, len(models)))
        save_for_print(drawn, path)


def _draw_panel(axes: Axes, by_model: Mapping[str, Sequence[SizeSensitivity]], bins: Sequence[str]) -> None:
    for row, (name, groups) in enumerate(by_model.items()):
        drawn_as = style(row)
        offset = (row - (len(by_model) - 1) / 2) * SPREAD / len(by_model)
        known = [(place + offset, group.share) for place, group in enumerate(groups) if group.share is not None]
        axes.errorbar(
            [place for place, _ in known],
            [share.value for _, share in known],
            yerr=error_bars([share for _, share in known]),
            color=drawn_as.colour,
            marker=drawn_as.marker,
            linestyle="none",
            markersize=7,
            capsize=3,
            label=name,
        )
    first = next(iter(by_model.values()))
    axes.set_xticks(range(len(bins)), [f"{name}\nn = {one.lesions}" for name, one in zip(bins, first, strict=True)])
    axes.set(xlim=(-0.5, len(bins) - 0.5), ylim=(-0.03, 1.03), xlabel="longest diameter (mm)")
    axes.grid(visible=False, axis="x")

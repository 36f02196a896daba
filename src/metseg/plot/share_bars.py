"""How often each value occurs, as bars with counts and percentages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.ticker import MaxNLocator

from metseg.plot.style import figure, save

BAR_INCHES, FRAME_INCHES, WIDTH_INCHES = 0.36, 1.1, 7.5


def draw_share_bars(counts: Mapping[str, int], path: Path, *, title: str, unit: str) -> None:
    """Write one bar per value, the first on top, with its count and its share of the total.

    Bars, not a pie: their lengths can be compared.

    Args:
        counts: value to count; at least one above 0.
        path: PNG or SVG.
        title: above the bars.
        unit: what is counted, such as "patients".
    """
    total = sum(counts.values())
    with figure(width=WIDTH_INCHES, height=FRAME_INCHES + BAR_INCHES * len(counts)) as drawn:
        axes = drawn.add_subplot()
        bars = axes.barh(range(len(counts)), list(counts.values()), color="C0", height=0.7)
        axes.bar_label(bars, [share_text(count, total) for count in counts.values()], padding=4)
        axes.set_yticks(range(len(counts)), list(counts))
        axes.set(
            title=f"{title} ({total} {unit})",
            xlabel=unit,
            xlim=(0, 1.25 * max(counts.values())),
            ylim=(len(counts) - 0.5, -0.5),
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=False, axis="y")
        save(drawn, path)


def share_text(count: int, total: int) -> str:
    """Return a count with its percentage.

    >>> share_text(161, 412)
    '161 (39.1 %)'
    """
    return f"{count} ({100 * count / total:.1f} %)"

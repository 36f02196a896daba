"""How much each key of a search matters for the score."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from metseg.plot.style import COLOURS, figure, save_for_print


def draw_importance(shares: Mapping[str, float], path: Path, *, title: str) -> None:
    """Write one bar per key, the most important on top.

    Args:
        shares: key to its share of the variance of the score, 0 to 1; at least one.
        path: of the PNG and the SVG.
        title: of the figure.
    """
    ordered = sorted(shares.items(), key=lambda pair: pair[1])
    with figure(width=7, height=1.2 + 0.32 * len(ordered)) as drawn:
        axes = drawn.subplots()
        bars = axes.barh([name for name, _ in ordered], [share for _, share in ordered], color=COLOURS[0])
        axes.bar_label(bars, [f"{share:.2f}" for _, share in ordered], padding=3)
        axes.set(xlim=(0, 1.08), xlabel="share of the variance of the validation Dice", title=title)
        axes.grid(visible=False, axis="y")
        save_for_print(drawn, path)

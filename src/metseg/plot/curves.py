"""Training curves: loss and validation Dice against minutes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from metseg.plot.style import figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_curves(epochs: Mapping[str, pd.DataFrame], path: Path) -> None:
    """Write the curves of one or several runs: loss on the left, validation Dice on the right.

    Args:
        epochs: name of the run to its `epochs.csv`; of several rows for an epoch the last one is used. Epochs without a
            validation contain NaN and leave no gap.
        path: PNG or SVG.
    """
    with figure(width=9, height=3.4 + 0.2 * len(epochs)) as drawn:
        losses, scores = drawn.subplots(1, 2)
        for place, table in enumerate(epochs.values()):
            final = table.drop_duplicates("epoch", keep="last")
            _line(losses, final, "train_loss", colour=f"C{place}")
            _line(losses, final, "val_loss", colour=f"C{place}", dashed=True)
            _line(scores, final, "val_dice", colour=f"C{place}")
        losses.set(xlabel="minutes", ylabel="loss", title="Loss (dashed: validation)", xlim=(0, None))
        scores.set(
            xlabel="minutes", ylabel="mean Dice by patient", title="Validation Dice", ylim=(-0.02, 1.02), xlim=(0, None)
        )
        # Below the axes, where it hides no curve for any number of runs.
        lines = list(scores.lines)
        drawn.legend(lines, list(epochs), loc="outside lower center", ncols=min(3, len(epochs)))
        save(drawn, path)


def _line(axes: Axes, table: pd.DataFrame, column: str, *, colour: str, dashed: bool = False) -> None:
    """Draw one column; the markers keep a run of a single epoch visible."""
    seen = table[table[column].notna()]
    axes.plot(
        seen["elapsed_s"] / 60, seen[column], color=colour, linestyle="--" if dashed else "-", marker=".", markersize=4
    )

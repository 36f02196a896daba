"""Training curves: loss and validation Dice against minutes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.ticker import MaxNLocator

from metseg.plot.style import figure, save, style

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


#: Column ending of `epochs.csv` to the title of its panel.
PANELS = {"loss": "Loss", "accuracy": "Accuracy, all voxels", "dice": "Dice", "iou": "IoU"}


def draw_metric_curves(epochs: pd.DataFrame, path: Path, *, title: str) -> None:
    """Write loss, accuracy, Dice and IoU of one run over its epochs, for training and validation.

    Args:
        epochs: `epochs.csv`; of several rows for an epoch the last one is used. A run of metseg 0.1 has loss and
            validation Dice only; its other panels say so.
        path: PNG or SVG.
        title: name of the run.
    """
    final = epochs.drop_duplicates("epoch", keep="last")
    with figure(width=11, height=3.2) as drawn:
        for axes, (name, panel) in zip(drawn.subplots(1, len(PANELS)), PANELS.items(), strict=True):
            shown = [_over_epochs(axes, final, f"{part}_{name}", place) for place, part in enumerate(("train", "val"))]
            axes.set(xlabel="epoch", title=panel)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if name != "loss":
                axes.set_ylim(-0.02, 1.02)
            if not any(shown):
                axes.text(0.5, 0.5, "not recorded", transform=axes.transAxes, ha="center", va="center")
        lines = drawn.axes[0].lines
        drawn.legend(lines, ["training", "validation"][: len(lines)], loc="outside lower center", ncols=2)
        drawn.suptitle(title)
        save(drawn, path)


def _over_epochs(axes: Axes, table: pd.DataFrame, column: str, place: int) -> bool:
    """Draw one column over the epochs, numbered from 1; return whether there is anything to draw."""
    seen = table[table[column].notna()] if column in table else table[:0]
    if seen.empty:
        return False
    look = style(place)
    axes.plot(
        seen["epoch"] + 1, seen[column], color=look.colour, linestyle=look.dashes, marker=look.marker, markersize=3
    )
    return True

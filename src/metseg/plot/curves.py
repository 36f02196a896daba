"""Training curves: loss and validation Dice against minutes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from metseg.plot.style import figure, save


def draw_curves(epochs: Mapping[str, pd.DataFrame], path: Path) -> None:
    """Write the curves of one or several runs side by side.

    Args:
        epochs: name of the run to its `epochs.csv`; of rows with the same epoch the last counts.
        path: PNG or SVG.
    """
    with figure(width=9, height=3.4) as drawn:
        losses, scores = drawn.subplots(1, 2)
        for place, (name, table) in enumerate(epochs.items()):
            final = table.drop_duplicates("epoch", keep="last")
            minutes = final["elapsed_s"] / 60
            colour = f"C{place}"
            losses.plot(minutes, final["train_loss"], color=colour, label=name if len(epochs) > 1 else "training")
            losses.plot(minutes, final["val_loss"], color=colour, linestyle="--", label=_second_label(epochs))
            seen = final["val_dice"].notna()
            scores.plot(minutes[seen], final["val_dice"][seen], color=colour, marker=".", label=name)
        losses.set(xlabel="minutes", ylabel="loss", title="Loss (dashed: validation)")
        scores.set(xlabel="minutes", ylabel="mean Dice by patient", title="Validation Dice", ylim=(0, 1))
        losses.legend()
        if len(epochs) > 1:
            scores.legend(loc="lower right")
        save(drawn, path)


def _second_label(epochs: Mapping[str, pd.DataFrame]) -> str | None:
    """Return the label of the dashed line; with several runs the title says it once."""
    return "validation" if len(epochs) == 1 else None

"""Choose the patients that a model's example figure shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from metseg.plot.images.outlines import Panel
from metseg.training.snapshot import Snapshot


def best_median_worst(dice: Mapping[str, float]) -> dict[str, str]:
    """Return "best", "median" and "worst" mapped to patients; fewer entries with fewer than three patients.

    Ties are ordered by patient name. For an even number, the median is the lower of the two middle patients.

    >>> best_median_worst({"a": 0.5, "b": 0.9, "c": 0.1, "d": 0.7})
    {'best': 'b', 'median': 'a', 'worst': 'c'}
    >>> best_median_worst({"a": 0.5})
    {'best': 'a'}
    """
    ranked = sorted(dice, key=lambda patient: (dice[patient], patient))
    chosen = {"best": ranked[-1], "median": ranked[(len(ranked) - 1) // 2], "worst": ranked[0]}
    distinct: dict[str, str] = {}
    for place in ("best", "worst", "median"):
        if chosen[place] not in distinct.values():
            distinct[place] = chosen[place]
    return {place: distinct[place] for place in chosen if place in distinct}


def panels(snapshots: Sequence[Snapshot], dice: Mapping[str, float]) -> list[Panel]:
    """Return the panels of the best, the median and the worst patient.

    Args:
        snapshots: at least one per patient; of several, the one with the most lesion is shown.
        dice: patient to Dice.
    """
    shown = []
    for place, patient in best_median_worst(dice).items():
        one = max((item for item in snapshots if item.patient == patient), key=lambda item: item.voxels)
        title = f"{place}: {patient}\nDice {dice[patient]:.3f}"
        shown.append(Panel(one.picture, one.truth, one.prediction, title))
    return shown

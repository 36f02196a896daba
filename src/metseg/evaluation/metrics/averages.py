"""The averages over classes that papers report under plain names, from one table of joint counts.

A paper that says "IoU 0.97" may mean the lesion, the mean over classes (macro) with or without the background, or all
pixels of all classes pooled (micro). On images that are mostly background these differ by an order of magnitude.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metseg.evaluation.metrics.overlap import Confusion, accuracy, dice, iou, precision, sensitivity, specificity
from metseg.labels import LabelScheme

#: The figures that each average has.
AVERAGED = {
    "accuracy": accuracy,
    "dice": dice,
    "iou": iou,
    "precision": precision,
    "sensitivity": sensitivity,
    "specificity": specificity,
}
BACKGROUND = "background"


@dataclass(frozen=True)
class Averages:
    """Every reading of a figure for one table of joint counts.

    Args:
        classes: class, background included -> figure -> value of that class alone.
        readings: name of the average -> figure -> value.
    """

    classes: Mapping[str, Mapping[str, float]]
    readings: Mapping[str, Mapping[str, float]]

    def near(self, figure: str, claimed: float, *, tolerance: float) -> tuple[str, ...]:
        """Return the readings and classes in which a figure is within a tolerance of a claimed value."""
        named = {**self.readings, **{f"class {name}": figures for name, figures in self.classes.items()}}
        return tuple(name for name, figures in named.items() if abs(figures[figure] - claimed) <= tolerance)


def class_counts(joint: npt.NDArray[np.int64], place: int) -> Confusion:
    """Return the counts of one class against all others: row and column ``place`` of `joint_counts`."""
    right = int(joint[place, place])
    fp, fn = int(joint[:, place].sum()) - right, int(joint[place].sum()) - right
    return Confusion(tp=right, fp=fp, fn=fn, tn=int(joint.sum()) - right - fp - fn)


def class_averages(joint: npt.NDArray[np.int64], scheme: LabelScheme) -> Averages:
    """Return the figures of each class, and their averages under every reading.

    Readings: macro, the mean over classes; micro, from the summed counts of classes; each with and without background;
    lesion, all lesion classes as one.

    Args:
        joint: (K, K) counts of `joint_counts`, of one case or of the sum of many; background first.
        scheme: the label scheme of its rows and columns.

    >>> from metseg.labels import LABEL_SCHEMES
    >>> found = class_averages(np.array([[970, 10], [10, 10]]), LABEL_SCHEMES["binary"])
    >>> {name: round(figures["iou"], 3) for name, figures in found.readings.items()}
    {'macro with background': 0.657, 'macro': 0.333, 'micro with background': 0.961, 'micro': 0.333, 'lesion': 0.333}
    """
    names = (BACKGROUND, *scheme.classes.values())
    counts = [class_counts(joint, place) for place in range(len(names))]
    lesion = joint[1:, 1:].sum()
    merged = Confusion(tp=int(lesion), fp=int(joint[0, 1:].sum()), fn=int(joint[1:, 0].sum()), tn=int(joint[0, 0]))
    return Averages(
        classes={name: _figures(one) for name, one in zip(names, counts, strict=True)},
        readings={
            "macro with background": _mean(counts),
            "macro": _mean(counts[1:]),
            "micro with background": _figures(_summed(counts)),
            "micro": _figures(_summed(counts[1:])),
            "lesion": _figures(merged),
        },
    )


def _figures(counts: Confusion) -> dict[str, float]:
    return {name: function(counts) for name, function in AVERAGED.items()}


def _mean(counts: Sequence[Confusion]) -> dict[str, float]:
    table = [_figures(one) for one in counts]
    return {name: float(np.mean([row[name] for row in table])) for name in AVERAGED}


def _summed(counts: Sequence[Confusion]) -> Confusion:
    return Confusion(*(sum(getattr(one, name) for one in counts) for name in ("tp", "fp", "fn", "tn")))

"""The table of metrics: the meaning of each column of `cases.csv`, its computation, and where it is shown.

To add a metric, add a `Metric` here or in another package (see `metseg.registry`); tables, reports and tests read the
rest from it. The functions at the top compute the metrics from a `RegionContext`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from metseg.errors import UsageError
from metseg.evaluation.empty_masks import EMPTY_VALUES, Emptiness, Kind, empty_mask_value
from metseg.evaluation.metrics import overlap, surface_distance
from metseg.evaluation.metrics.border_nsd import border_dice
from metseg.evaluation.metrics.overlap import Confusion
from metseg.evaluation.metrics.surface_distance import Spacing
from metseg.evaluation.region_context import RegionContext
from metseg.registry import Registry

Mask = npt.NDArray[np.bool_]

#: Metric of one region of one case; None: the data or the protocol do not define it.
Figure = Callable[[RegionContext], float | None]

#: Metric of two masks (X, Y, Z) and the voxel size in mm, None for pictures.
MaskFigure = Callable[[Mask, Mask, Spacing | None], float]

#: Where a metric is shown if any case has it; `cases.csv`, `summary.json` and the report's table of results have all.
#: terminal: what `metseg evaluate` prints. cases: the report's table of cases. models: the table of `metseg compare`.
#: tests: sets of predictions are compared on it by paired tests. readers: beside two human readers. distribution: the
#: report's figures of patients.
Place = Literal["terminal", "cases", "models", "tests", "readers", "distribution"]

#: Default places of a new metric. Paired tests must be chosen in advance, one metric per question.
EVERY_TABLE: tuple[Place, ...] = ("terminal", "cases", "models")


def from_counts(formula: Callable[[Confusion], float]) -> Figure:
    """Return a metric that needs the confusion counts only."""
    return lambda evidence: formula(evidence.counts)


def n_tp(evidence: RegionContext) -> float:
    """Return the number of scored true lesions that were found."""
    return float(sum(lesion.detected for lesion in evidence.scored_truth))


def n_fn(evidence: RegionContext) -> float:
    """Return the number of scored true lesions that were missed."""
    return float(sum(not lesion.detected for lesion in evidence.scored_truth))


def n_fp(evidence: RegionContext) -> float:
    """Return the number of false positive lesions."""
    return float(len(evidence.false_positives))


def hd95_mm(evidence: RegionContext) -> float | None:
    """Return the 95 % Hausdorff distance, area-weighted; see `metseg.evaluation.metrics.surface_distance.hd95_mm`."""
    return None if evidence.surfaces is None else surface_distance.hd95_mm(evidence.surfaces, evidence.penalty)


def asd_mm(evidence: RegionContext) -> float | None:
    """Return the average surface distance; see `metseg.evaluation.metrics.surface_distance.asd_mm`."""
    return None if evidence.surfaces is None else surface_distance.asd_mm(evidence.surfaces, evidence.penalty)


def nsd(tolerance_mm: float) -> Figure:
    """Return the area-weighted surface Dice at a tolerance as a figure."""
    return lambda evidence: (
        None if evidence.surfaces is None else surface_distance.surface_dice(evidence.surfaces, tolerance_mm)
    )


def border_nsd(tolerance_mm: float) -> Figure:
    """Return the border-voxel surface Dice at a tolerance as a figure."""

    def figure(evidence: RegionContext) -> float | None:
        if evidence.spacing_mm is None:
            return None
        return border_dice(evidence.truth, evidence.prediction, evidence.spacing_mm, tolerance_mm)

    return figure


def truth_volume_mm3(evidence: RegionContext) -> float | None:
    """Return the volume of the region in the truth."""
    return None if evidence.voxel_mm3 is None else evidence.counts.truth * evidence.voxel_mm3


def predicted_volume_mm3(evidence: RegionContext) -> float | None:
    """Return the volume of the region in the prediction."""
    return None if evidence.voxel_mm3 is None else evidence.counts.predicted * evidence.voxel_mm3


def lesionwise(name: str, kind: Kind) -> Figure:
    """Return the lesion-wise mean of a metric over scored lesions and false positives.

    Args:
        name: the metric of each lesion.
        kind: defines the value of a case with neither.
    """

    def figure(evidence: RegionContext) -> float:
        charged = [*evidence.scored_truth, *evidence.false_positives]
        if not charged:
            return EMPTY_VALUES[kind][0]
        return sum(lesion.figures[name] for lesion in charged) / len(charged)

    return figure


@dataclass(frozen=True)
class Metric:
    """A column of `cases.csv`. For a function of two masks use `metric_of_masks`.

    Args:
        title: for tables and figures.
        better: whether higher values are better, lower values are better, or neither.
        unit: "" for a share or a count.
        compute: used by every protocol without its own rule for this column; None: only protocols with a rule have it.
        places: where it is shown; see `Place`.
        leading: priority for ranking cases and comparing models: the metric with the highest number that the protocol
            defines is used. Leading metrics also come first in tables and must be shares with 1 as the best value. 0:
            not leading.
        symmetric: it stays the same if truth and prediction are swapped.
        whole: a count, which is a whole number for a single case.
        number_format: format specification of its numbers, such as ".2f"; "": by the unit.
    """

    title: str
    better: Literal["higher", "lower", "neither"]
    unit: str = ""
    compute: Figure | None = None
    places: tuple[Place, ...] = ()
    leading: int = 0
    symmetric: bool = False
    whole: bool = False
    number_format: str = ""

    def __post_init__(self) -> None:
        if self.leading and (self.better != "higher" or self.unit):
            raise self._refused("leading needs a share with higher values better")
        if "readers" in self.places and not self.symmetric:
            raise self._refused('the place "readers" needs a symmetric metric: neither reader is the truth')
        if "tests" in self.places and self.better == "neither":
            raise self._refused('the place "tests" needs a metric with a better direction')

    def _refused(self, what: str) -> UsageError:
        return UsageError(what, where=f"metric '{self.title}'", code="usage.metric")


def metric_of_masks(
    function: MaskFigure,
    *,
    title: str,
    better: Literal["higher", "lower", "neither"],
    empty: Kind | None,
    needs_spacing: bool = False,
    **details: Any,
) -> Metric:
    """Create a metric for every protocol from a function of two masks.

    Args:
        function: called with truth and prediction, boolean (X, Y, Z) cut to a box that holds both, and the voxel size
            in mm or None; returns a finite number.
        title: for tables and figures.
        better: whether higher values are better, lower values are better, or neither.
        empty: defines the value for empty masks (`metseg.evaluation.empty_masks`), so ``function`` gets masks with
            voxels only; None: ``function`` gets empty masks too.
        needs_spacing: not defined for pictures without a voxel size; distances always need one.
        details: other fields of `Metric`; `places` defaults to `EVERY_TABLE`.
    """
    in_mm = needs_spacing or empty is Kind.DISTANCE

    def compute(evidence: RegionContext) -> float | None:
        if in_mm and evidence.spacing_mm is None:
            return None
        if empty is not None and evidence.emptiness is not Emptiness.NEITHER:
            return empty_mask_value(empty, evidence.emptiness, penalty=evidence.penalty)
        value = float(function(evidence.truth, evidence.prediction, evidence.spacing_mm))
        if not math.isfinite(value):
            raise UsageError(
                f"the metric '{title}' returned {value}",
                expected="a finite number",
                cure="set the value for empty masks with `empty`, and return a number for all other masks",
                code="usage.metric",
            )
        return value

    return Metric(title, better, compute=compute, **{"places": EVERY_TABLE, **details})


#: Every column after case and region, in the order of `cases.csv`.
METRICS: Registry[Metric] = Registry(
    "metric",
    "metrics",
    Metric,
    {
        "n_tp": Metric("Lesions found", "higher", compute=n_tp, whole=True, places=("cases", "tests")),
        "n_fp": Metric("False lesions", "lower", compute=n_fp, whole=True, places=("cases", "tests")),
        "n_fn": Metric("Lesions missed", "lower", compute=n_fn, whole=True, places=("cases",)),
        "sensitivity": Metric("Sensitivity", "higher", compute=from_counts(overlap.sensitivity), places=EVERY_TABLE),
        "specificity": Metric("Specificity", "higher", compute=from_counts(overlap.specificity), places=("models",)),
        "precision": Metric("Precision", "higher", compute=from_counts(overlap.precision), places=EVERY_TABLE),
        "accuracy": Metric(
            "Accuracy", "higher", compute=from_counts(overlap.accuracy), places=("models",), symmetric=True
        ),
        "dice": Metric(
            "Dice",
            "higher",
            compute=from_counts(overlap.dice),
            places=(*EVERY_TABLE, "tests", "readers", "distribution"),
            leading=1,
            symmetric=True,
        ),
        "iou": Metric("IoU", "higher", compute=from_counts(overlap.iou), places=("terminal", "models"), symmetric=True),
        "hd95_mm": Metric(
            "HD95",
            "lower",
            "mm",
            compute=hd95_mm,
            places=("terminal", "cases", "tests", "readers", "distribution"),
            symmetric=True,
        ),
        "asd_mm": Metric("ASD", "lower", "mm", places=("readers",), symmetric=True),
        "nsd_0.5": Metric("NSD 0.5 mm", "higher", places=("readers",), symmetric=True),
        "nsd_1.0": Metric("NSD 1 mm", "higher", places=("terminal", "cases", "tests", "readers"), symmetric=True),
        "nsd_2.0": Metric("NSD 2 mm", "higher", places=("readers",), symmetric=True),
        "truth_volume_mm3": Metric("Volume, truth", "neither", "mm³", compute=truth_volume_mm3, places=("cases",)),
        "predicted_volume_mm3": Metric(
            "Volume, prediction", "neither", "mm³", compute=predicted_volume_mm3, places=("cases",)
        ),
        "lesionwise_dice": Metric(
            "Lesion-wise Dice", "higher", places=("terminal", "cases", "tests", "distribution"), leading=2
        ),
        "lesionwise_hd95": Metric("Lesion-wise HD95", "lower", "mm", places=("terminal", "tests")),
        "lesionwise_nsd_0.5": Metric("Lesion-wise NSD 0.5 mm", "higher"),
        "lesionwise_nsd_1.0": Metric("Lesion-wise NSD 1 mm", "higher"),
    },
    make=metric_of_masks,
)

#: Metrics of slice stacks, in addition to the patient's own; see `metseg.evaluation.metrics.slice_metrics`.
SLICE_METRICS: Mapping[str, Metric] = {
    "dice_positive_slices": Metric("Dice on positive slices", "higher"),
    "dice_all_slices": Metric("Mean Dice over all slices", "higher"),
}


def metrics_shown(place: Place) -> tuple[str, ...]:
    """Return the columns shown in a place: leading ones first, then in the order of the table.

    >>> metrics_shown("models")
    ('dice', 'sensitivity', 'specificity', 'precision', 'accuracy', 'iou')
    """
    shown = [name for name, metric in METRICS.items() if place in metric.places]
    return tuple(sorted(shown, key=lambda name: not METRICS[name].leading))


def leading_metrics() -> tuple[str, ...]:
    """Return the leading columns by priority.

    >>> leading_metrics()
    ('lesionwise_dice', 'dice')
    """
    leading = [name for name, metric in METRICS.items() if metric.leading]
    return tuple(sorted(leading, key=lambda name: -METRICS[name].leading))

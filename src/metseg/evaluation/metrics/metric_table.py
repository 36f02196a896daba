"""The table of figures: what each column of `cases.csv` is called, which way is better, and plain functions for them.

A new figure is a function of a `RegionContext`, a line in `METRICS`, and a line in each protocol that defines it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from metseg.evaluation.empty_masks import EMPTY_VALUES, Kind
from metseg.evaluation.metrics import overlap, surface_distance
from metseg.evaluation.metrics.border_nsd import border_dice
from metseg.evaluation.metrics.overlap import Confusion
from metseg.evaluation.region_context import RegionContext

#: A figure of one region of one case; None: the data or the protocol do not define it.
Figure = Callable[[RegionContext], float | None]


@dataclass(frozen=True)
class Metric:
    """How a column is presented.

    Args:
        title: for tables and figures.
        better: whether more is better, less is better, or neither.
        unit: "" for a share or a count.
    """

    title: str
    better: Literal["higher", "lower", "neither"]
    unit: str = ""


#: Every column after case and region, in the order of `cases.csv`.
METRICS: Mapping[str, Metric] = {
    "n_tp": Metric("Lesions found", "higher"),
    "n_fp": Metric("False lesions", "lower"),
    "n_fn": Metric("Lesions missed", "lower"),
    "sensitivity": Metric("Sensitivity", "higher"),
    "specificity": Metric("Specificity", "higher"),
    "precision": Metric("Precision", "higher"),
    "accuracy": Metric("Accuracy", "higher"),
    "dice": Metric("Dice", "higher"),
    "iou": Metric("IoU", "higher"),
    "hd95_mm": Metric("HD95", "lower", "mm"),
    "asd_mm": Metric("ASD", "lower", "mm"),
    "nsd_0.5": Metric("NSD 0.5 mm", "higher"),
    "nsd_1.0": Metric("NSD 1 mm", "higher"),
    "nsd_2.0": Metric("NSD 2 mm", "higher"),
    "truth_volume_mm3": Metric("Volume, truth", "neither", "mm³"),
    "predicted_volume_mm3": Metric("Volume, prediction", "neither", "mm³"),
    "lesionwise_dice": Metric("Lesion-wise Dice", "higher"),
    "lesionwise_hd95": Metric("Lesion-wise HD95", "lower", "mm"),
    "lesionwise_nsd_0.5": Metric("Lesion-wise NSD 0.5 mm", "higher"),
    "lesionwise_nsd_1.0": Metric("Lesion-wise NSD 1 mm", "higher"),
}

#: Figures of slice stacks, printed beside the patient's own; see `metseg.evaluation.metrics.slice_metrics`.
SLICE_METRICS: Mapping[str, Metric] = {
    "dice_positive_slices": Metric("Dice on positive slices", "higher"),
    "dice_all_slices": Metric("Mean Dice over all slices", "higher"),
}


def from_counts(formula: Callable[[Confusion], float]) -> Figure:
    """Return a figure that needs the confusion counts only."""
    return lambda evidence: formula(evidence.counts)


def n_tp(evidence: RegionContext) -> float:
    """Return how many scored lesions of the truth were found."""
    return float(sum(lesion.detected for lesion in evidence.scored_truth))


def n_fn(evidence: RegionContext) -> float:
    """Return how many scored lesions of the truth were missed."""
    return float(sum(not lesion.detected for lesion in evidence.scored_truth))


def n_fp(evidence: RegionContext) -> float:
    """Return how many predicted lesions are none."""
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
    """Return the lesion-wise mean of a figure: summed over scored lesions and false positives, divided by their number.

    Args:
        name: the figure of each lesion.
        kind: decides what a case with neither is worth.
    """

    def figure(evidence: RegionContext) -> float:
        charged = [*evidence.scored_truth, *evidence.false_positives]
        if not charged:
            return EMPTY_VALUES[kind][0]
        return sum(lesion.figures[name] for lesion in charged) / len(charged)

    return figure


#: Figures of voxels that every protocol has in common.
OVERLAP_FIGURES: Mapping[str, Figure] = {
    "sensitivity": from_counts(overlap.sensitivity),
    "specificity": from_counts(overlap.specificity),
    "precision": from_counts(overlap.precision),
    "accuracy": from_counts(overlap.accuracy),
    "dice": from_counts(overlap.dice),
    "iou": from_counts(overlap.iou),
}

#: Figures of counts and volumes that every protocol has in common.
COUNT_FIGURES: Mapping[str, Figure] = {
    "n_tp": n_tp,
    "n_fp": n_fp,
    "n_fn": n_fn,
    "truth_volume_mm3": truth_volume_mm3,
    "predicted_volume_mm3": predicted_volume_mm3,
}

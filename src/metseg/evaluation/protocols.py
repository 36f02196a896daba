"""The evaluation protocols: regions, metrics, and the rule for matching lesions.

`voxel` is metseg's own protocol. The `brats-*` ones follow the challenges' public scripts (BraTS-METS 2023,
arXiv:2306.00838; BraTS 2023 glioma; BraTS-METS 2024, arXiv:2504.12527) and are tested against the scripts' output.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from metseg.evaluation.empty_masks import Kind
from metseg.evaluation.lesions.lesion_matching import MatchRule
from metseg.evaluation.lesions.lesion_scores import LesionMetric, LesionPair
from metseg.evaluation.metrics import overlap, surface_distance
from metseg.evaluation.metrics.border_nsd import border_dice
from metseg.evaluation.metrics.metric_table import METRICS, Figure, asd_mm, border_nsd, lesionwise, nsd
from metseg.evaluation.metrics.surface_distance import Spacing
from metseg.registry import Registry

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Penalty:
    """Distance that a protocol assigns if one mask is empty.

    Args:
        distance: function of the image's shape and spacing.
        text: description for reports.
    """

    distance: Callable[[Shape, Spacing], float]
    text: str

    def __call__(self, shape: Shape, spacing_mm: Spacing) -> float:
        return self.distance(shape, spacing_mm)


@dataclass(frozen=True)
class Protocol:
    """A scoring protocol.

    Args:
        scheme: default label scheme.
        regions: the scored regions, or None for all regions of the scheme.
        rule: how lesions are made and matched.
        own_figures: column of `METRICS` to function, for columns that only this protocol has or defines differently.
        lesion_figures: metrics of each lesion.
        penalty: the distance if one mask is empty.
        needs_spacing: whether a voxel size is required.
        ignored_labels: class ids that may occur, are not scored, and are counted in a warning.
        joined_by: region to the class that merges its components into one lesion (ET components around one necrosis).
    """

    scheme: str
    regions: tuple[str, ...] | None
    rule: MatchRule
    own_figures: Mapping[str, Figure]
    lesion_figures: Mapping[str, LesionMetric]
    penalty: Penalty
    needs_spacing: bool = False
    ignored_labels: tuple[int, ...] = ()
    joined_by: Mapping[str, str] = field(default_factory=dict)

    @property
    def figures(self) -> Mapping[str, Figure]:
        """Return every column that this protocol defines, in the order of `METRICS`; others stay empty."""
        return {
            name: figure
            for name, metric in METRICS.items()
            if (figure := self.own_figures.get(name, metric.compute)) is not None
        }


def diagonal_mm(shape: Shape, spacing_mm: Spacing) -> float:
    """Return the diagonal of the image in mm, the largest distance between two of its points.

    >>> diagonal_mm((3, 4, 6), (1.0, 1.0, 2.0))
    13.0
    """
    return float(np.linalg.norm(np.multiply(shape, spacing_mm)))


def diagonal_voxels(shape: Shape, _spacing_mm: Spacing) -> float:
    """Return the diagonal of the image in voxels, which BraTS-METS 2024 uses together with distances in mm."""
    return float(np.linalg.norm(shape))


def brain_diagonal_mm(_shape: Shape, _spacing_mm: Spacing) -> float:
    """Return 374 mm, the diagonal of the BraTS volume of 240×240×155 mm, for any image."""
    return 374.0


def _lesion_dice(pair: LesionPair) -> float:
    return overlap.dice(overlap.confusion(pair.truth, pair.prediction))


def _lesion_hd95(pair: LesionPair) -> float:
    return surface_distance.hd95_mm(pair.distances, pair.penalty)


def _lesion_border_nsd(tolerance_mm: float) -> LesionMetric:
    def compute(pair: LesionPair) -> float:
        assert pair.spacing_mm is not None
        return border_dice(pair.truth, pair.prediction, pair.spacing_mm, tolerance_mm)

    return LesionMetric(Kind.SURFACE_OVERLAP, compute)


_DICE = LesionMetric(Kind.OVERLAP, _lesion_dice)
_HD95 = LesionMetric(Kind.DISTANCE, _lesion_hd95)

_VOXEL_FIGURES: Mapping[str, Figure] = {
    "asd_mm": asd_mm,
    "nsd_0.5": nsd(0.5),
    "nsd_1.0": nsd(1.0),
    "nsd_2.0": nsd(2.0),
}

_BRATS_2023_FIGURES: Mapping[str, Figure] = {
    "lesionwise_dice": lesionwise("dice", Kind.OVERLAP),
    "lesionwise_hd95": lesionwise("hd95_mm", Kind.DISTANCE),
}

_BRATS_2024_FIGURES: Mapping[str, Figure] = {
    **_BRATS_2023_FIGURES,
    "nsd_0.5": border_nsd(0.5),
    "nsd_1.0": border_nsd(1.0),
    "lesionwise_nsd_0.5": lesionwise("nsd_0.5", Kind.SURFACE_OVERLAP),
    "lesionwise_nsd_1.0": lesionwise("nsd_1.0", Kind.SURFACE_OVERLAP),
}

_BRAIN_DIAGONAL = Penalty(brain_diagonal_mm, f"{brain_diagonal_mm((), (1.0, 1.0, 1.0)):g} mm, for any image")

PROTOCOLS: Registry[Protocol] = Registry(
    "protocol",
    "protocols",
    Protocol,
    {
        "voxel": Protocol(
            scheme="binary",
            regions=None,
            rule=MatchRule(),
            own_figures=_VOXEL_FIGURES,
            lesion_figures={"dice": _DICE},
            penalty=Penalty(diagonal_mm, "the diagonal of the image in mm"),
        ),
        "brats-met-2023": Protocol(
            scheme="brats-met-2023",
            regions=("WT", "TC", "ET"),
            rule=MatchRule(dilations=1, drop_truth_up_to_mm3=2.0),
            own_figures=_BRATS_2023_FIGURES,
            lesion_figures={"dice": _DICE, "hd95_mm": _HD95},
            penalty=_BRAIN_DIAGONAL,
            needs_spacing=True,
            ignored_labels=(4,),
        ),
        "brats-met-2024": Protocol(
            scheme="brats-met-2024",
            regions=("WT", "TC", "ET", "RC"),
            rule=MatchRule(
                dilations=1, merge_predictions=True, drop_truth_up_to_mm3=2.0, delete_predicted_up_to_voxels=2
            ),
            own_figures=_BRATS_2024_FIGURES,
            lesion_figures={
                "dice": _DICE,
                "hd95_mm": _HD95,
                "nsd_0.5": _lesion_border_nsd(0.5),
                "nsd_1.0": _lesion_border_nsd(1.0),
            },
            penalty=Penalty(diagonal_voxels, "the diagonal of the image in voxels"),
            needs_spacing=True,
            joined_by={"ET": "NETC"},
        ),
        "brats-gli-2023": Protocol(
            scheme="brats-gli-2023",
            regions=("WT", "TC", "ET"),
            rule=MatchRule(dilations=3, drop_truth_up_to_mm3=50.0),
            own_figures=_BRATS_2023_FIGURES,
            lesion_figures={"dice": _DICE, "hd95_mm": _HD95},
            penalty=_BRAIN_DIAGONAL,
            needs_spacing=True,
            ignored_labels=(4,),
        ),
    },
)


def lesion_columns() -> tuple[str, ...]:
    """Return the lesion metrics of all protocols, in the order of `METRICS`, then the others.

    >>> lesion_columns()
    ('dice', 'hd95_mm', 'nsd_0.5', 'nsd_1.0')
    """
    names = dict.fromkeys(name for protocol in PROTOCOLS.values() for name in protocol.lesion_figures)
    return tuple(sorted(names, key=lambda name: [*METRICS, name].index(name)))

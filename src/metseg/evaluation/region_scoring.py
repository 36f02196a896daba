"""Score one region of one case: find and match lesions once, then compute every metric of the protocol."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metseg.evaluation.lesions.lesion_counts import count_lesions
from metseg.evaluation.lesions.lesion_matching import (
    Matching,
    match_lesions,
    matching_of,
    predicted_lesions,
    truth_lesions,
)
from metseg.evaluation.lesions.lesion_scores import LesionContext, LesionScore, scored_lesions
from metseg.evaluation.lesions.necrosis_merging import merge_around_necrosis
from metseg.evaluation.metrics.component_surfaces import region_surfaces
from metseg.evaluation.metrics.metric_table import METRICS
from metseg.evaluation.metrics.overlap import joint_counts, region_counts
from metseg.evaluation.metrics.slice_metrics import slice_scores
from metseg.evaluation.metrics.surface_distance import Spacing
from metseg.evaluation.protocols import Protocol
from metseg.evaluation.region_context import RegionContext
from metseg.evaluation.scores import RegionScores
from metseg.labels import LabelScheme
from metseg.measure import Box

Labels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class ComparedMasks:
    """Truth and prediction on one grid, cropped to the box around their labels, with the geometry of the grid."""

    truth: Labels
    prediction: Labels
    box: Box
    shape: tuple[int, ...]
    affine: npt.NDArray[np.float64] | None
    spacing_mm: Spacing | None
    scheme: LabelScheme
    protocol: Protocol
    stack_of_slices: bool
    probability: npt.NDArray[np.floating] | None = None

    @property
    def penalty(self) -> float:
        # Without a spacing no distance is computed, so the penalty is never used.
        return 0.0 if self.spacing_mm is None else self.protocol.penalty(self.shape, self.spacing_mm)

    @cached_property
    def joint(self) -> npt.NDArray[np.int64]:
        """Return the counts of `joint_counts` over the whole image: outside the box both are background."""
        joint = joint_counts(self.truth, self.prediction, self.scheme)
        joint[0, 0] += np.prod(self.shape) - self.truth.size
        return joint


def region_scores(comparison: ComparedMasks, region: str) -> RegionScores:
    """Return every metric of the protocol for one region of a case."""
    scheme, protocol = comparison.scheme, comparison.protocol
    truth = scheme.region_mask(comparison.truth, region)
    prediction = scheme.region_mask(comparison.prediction, region)
    matching = _match(comparison, region, truth=truth, prediction=prediction)
    surfaces = region_surfaces(matching, protocol.rule, comparison.spacing_mm)
    context = LesionContext(
        region=region,
        rule=protocol.rule,
        figures=protocol.lesion_figures,
        affine=comparison.affine,
        spacing_mm=comparison.spacing_mm,
        penalty=comparison.penalty,
        probability=None if comparison.probability is None else comparison.probability[comparison.box],
        surfaces=surfaces,
    )
    table = scored_lesions(matching, context)
    counts = region_counts(comparison.joint, scheme, region)
    evidence = RegionContext(
        truth=truth,
        prediction=prediction,
        counts=counts,
        lesions=tuple(_moved(lesion, comparison.box) for lesion in table.lesions),
        spacing_mm=comparison.spacing_mm,
        affine=comparison.affine,
        penalty=comparison.penalty,
        # Predicted lesions that the protocol ignores are still part of the region's surface.
        pieces=surfaces if len(matching.prediction.numbers) == counts.predicted else None,
    )
    figures = protocol.figures
    return RegionScores(
        metrics={name: figures[name](evidence) if name in figures else None for name in METRICS},
        counts=evidence.counts,
        lesions=evidence.lesions,
        slices=slice_scores(truth, prediction, comparison.shape[2]) if comparison.stack_of_slices else None,
        tally=count_lesions(table),
    )


def _match(comparison: ComparedMasks, region: str, *, truth: Mask, prediction: Mask) -> Matching:
    rule = comparison.protocol.rule
    core = comparison.protocol.joined_by.get(region)
    if core is None:
        return match_lesions(truth, prediction, rule)
    # Cores may lie outside the region's own box, so the whole cut-out is searched.
    everywhere = tuple(slice(0, size) for size in truth.shape)
    truth_cores = truth_lesions(_class_mask(comparison.truth, comparison.scheme, core), rule)
    predicted_cores = predicted_lesions(_class_mask(comparison.prediction, comparison.scheme, core), rule)
    return matching_of(
        merge_around_necrosis(truth_lesions(truth, rule), truth_cores),
        merge_around_necrosis(predicted_lesions(prediction, rule), predicted_cores),
        everywhere,
    )


def _class_mask(labels: Labels, scheme: LabelScheme, name: str) -> Mask:
    ids = [label for label, class_name in scheme.classes.items() if class_name == name]
    return np.isin(labels, ids)


def _moved(lesion: LesionScore, box: Box) -> LesionScore:
    """Return the lesion with its centre in voxel indices of the whole image instead of the cut-out."""
    x, y, z = (centre + side.start for centre, side in zip(lesion.centre_voxel, box, strict=True))
    return replace(lesion, centre_voxel=(x, y, z))

"""The data behind the metrics of one region of one case; each part is computed on first use and cached."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from metseg.evaluation.empty_masks import Emptiness
from metseg.evaluation.lesions.lesion_scores import LesionScore
from metseg.evaluation.metrics.component_surfaces import RegionSurfaces
from metseg.evaluation.metrics.overlap import Confusion
from metseg.evaluation.metrics.surface_distance import Spacing, SurfaceDistances, surface_distances
from metseg.measure import voxel_volume_mm3

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class RegionContext:
    """One region of one case.

    Args:
        truth: (X, Y, Z) the region in the truth, cut to a box that holds both masks.
        prediction: the same of the prediction.
        counts: confusion counts over the whole image.
        lesions: lesions of the truth and false positives, by the protocol's rule.
        spacing_mm: voxel size, or None if the data have none; then there are no metrics in mm.
        affine: voxel-to-mm matrix, or None likewise.
        penalty: the protocol's distance if one mask is empty.
        pieces: the surfaces of both masks, lesion by lesion, if they are known and complete.
    """

    truth: Mask
    prediction: Mask
    counts: Confusion
    lesions: tuple[LesionScore, ...]
    spacing_mm: Spacing | None
    affine: npt.NDArray[np.float64] | None
    penalty: float
    pieces: RegionSurfaces | None = None

    @property
    def emptiness(self) -> Emptiness:
        return self.counts.emptiness

    @cached_property
    def surfaces(self) -> SurfaceDistances | None:
        """Return the distances between both surfaces, or None without a spacing."""
        if self.spacing_mm is None:
            return None
        if self.pieces is not None:
            return self.pieces.whole
        return surface_distances(self.truth, self.prediction, self.spacing_mm)

    @property
    def voxel_mm3(self) -> float | None:
        return None if self.affine is None else voxel_volume_mm3(self.affine)

    @property
    def scored_truth(self) -> tuple[LesionScore, ...]:
        return tuple(lesion for lesion in self.lesions if lesion.is_true and lesion.scored)

    @property
    def false_positives(self) -> tuple[LesionScore, ...]:
        return tuple(lesion for lesion in self.lesions if not lesion.is_true)

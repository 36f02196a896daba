"""Sweep thresholds and sizes over cases in child processes, without importing torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from metseg.evaluation import ScoringConfig
from metseg.evaluation.case_scoring import LesionProbabilities, lesion_probabilities
from metseg.evaluation.files.file_matching import CasePair
from metseg.evaluation.files.mask_io import read_pair
from metseg.evaluation.lesions.operating_point import OperatingPoint
from metseg.evaluation.lesions.threshold_sweep import FULL_GRID, Sweep, confidences_at, sweep
from metseg.inference.postprocessing import clean_labels
from metseg.recipe import PredictPart


@dataclass(frozen=True)
class SweptCase:
    """One case on the grid.

    Args:
        patient: identifier.
        sweep: found and false lesions over thresholds and sizes.
        in_mm3: whether the sizes are in mm³; False: the case has no spacing, and they are in voxels.
    """

    patient: str
    sweep: Sweep
    in_mm3: bool


@dataclass(frozen=True)
class SweepRequest:
    """The settings of a sweep, sent to the child processes.

    Args:
        manner: rule for counting lesions as found, and the label scheme of the true masks.
        part: predict part of the recipe; only `fill_holes` is used.
        region: region of the scheme that is the lesion; None: every label above 0.
    """

    manner: ScoringConfig
    part: PredictPart
    region: str | None = None

    def sweep(self, pair: CasePair) -> SweptCase:
        """Return the sweep of one case over the whole grid."""
        case = self._chances(pair)
        swept = sweep(case.probability, case.truth, case.rule, FULL_GRID)
        return SweptCase(pair.patient, swept, case.rule.spacing_known)

    def confidences(
        self, pair: CasePair, *, point: OperatingPoint
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Return the mean probabilities (N,) of the predicted lesions at a point, and which are hits (N,)."""
        case = self._chances(pair)
        return confidences_at(
            case.probability, case.truth, case.rule, threshold=point.threshold, minimum_size=point.minimum_size
        )

    def _chances(self, pair: CasePair) -> LesionProbabilities:
        # The sweep uses probabilities only. The masks may have another label scheme than the truth, so none is read.
        unmasked = replace(pair, prediction=(None,) * len(pair.prediction), prediction_labels=None)
        case = lesion_probabilities(read_pair(unmasked, self.manner), self.manner, region=self.region)
        if not self.part.fill_holes:
            return case
        return replace(case, rule=replace(case.rule, shape=partial(_filled, slicewise=pair.is_slices)))


def _filled(mask: npt.NDArray[np.bool_], *, slicewise: bool) -> npt.NDArray[np.bool_]:
    """Return the mask with holes filled as in prediction, before small components are removed."""
    labels = clean_labels(mask.astype(np.uint8), PredictPart(fill_holes=True), slicewise=slicewise)
    return np.asarray(labels > 0)

"""Cases looked at over thresholds and sizes, in processes of their own: nothing here loads torch."""

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
        patient: who it is.
        sweep: found and false lesions over thresholds and sizes.
        in_mm3: whether the sizes are in mm³; otherwise the case has no spacing, and they are in voxels.
    """

    patient: str
    sweep: Sweep
    in_mm3: bool


@dataclass(frozen=True)
class SweepRequest:
    """How cases are looked at; goes to the processes that do it.

    Args:
        manner: by whose rule lesions are found, and the label scheme of the true masks.
        part: how prediction makes masks; of it, whether holes are filled.
        region: which region of the scheme is the lesion; None: whatever is labelled.
    """

    manner: ScoringConfig
    part: PredictPart
    region: str | None = None

    def sweep(self, pair: CasePair) -> SweptCase:
        """Return a case on the whole grid."""
        case = self._chances(pair)
        swept = sweep(case.probability, case.truth, case.rule, FULL_GRID)
        return SweptCase(pair.patient, swept, case.rule.spacing_known)

    def confidences(
        self, pair: CasePair, *, point: OperatingPoint
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
        """Return the mean probabilities of the predicted lesions at a point, and which of them are hits; (N,) each."""
        case = self._chances(pair)
        return confidences_at(
            case.probability, case.truth, case.rule, threshold=point.threshold, minimum_size=point.minimum_size
        )

    def _chances(self, pair: CasePair) -> LesionProbabilities:
        case = lesion_probabilities(read_pair(pair, self.manner), self.manner, region=self.region)
        if not self.part.fill_holes:
            return case
        return replace(case, rule=replace(case.rule, shape=partial(_filled, slicewise=pair.is_slices)))


def _filled(mask: npt.NDArray[np.bool_], *, slicewise: bool) -> npt.NDArray[np.bool_]:
    """Return the mask as prediction fills its holes, before it removes small pieces."""
    labels = clean_labels(mask.astype(np.uint8), PredictPart(fill_holes=True), slicewise=slicewise)
    return np.asarray(labels > 0)

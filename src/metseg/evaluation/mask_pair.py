"""The input of scoring: truth and prediction of a case on one grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class MaskPair:
    """The two masks of a case.

    Args:
        truth: (X, Y, Z), or (X, Y) for one slice; class ids.
        prediction: the same shape and label scheme.
        affine: (4, 4) voxel-to-RAS matrix, mm; None for pictures, which then have no metrics in mm.
        case: its id, for messages and tables.
        patient: id of the patient; None: the case id.
        stack_of_slices: the last axis counts pictures at unknown distances: lesions do not continue from one to the
            next, and slice-wise metrics are computed in addition to the patient's.
        warnings: from reading, one sentence each.
        probability: (X, Y, Z) float, the probability of lesion of any class, 0..1; None: not known. It is needed for
            calibration, FROC and lesion confidences.
    """

    truth: Array
    prediction: Array
    affine: npt.NDArray[np.float64] | None = None
    case: str = "case"
    patient: str | None = None
    stack_of_slices: bool = False
    warnings: tuple[str, ...] = ()
    probability: npt.NDArray[np.floating] | None = None

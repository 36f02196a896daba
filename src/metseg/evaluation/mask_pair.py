"""What is scored: truth and prediction of a case on one grid."""

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
        affine: (4, 4) voxel-to-RAS matrix, mm; None for pictures, which know nothing of space: no figure in mm.
        case: its id, for messages and tables.
        patient: who it is; None: the case is the patient.
        stack_of_slices: the last axis counts pictures, whose distance nobody knows: no lesion goes on from one to the
            next, and there are slice-wise figures beside the patient's.
        warnings: what was noticed while reading, one sentence each.
        probability: (X, Y, Z) float, the probability of lesion of any class, 0..1; None: not known. With it there are
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

"""One slice of a scored case, to show results without keeping every prediction in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metseg.inference.prediction import Prediction
from metseg.labels import LABEL_SCHEMES
from metseg.preprocess.pipeline import scheme_labels

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Snapshot:
    """The slice of a case with the most lesion in truth and prediction together.

    Args:
        patient: who it is.
        picture: (X, Y) of the sequence that is shown.
        truth: (X, Y) any class of lesion.
        prediction: (X, Y) likewise.
        voxels: how many voxels are lesion in truth or prediction.
    """

    patient: str
    picture: npt.NDArray[np.generic]
    truth: Mask
    prediction: Mask
    voxels: int


def take_snapshot(prediction: Prediction) -> Snapshot:
    """Return the snapshot of a case with truth; of a case without any lesion, the middle slice."""
    case, known = prediction.case, prediction.truth
    assert known is not None, "only cases with a mask can be scored"
    scheme = LABEL_SCHEMES[prediction.scheme]
    truth = scheme_labels(np.asarray(known.data), scheme, where=case.case_id) > 0
    found = prediction.labels > 0
    voxels = np.count_nonzero(truth | found, axis=(0, 1))
    z = int(voxels.argmax()) if voxels.any() else len(voxels) // 2
    # Copies: a view would keep the whole case in memory.
    planes = (prediction.case.background.data[:, :, z].copy(), truth[:, :, z].copy(), found[:, :, z].copy())
    return Snapshot(case.patient, *planes, voxels=int(voxels[z]))

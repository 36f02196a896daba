"""One slice of a scored case, kept so that results can be shown without holding every prediction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from metseg.labels import LABEL_SCHEMES
from metseg.plot.outlines import Panel
from metseg.predict.picture_outputs import background
from metseg.predict.predictor import Prediction
from metseg.preprocess.pipeline import scheme_labels
from metseg.volume import Case

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


def take_snapshot(prediction: Prediction, case: Case) -> Snapshot:
    """Return the snapshot of a case with truth; of a case without any lesion, the middle slice."""
    assert case.labels is not None, "only cases with truth are scored"
    scheme = LABEL_SCHEMES[prediction.scheme]
    truth = scheme_labels(np.asarray(case.labels.data), scheme, where=case.case_id) > 0
    found = prediction.labels > 0
    voxels = np.count_nonzero(truth | found, axis=(0, 1))
    z = int(voxels.argmax()) if voxels.any() else len(voxels) // 2
    # Copies: a view would keep the whole case in memory.
    planes = (background(prediction)[:, :, z].copy(), truth[:, :, z].copy(), found[:, :, z].copy())
    return Snapshot(case.patient, *planes, voxels=int(voxels[z]))


def best_median_worst(dice: Mapping[str, float]) -> dict[str, str]:
    """Return "best", "median" and "worst" to patient; with fewer than three patients, each of them once.

    Equal figures are ordered by the patient's name; of an even number, the median is the lower of the two middle ones.

    >>> best_median_worst({"a": 0.5, "b": 0.9, "c": 0.1, "d": 0.7})
    {'best': 'b', 'median': 'a', 'worst': 'c'}
    >>> best_median_worst({"a": 0.5})
    {'best': 'a'}
    """
    ranked = sorted(dice, key=lambda patient: (dice[patient], patient))
    chosen = {"best": ranked[-1], "median": ranked[(len(ranked) - 1) // 2], "worst": ranked[0]}
    distinct: dict[str, str] = {}
    for place in ("best", "worst", "median"):
        if chosen[place] not in distinct.values():
            distinct[place] = chosen[place]
    return {place: distinct[place] for place in chosen if place in distinct}


def panels(snapshots: Sequence[Snapshot], dice: Mapping[str, float]) -> list[Panel]:
    """Return the panels of the best, the median and the worst patient.

    Args:
        snapshots: at least one per patient; of several, the one with the most lesion is shown.
        dice: patient to figure.
    """
    shown = []
    for place, patient in best_median_worst(dice).items():
        one = max((item for item in snapshots if item.patient == patient), key=lambda item: item.voxels)
        title = f"{place}: {patient}\nDice {dice[patient]:.3f}"
        shown.append(Panel(one.picture, one.truth, one.prediction, title))
    return shown

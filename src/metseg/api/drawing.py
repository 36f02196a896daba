"""Draw a slice of a prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from metseg.argument_checks import require_instance
from metseg.class_styles import class_styles
from metseg.errors import InputError
from metseg.inference.prediction import Prediction
from metseg.plot.images.overlay import TRUTH_COLOUR, draw_labels, draw_outline, grey

if TYPE_CHECKING:
    from metseg.volume import Volume


def overlay(prediction: Prediction, z: int | None = None, *, truth: bool = False) -> npt.NDArray[np.uint8]:
    """Draw the predicted lesions on a grey slice, as an image for ``matplotlib.pyplot.imshow``.

    Args:
        prediction: from `metseg.predict`.
        z: slice number, from 0, along the third axis; None: the slice with the most lesion.
        truth: also draw the outline of the truth, in green.
    Returns:
        (rows, columns, 3) uint8.
    Raises:
        InputError: the slice does not exist, or the case has no ground-truth mask.
        UsageError: an argument of a wrong type.

    Examples:
        Show it::

            plt.imshow(metseg.overlay(prediction, truth=True))

    `metseg.Prediction.plot` draws whole figures.
    """
    require_instance("prediction", prediction, Prediction, expected="a metseg.Prediction")
    labels = prediction.labels
    if z is None:
        z = int(np.count_nonzero(labels, axis=(0, 1)).argmax())
    if not 0 <= require_instance("z", z, int, expected="a whole number, or None") < labels.shape[2]:
        raise InputError(
            "the slice does not exist",
            where=prediction.case.case_id,
            expected=f"0 to {labels.shape[2] - 1}",
            got=z,
            cure="count slices from 0",
        )
    drawn = draw_labels(
        grey(prediction.case.background.data[:, :, z]), labels[:, :, z], class_styles(prediction.scheme)
    )
    if truth:
        drawn = draw_outline(drawn, _truth(prediction).data[:, :, z] != 0, TRUTH_COLOUR)
    return drawn.transpose(1, 0, 2)


def _truth(prediction: Prediction) -> Volume:
    truth = prediction.truth
    if truth is None:
        raise InputError(
            "the case has no ground-truth mask to draw",
            where=prediction.case.case_id,
            cure="draw the prediction alone, or read the case with its masks",
            code="input.no_truth",
        )
    return truth

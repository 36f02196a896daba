"""The difference of the two volumes, as a share of their mean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metseg.evaluation import metric_of_masks

Mask = npt.NDArray[np.bool_]


def volume_error(truth: Mask, prediction: Mask, spacing_mm: tuple[float, float, float] | None) -> float:
    """Return the absolute difference of the volumes in percent of their mean; 0 where both masks are empty."""
    true, predicted = int(truth.sum()), int(prediction.sum())
    return 200 * abs(predicted - true) / (predicted + true) if predicted + true else 0.0


VOLUME_ERROR = metric_of_masks(
    volume_error, title="Volume error", unit="%", better="lower", empty=None, symmetric=True, number_format=".2f"
)

"""Confidence of a predicted lesion, from the mean probability over its voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Probabilities are clipped to this distance from 0 and 1, because their logits are infinite.
CLIP = 1e-4


@dataclass(frozen=True)
class ConfidenceMap:
    """Map the mean probability of a predicted lesion to the probability that it is a true lesion (Platt 1999).

    ``1 / (1 + exp(-(slope · logit(p) + intercept)))``; slope 1 and intercept 0 leave p as it is.

    Args:
        slope: below 1 if the model is overconfident.
        intercept: below 0 if it predicts too many lesions.
    """

    slope: float = 1.0
    intercept: float = 0.0

    def __call__(self, probabilities: Floats) -> Floats:
        """Return the confidences of lesions with these mean probabilities, any shape.

        >>> ConfidenceMap(slope=1.0, intercept=-1.0)(np.array([0.5])).round(3).tolist()
        [0.269]
        """
        if self == IDENTITY:
            return probabilities
        return np.asarray(1 / (1 + np.exp(-(self.slope * logits(probabilities) + self.intercept))))


#: Returns every probability unchanged.
IDENTITY = ConfidenceMap()


def logits(probabilities: Floats) -> Floats:
    """Return log(p / (1 - p)) of probabilities, clipped slightly away from 0 and 1."""
    clipped = np.clip(np.asarray(probabilities, dtype=np.float64), CLIP, 1 - CLIP)
    return np.asarray(np.log(clipped / (1 - clipped)))

"""What is kept of a case's probability map: counts of a fixed size, whatever the image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from metseg.errors import GeometryError, InputError
from metseg.evaluation.lesions.threshold_sweep import Sweep, SweepRule, sweep
from metseg.evaluation.statistics.calibration import EDGES, reliability_histogram
from metseg.evaluation.statistics.confidence_intervals import Floats

#: Probabilities this far outside of 0..1 are rounding of a stored slope, and are cut off.
ROUNDING = 1e-4


@dataclass(frozen=True)
class ProbabilityStats:
    """The probability map of one case, as summaries need it.

    Args:
        voxels: (bins, 4) `reliability_histogram` of all voxels against lesion of any class.
        sweep: lesions found and false ones over the threshold.
    """

    voxels: Floats
    sweep: Sweep

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return {"voxels": self.voxels.tolist(), "sweep": self.sweep.to_json()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ProbabilityStats:
        """Return what `to_json` was given.

        Raises:
            KeyError, TypeError, ValueError: the document is another one.
        """
        voxels = np.array(document["voxels"], dtype=np.float64).reshape(len(EDGES) - 1, 4)
        return cls(voxels, Sweep.from_json(document["sweep"]))


def probability_stats(
    probability: npt.NDArray[np.floating], truth: npt.NDArray[np.bool_], rule: SweepRule
) -> ProbabilityStats:
    """Return what is kept of a probability map.

    Args:
        probability: (X, Y, Z), 0..1.
        truth: (X, Y, Z); lesion of any class.
        rule: by which lesions are made and matched.
    """
    return ProbabilityStats(reliability_histogram(probability, truth), sweep(probability, truth, rule))


def checked_probability(
    probability: npt.NDArray[np.generic], shape: tuple[int, ...], *, where: object
) -> npt.NDArray[np.floating]:
    """Return a probability map as floats in 0..1.

    Args:
        probability: of the case.
        shape: of its masks.
        where: the case or file, for messages.
    Raises:
        GeometryError: another shape.
        InputError: NaN, or values outside of 0..1.
    """
    if probability.shape != shape:
        raise GeometryError(
            "the probability map differs from the truth in shape",
            where=where,
            expected=shape,
            got=probability.shape,
            cure="save probabilities on the grid of the masks; metseg does not resample them",
            code="input.shape_mismatch",
        )
    is_float = np.issubdtype(probability.dtype, np.floating)
    floats: npt.NDArray[np.floating] = np.asarray(probability, dtype=None if is_float else np.float32)
    low, high = float(floats.min()), float(floats.max())
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # NaN is neither
        raise InputError(
            "the probability map contains values that are not probabilities",
            where=where,
            expected="0 to 1",
            got=f"{low:g} to {high:g}",
            cure="give probabilities, not logits or class ids",
            code="input.probability",
        )
    return floats if low >= 0 and high <= 1 else np.clip(floats, 0, 1)

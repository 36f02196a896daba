"""Statistics of a case's probability map, with a size that does not depend on the image."""

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

#: Probabilities outside of 0..1 by at most this are due to the rounding of a stored slope; they are clipped.
ROUNDING = 1e-4


@dataclass(frozen=True)
class ProbabilityStats:
    """Statistics of the probability map of one case, for summaries.

    Args:
        voxels: (bins, 4) `reliability_histogram` of all voxels against lesion of any class.
        sweep: found and false positive lesions over the threshold.
    """

    voxels: Floats
    sweep: Sweep

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"voxels": self.voxels.tolist(), "sweep": self.sweep.to_json()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ProbabilityStats:
        """Create it from the output of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: the document has another format.
        """
        voxels = np.array(document["voxels"], dtype=np.float64).reshape(len(EDGES) - 1, 4)
        return cls(voxels, Sweep.from_json(document["sweep"]))


def probability_stats(
    probability: npt.NDArray[np.floating], truth: npt.NDArray[np.bool_], rule: SweepRule
) -> ProbabilityStats:
    """Return the statistics of a probability map.

    Args:
        probability: (X, Y, Z), 0..1.
        truth: (X, Y, Z); lesion of any class.
        rule: how lesions are separated and matched.
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

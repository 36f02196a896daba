"""The scores of a case: every metric of every region."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from metseg.evaluation.lesions.lesion_counts import LesionCounts
from metseg.evaluation.lesions.lesion_scores import LesionScore
from metseg.evaluation.metrics.overlap import Confusion
from metseg.evaluation.metrics.slice_metrics import SliceScores
from metseg.evaluation.statistics.probability_stats import ProbabilityStats
from metseg.registry import lookup


@dataclass(frozen=True)
class RegionScores(Mapping[str, float | None]):
    """The scores of one region of one case: a mapping from metric to value.

    Args:
        metrics: column of `METRICS` to value; None if the protocol or the data do not define it.
        counts: confusion counts over all voxels, so that cases can be pooled.
        lesions: the lesions of the truth, then the false positives.
        slices: slice-wise Dice, for stacks of slices.
        tally: lesion counts for summaries; None for scores stored by an older version.
    """

    metrics: Mapping[str, float | None]
    counts: Confusion
    lesions: tuple[LesionScore, ...]
    slices: SliceScores | None = None
    tally: LesionCounts | None = None

    def __getitem__(self, column: str) -> float | None:
        return lookup("metric", self.metrics, column)

    def __iter__(self) -> Iterator[str]:
        return iter(self.metrics)

    def __len__(self) -> int:
        return len(self.metrics)

    def __contains__(self, column: object) -> bool:
        return column in self.metrics


@dataclass(frozen=True)
class CaseScores(Mapping[str, RegionScores]):
    """The scores of one case under one protocol: a mapping from region to `RegionScores`.

    Args:
        case: its id.
        patient: id of the patient; means, intervals and tests are over patients.
        protocol: name of the protocol; columns can have another meaning under another protocol.
        regions: region name to scores.
        joint: (K, K) counts of true (rows) and predicted (columns) classes, background first.
        warnings: one sentence each.
        chances: statistics of the probability map; None if the case has none.
    """

    case: str
    patient: str
    protocol: str
    regions: Mapping[str, RegionScores]
    joint: npt.NDArray[np.int64]
    warnings: tuple[str, ...] = ()
    chances: ProbabilityStats | None = None

    def __getitem__(self, region: str) -> RegionScores:
        return lookup("region", self.regions, region)

    def __iter__(self) -> Iterator[str]:
        return iter(self.regions)

    def __len__(self) -> int:
        return len(self.regions)

    def __contains__(self, region: object) -> bool:
        return region in self.regions


def without_lesions(scores: CaseScores) -> CaseScores:
    """Return the scores without single lesions, which are in the tables and would use much memory."""
    return replace(scores, regions={name: replace(region, lesions=()) for name, region in scores.regions.items()})

"""The sections of a summary that need more than metrics per case: detection, volumes, calibration, FROC."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from metseg.evaluation.lesions.detection import Detection, Froc, detection_rates, froc_curve
from metseg.evaluation.lesions.lesion_counts import LesionCounts, add_counts
from metseg.evaluation.scores import CaseScores
from metseg.evaluation.statistics.calibration import Calibration, calibration_error
from metseg.evaluation.statistics.confidence_intervals import Interval
from metseg.evaluation.statistics.volume_agreement import Moments, VolumeAgreement, Volumes, moments, volume_agreement
from metseg.measure import MM3_PER_ML

Part = TypeVar("Part")


@dataclass(frozen=True)
class Draws:
    """Settings of the bootstrap.

    Args:
        resamples: how many.
        seed: of the draws.
    """

    resamples: int
    seed: int


@dataclass(frozen=True)
class Probabilities:
    """Quality of the probability maps of a set, for lesion of any class.

    Args:
        cases: number of cases with a probability map; the others are ignored.
        voxels: calibration over voxels.
        froc: sensitivity against false positives over the threshold.
    """

    cases: int
    voxels: Calibration
    froc: Froc


def by_patient(scores: Sequence[CaseScores], part: Callable[[CaseScores], Part | None]) -> Mapping[str, list[Part]]:
    """Return the values of each patient's cases, in the order of the cases; cases without a value are left out."""
    gathered: dict[str, list[Part]] = {}
    for score in scores:
        found = part(score)
        if found is not None:
            gathered.setdefault(score.patient, []).append(found)
    return gathered


def detection_section(
    scores: Sequence[CaseScores], region: str, false_positives: Interval | None, draws: Draws
) -> Detection | None:
    """Return the detection results of a region; None if the scores were stored without lesion counts."""
    tallies = _tallies(scores, region)
    if false_positives is None or not tallies:
        return None
    return detection_rates(tallies, false_positives, resamples=draws.resamples, seed=draws.seed)


def confidence_section(scores: Sequence[CaseScores], region: str, draws: Draws) -> Calibration | None:
    """Return the calibration of lesion confidences; None if there are none."""
    histograms = [tally.confidence for tally in _tallies(scores, region) if tally.confidence is not None]
    return calibration_error(histograms, resamples=draws.resamples, seed=draws.seed)


def volumes_section(scores: Sequence[CaseScores], region: str, draws: Draws) -> Volumes | None:
    """Return the agreement of volumes in a region; None without a spacing."""
    of_cases = by_patient(scores, lambda score: _case_volumes(score, region))
    if not of_cases:
        return None
    total = [moments(*(np.array(pairs).T / MM3_PER_ML)) for pairs in of_cases.values()]
    of_lesions = [tally.volumes for tally in _tallies(scores, region)]
    agreement = _agreement(total, draws)
    assert agreement is not None  # every patient here has a pair of volumes
    return Volumes(agreement, _agreement(of_lesions, draws))


def probabilities_section(scores: Sequence[CaseScores], draws: Draws) -> Probabilities | None:
    """Return the quality of the probability maps; None if there are none."""
    chances = by_patient(scores, lambda score: score.chances)
    if not chances:
        return None
    histograms = [np.sum([one.voxels for one in cases], axis=0) for cases in chances.values()]
    voxels = calibration_error(histograms, resamples=draws.resamples, seed=draws.seed)
    assert voxels is not None  # a case has at least one voxel
    sweeps = [[one.sweep for one in cases] for cases in chances.values()]
    return Probabilities(
        cases=sum(map(len, sweeps)),
        voxels=voxels,
        froc=froc_curve(sweeps, resamples=draws.resamples, seed=draws.seed),
    )


def _tallies(scores: Sequence[CaseScores], region: str) -> list[LesionCounts]:
    """Return the lesion counts of each patient; nothing if a case lacks them."""
    if any(score[region].tally is None for score in scores):
        return []
    return [add_counts(cases) for cases in by_patient(scores, lambda score: score[region].tally).values()]


def _case_volumes(score: CaseScores, region: str) -> tuple[float, float] | None:
    truth, predicted = (score[region].metrics[name] for name in ("truth_volume_mm3", "predicted_volume_mm3"))
    return None if truth is None or predicted is None else (truth, predicted)


def _agreement(sums: Sequence[Moments], draws: Draws) -> VolumeAgreement | None:
    return volume_agreement(sums, resamples=draws.resamples, seed=draws.seed)

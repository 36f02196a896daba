"""Summarise many cases: means over patients with intervals, and counts of empty and undefined cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from metseg.errors import InputError
from metseg.evaluation.empty_masks import Emptiness
from metseg.evaluation.lesions.detection import Detection
from metseg.evaluation.metrics.metric_table import METRICS
from metseg.evaluation.metrics.overlap import micro_averaged_with_background
from metseg.evaluation.scores import CaseScores
from metseg.evaluation.statistics.calibration import Calibration
from metseg.evaluation.statistics.confidence_intervals import (
    LEVEL,
    RESAMPLES,
    Interval,
    bootstrap_intervals,
    bootstrap_mean,
    patient_means,
)
from metseg.evaluation.statistics.summary_sections import (
    Draws,
    Probabilities,
    confidence_section,
    detection_section,
    probabilities_section,
    volumes_section,
)
from metseg.evaluation.statistics.trivial_predictions import trivial_predictions
from metseg.evaluation.statistics.volume_agreement import Volumes


@dataclass(frozen=True)
class RegionSummary:
    """One region over all patients.

    Args:
        metrics: column of `METRICS` to interval; None if no patient has a value.
        slice_metrics: slice-wise Dice over all slices of the set, resampled by patient; empty for volumes.
        empty: numbers of cases with an empty truth only, an empty prediction only, and both empty.
        lesions: total numbers of found, missed and false positive lesions.
        detection: by size of the lesions, with precision and F1; None for scores of an older version.
        volume: agreement of volumes; None if the data have no spacing.
        confidence: calibration of the confidence of predicted lesions: bins are over predicted lesions, `observed` is
            the share of hits; None without probabilities or without a predicted lesion.
    """

    metrics: dict[str, Interval | None]
    slice_metrics: dict[str, Interval | None]
    empty: dict[str, int]
    lesions: dict[str, int]
    detection: Detection | None = None
    volume: Volumes | None = None
    confidence: Calibration | None = None

    @property
    def counts_lesions_in_slices(self) -> bool:
        """Return whether a lesion is counted once in each slice that shows it, as in all slice stacks."""
        return bool(self.slice_metrics)


#: What a number of lesions of slice stacks means: the distance of the slices is not known, so lesions are not joined.
LESIONS_IN_SLICES = "lesions are counted in each slice: a lesion that five slices show counts as five"


@dataclass(frozen=True)
class Summary:
    """All cases under one protocol.

    Args:
        protocol: its name.
        cases: how many.
        patients: number of patients; means and intervals are over these.
        regions: region name to summary.
        pixels: micro-averaged figures over all pixels of all classes, background included.
        warnings: of all cases, after those in `trivial`.
        trivial: warnings on trivial predictions, see `trivial_predictions`; usually empty.
        probabilities: None if no case has a probability map.
        resamples: of the bootstrap.
        seed: of its draws.
    """

    protocol: str
    cases: int
    patients: int
    regions: dict[str, RegionSummary]
    pixels: dict[str, float]
    warnings: tuple[str, ...]
    trivial: tuple[str, ...] = ()
    probabilities: Probabilities | None = None
    resamples: int = RESAMPLES
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the document of `summary.json`."""
        return {
            "protocol": self.protocol,
            "cases": self.cases,
            "patients": self.patients,
            "interval": {"over": "patients", "level": LEVEL, "resamples": self.resamples, "seed": self.seed},
            "regions": {name: _region_json(region) for name, region in self.regions.items()},
            "all_pixels_of_all_classes": self.pixels,
            "probabilities": _json(self.probabilities),
            "trivial": list(self.trivial),
            "warnings": list(self.warnings),
        }


def summarize(
    scores: Sequence[CaseScores], *, resamples: int = RESAMPLES, seed: int = 0, warnings: Sequence[str] = ()
) -> Summary:
    """Return the summary of cases scored under one protocol.

    Args:
        scores: at least one case; several of one patient are averaged first.
        resamples: of the bootstrap.
        seed: of its draws.
        warnings: of the data set as a whole, put before the cases' own.
    Raises:
        InputError: no case, or cases of different protocols or regions.
    """
    if not scores:
        raise InputError("there is no case to summarise", code="input.no_cases")
    kinds = {(score.protocol, tuple(score.regions)) for score in scores}
    if len(kinds) > 1:
        raise InputError("cases of different protocols or regions cannot be averaged", got=sorted(kinds))
    protocol, regions = kinds.pop()
    trivial = trivial_predictions(scores)
    return Summary(
        protocol=protocol,
        cases=len(scores),
        patients=len({score.patient for score in scores}),
        regions={region: _summarise_region(scores, region, Draws(resamples, seed)) for region in regions},
        pixels=micro_averaged_with_background(np.sum([score.joint for score in scores], axis=0)),
        trivial=trivial,
        warnings=(*trivial, *warnings, *(warning for score in scores for warning in score.warnings)),
        probabilities=probabilities_section(scores, Draws(resamples, seed)),
        resamples=resamples,
        seed=seed,
    )


def _summarise_region(scores: Sequence[CaseScores], region: str, draws: Draws) -> RegionSummary:
    table = {
        column: patient_means((score.patient, score[region].metrics[column]) for score in scores) for column in METRICS
    }
    found = Counter(score[region].counts.emptiness for score in scores)
    metrics = bootstrap_intervals(table, resamples=draws.resamples, seed=draws.seed)
    return RegionSummary(
        metrics=metrics,
        slice_metrics=_slice_metrics(scores, region, draws),
        empty={
            "truth_only": found[Emptiness.TRUTH],
            "prediction_only": found[Emptiness.PREDICTION],
            "both": found[Emptiness.BOTH],
        },
        lesions={name: int(sum(score[region].metrics[name] or 0 for score in scores)) for name in LESION_COUNTS},
        detection=detection_section(scores, region, metrics["n_fp"], draws),
        volume=volumes_section(scores, region, draws),
        confidence=confidence_section(scores, region, draws),
    )


#: Columns that are summed over all cases.
LESION_COUNTS = ("n_tp", "n_fn", "n_fp")


def _slice_metrics(scores: Sequence[CaseScores], region: str, draws: Draws) -> dict[str, Interval | None]:
    """Return the slice-wise metrics as published tables report them: over all slices of the set, equally weighted."""
    stacks = [(score.patient, slices) for score in scores if (slices := score[region].slices) is not None]
    if not stacks:
        return {}

    positive = [(who, one.dice_positive_slices, one.n_positive_slices) for who, one in stacks]
    every = [(who, one.dice_all_slices, one.n_slices) for who, one in stacks]
    return {
        "dice_positive_slices": _over_slices(positive, draws),
        "dice_all_slices": _over_slices(every, draws),
    }


def _over_slices(stacks: Sequence[tuple[str, float | None, int]], draws: Draws) -> Interval | None:
    """Return the mean over slices from (patient, mean over the stack's slices, number of slices) of each stack."""
    sums: dict[str, float] = {}
    slices: dict[str, int] = {}
    for patient, mean, count in stacks:
        if mean is not None:
            sums[patient] = sums.get(patient, 0.0) + mean * count
            slices[patient] = slices.get(patient, 0) + count
    if not slices:
        return None
    means = [sums[patient] / slices[patient] for patient in slices]
    interval = bootstrap_mean(means, weights=list(slices.values()), resamples=draws.resamples, seed=draws.seed)
    return replace(interval, undefined=len({patient for patient, _, _ in stacks}) - len(slices))


def _region_json(region: RegionSummary) -> dict[str, Any]:
    found = region.lesions
    return {
        "metrics": {name: _json(interval) for name, interval in region.metrics.items()},
        "slice_metrics": {name: _json(interval) for name, interval in region.slice_metrics.items()},
        "empty_cases": region.empty,
        "lesions": {"found": found["n_tp"], "missed": found["n_fn"], "false": found["n_fp"]},
        "detection": _json(region.detection),
        "volume": _json(region.volume),
        "confidence": _json(region.confidence),
    }


def _json(section: Interval | Detection | Volumes | Calibration | Probabilities | None) -> dict[str, Any] | None:
    """Return a section with its fields as keys; undefined sections stay null."""
    return None if section is None else asdict(section)

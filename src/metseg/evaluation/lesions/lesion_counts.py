"""Lesion counts of a case for summaries: a fixed set of numbers per region, for any number of lesions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metseg.evaluation.lesions.lesion_scores import DIAMETER_BINS, LesionScore, LesionTable, diameter_bin
from metseg.evaluation.statistics.calibration import EDGES, reliability_histogram
from metseg.evaluation.statistics.confidence_intervals import Floats
from metseg.evaluation.statistics.volume_agreement import Moments, moments
from metseg.measure import MM3_PER_ML

Counts = tuple[int, ...]

#: The bins of the diameter, and one for lesions without one.
_PLACES: Mapping[str | None, int] = {name: place for place, name in enumerate((*DIAMETER_BINS, None))}


@dataclass(frozen=True)
class LesionCounts:
    """The lesions of one region of one case, or of all cases of a patient, as numbers that add up.

    Args:
        lesions: number of scored true lesions by bin of the longest diameter (`DIAMETER_BINS`); the last entry counts
            lesions without a known diameter, because the data have no spacing.
        found: number of these that were found.
        false: false positives, in the same bins.
        volumes: of the found lesions against the predicted ones joined to them; all 0 without a spacing.
        confidence: (bins, 4) `reliability_histogram` of the confidences of all predicted lesions against whether they
            are hits; None without probabilities.
    """

    lesions: Counts
    found: Counts
    false: Counts
    volumes: Moments
    confidence: Floats | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "lesions": list(self.lesions),
            "found": list(self.found),
            "false": list(self.false),
            "volumes": list(self.volumes),
            "confidence": None if self.confidence is None else self.confidence.tolist(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> LesionCounts:
        """Create it from the output of `to_json`.

        Raises:
            KeyError, TypeError, ValueError: the document has another format.
        """
        confidence = document["confidence"]
        return cls(
            lesions=tuple(document["lesions"]),
            found=tuple(document["found"]),
            false=tuple(document["false"]),
            volumes=Moments(*document["volumes"]),
            confidence=None if confidence is None else np.array(confidence).reshape(len(EDGES) - 1, 4),
        )


def count_lesions(table: LesionTable) -> LesionCounts:
    """Return the numbers of one region of one case."""
    scored = [lesion for lesion in table.lesions if lesion.is_true and lesion.scored]
    detected = [lesion for lesion in scored if lesion.detected]
    return LesionCounts(
        lesions=_by_bin(scored),
        found=_by_bin(detected),
        false=_by_bin([lesion for lesion in table.lesions if not lesion.is_true]),
        volumes=_volumes(detected),
        confidence=None if table.confidences is None else reliability_histogram(table.confidences, table.hits),
    )


def add_counts(tallies: Sequence[LesionCounts]) -> LesionCounts:
    """Return the sum of at least one tally; either all have confidences or none has."""
    confidences = [tally.confidence for tally in tallies if tally.confidence is not None]
    return LesionCounts(
        lesions=_summed([tally.lesions for tally in tallies]),
        found=_summed([tally.found for tally in tallies]),
        false=_summed([tally.false for tally in tallies]),
        volumes=Moments(*(sum(column) for column in zip(*(tally.volumes for tally in tallies), strict=True))),
        confidence=np.sum(confidences, axis=0) if confidences else None,
    )


def _by_bin(lesions: Sequence[LesionScore]) -> Counts:
    counts = [0] * len(_PLACES)
    for lesion in lesions:
        diameter = lesion.size.longest_diameter_mm
        counts[_PLACES[None if diameter is None else diameter_bin(diameter)]] += 1
    return tuple(counts)


def _volumes(lesions: Sequence[LesionScore]) -> Moments:
    pairs = [
        (lesion.size.volume_mm3, lesion.predicted_volume_mm3)
        for lesion in lesions
        if lesion.size.volume_mm3 is not None and lesion.predicted_volume_mm3 is not None
    ]
    truth, predicted = np.array(pairs, dtype=np.float64).reshape(-1, 2).T / MM3_PER_ML
    return moments(truth, predicted)


def _summed(counts: Sequence[Counts]) -> Counts:
    return tuple(sum(column) for column in zip(*counts, strict=True))

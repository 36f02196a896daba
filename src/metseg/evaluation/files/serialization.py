"""Scores as plain JSON and back, digit for digit: what was scored once need not be scored again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from metseg.evaluation.lesions.lesion_counts import LesionCounts
from metseg.evaluation.metrics.metric_table import METRICS
from metseg.evaluation.metrics.overlap import Confusion
from metseg.evaluation.metrics.slice_metrics import SliceScores
from metseg.evaluation.scores import CaseScores, RegionScores
from metseg.evaluation.statistics.probability_stats import ProbabilityStats


def scores_to_json(scores: CaseScores) -> dict[str, Any]:
    """Return the scores of a case as JSON can hold them; its single lesions, which no summary needs, are left out.

    Documents of older versions know neither tally nor chances; they are read all the same.
    """
    return {
        "case": scores.case,
        "patient": scores.patient,
        "protocol": scores.protocol,
        "regions": {
            name: {
                "values": dict(region.values),
                "counts": asdict(region.counts),
                "slices": None if region.slices is None else asdict(region.slices),
                "tally": None if region.tally is None else region.tally.to_json(),
            }
            for name, region in scores.regions.items()
        },
        "joint": scores.joint.tolist(),
        "chances": None if scores.chances is None else scores.chances.to_json(),
        "warnings": list(scores.warnings),
    }


def scores_from_json(document: Mapping[str, Any]) -> CaseScores:
    """Return the scores that `scores_to_json` was given, without their lesions.

    A metric that there was not when they were stored is not known of them.

    Raises:
        KeyError, TypeError, ValueError: the document is another one.
    """
    return CaseScores(
        case=document["case"],
        patient=document["patient"],
        protocol=document["protocol"],
        regions={
            name: RegionScores(
                values={**dict.fromkeys(METRICS), **region["values"]},
                counts=Confusion(**region["counts"]),
                lesions=(),
                slices=None if region["slices"] is None else SliceScores(**region["slices"]),
                tally=None if region.get("tally") is None else LesionCounts.from_json(region["tally"]),
            )
            for name, region in document["regions"].items()
        },
        joint=np.asarray(document["joint"], dtype=np.int64),
        warnings=tuple(document["warnings"]),
        chances=None if document.get("chances") is None else ProbabilityStats.from_json(document["chances"]),
    )

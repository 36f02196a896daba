"""Convert scores to JSON and back without loss, so that they can be reused."""

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
    """Return the scores of a case as JSON values, without single lesions, which no summary needs.

    Documents of older versions without ``tally`` and ``chances`` can be read too.
    """
    return {
        "case": scores.case,
        "patient": scores.patient,
        "protocol": scores.protocol,
        "regions": {
            name: {
                "values": dict(region.metrics),
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
    """Return the scores from the output of `scores_to_json`, without lesions.

    Metrics that did not exist when the scores were stored are None.

    Raises:
        KeyError, TypeError, ValueError: the document has another format.
    """
    return CaseScores(
        case=document["case"],
        patient=document["patient"],
        protocol=document["protocol"],
        regions={
            name: RegionScores(
                metrics={**dict.fromkeys(METRICS), **region["values"]},
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

"""Scores as plain JSON and back, digit for digit: what was scored once need not be scored again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from metseg.evaluate.case import CaseScores, RegionScores
from metseg.evaluate.overlap import Confusion
from metseg.evaluate.slices import SliceScores


def scores_to_json(scores: CaseScores) -> dict[str, Any]:
    """Return the scores of a case as JSON can hold them; its single lesions, which no summary needs, are left out."""
    return {
        "case": scores.case,
        "patient": scores.patient,
        "protocol": scores.protocol,
        "regions": {
            name: {
                "values": dict(region.values),
                "counts": asdict(region.counts),
                "slices": None if region.slices is None else asdict(region.slices),
            }
            for name, region in scores.regions.items()
        },
        "joint": scores.joint.tolist(),
        "warnings": list(scores.warnings),
    }


def scores_from_json(document: Mapping[str, Any]) -> CaseScores:
    """Return the scores that `scores_to_json` was given, without their lesions.

    Raises:
        KeyError, TypeError, ValueError: the document is another one.
    """
    return CaseScores(
        case=document["case"],
        patient=document["patient"],
        protocol=document["protocol"],
        regions={
            name: RegionScores(
                values=dict(region["values"]),
                counts=Confusion(**region["counts"]),
                lesions=(),
                slices=None if region["slices"] is None else SliceScores(**region["slices"]),
            )
            for name, region in document["regions"].items()
        },
        joint=np.asarray(document["joint"], dtype=np.int64),
        warnings=tuple(document["warnings"]),
    )

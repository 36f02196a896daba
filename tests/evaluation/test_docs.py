"""The page that explains the numbers explains all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metseg.evaluation import METRICS, PROTOCOLS, SLICE_METRICS, MaskPair, evaluate_masks, summarize
from metseg.evaluation.files.score_tables import lesion_table_columns

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text("utf-8")

#: Keys that any interval has, explained once, and those of bins and the like that their names explain.
PLAIN = {
    *("mean", "low", "high", "count", "unit", "observations", "threshold", "diameter_mm", "resamples", "level", "over"),
    *("seed", "found", "missed", "false", "both", "truth_only", "prediction_only", "cases", "voxels", "regions"),
    "lesion",
}


def keys(document: Any) -> Iterator[str]:
    """Yield every key of a document."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield key
            yield from keys(value)
    elif isinstance(document, list | tuple):
        for value in document:
            yield from keys(value)


@pytest.mark.parametrize("name", [*METRICS, *SLICE_METRICS, *PROTOCOLS, *lesion_table_columns()[2:]])
def test_every_column_and_protocol_is_explained(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_every_key_of_a_summary_is_explained() -> None:
    truth = np.zeros((8, 8, 8), dtype=np.uint8)
    truth[2:5, 2:5, 2:5] = 1
    scores = evaluate_masks(MaskPair(truth, truth, np.eye(4), probability=truth * np.float32(0.9)))
    found = keys(summarize([scores], resamples=20).to_json())
    named = {name for name in found if not name.startswith("micro_")} - PLAIN
    assert {name for name in named if f"`{name}`" not in PAGE and f".{name}`" not in PAGE} == set()

"""Text fragments shared by the descriptions of several steps; see `StepSpec.describe`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: The record of a step, as `metseg.preprocess.prepared_case.Record.to_json` gives it.
Details = Mapping[str, Any]


def scope_text(record: Details) -> str:
    """Return the scope of the statistics in words."""
    whole = {"case": "over the study", "slice": "slice by slice"}[record["scope"]]
    region = {"head": "within the head", "interior": "within the head without its shell", "all": "over all voxels"}
    return f"each sequence separately, {whole}, {region[record['region']]}"


def size_text(size: Sequence[int]) -> str:
    """Return a size in voxels.

    >>> size_text([240, 240, 155])
    '240 × 240 × 155'
    """
    return " × ".join(str(int(extent)) for extent in size)

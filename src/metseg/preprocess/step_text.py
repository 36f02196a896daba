"""What the sentences of several steps have in common; see `StepSpec.describe`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

#: The record of a step, as `metseg.preprocess.prepared_case.Record.to_json` gives it.
Details = Mapping[str, Any]


def scope_text(record: Details) -> str:
    """Return over what the statistics were taken."""
    whole = {"case": "over the study", "slice": "slice by slice"}[record["scope"]]
    region = {"head": "within the head", "interior": "within the head without its shell", "all": "over all voxels"}
    return f"each sequence by itself, {whole}, {region[record['region']]}"


def size_text(size: Sequence[int]) -> str:
    """Return a size in voxels.

    >>> size_text([240, 240, 155])
    '240 × 240 × 155'
    """
    return " × ".join(str(int(extent)) for extent in size)

"""Describe the preprocessing of a study; each step of the table describes its own record."""

from __future__ import annotations

from collections.abc import Sequence

from metseg.preprocess import STEPS
from metseg.preprocess.step_text import Details


def describe_steps(records: Sequence[Details]) -> tuple[str, ...]:
    """Return a sentence for each record from `metseg.preprocess.prepared_case.Record.to_json`.

    For a step that is not in the table, or cannot describe its record, the sentence only names the step.

    >>> describe_steps([{"step": "resize", "from": [300, 200], "size": [256, 256]}, {"step": "new"}])
    ('Each picture was resized from 300 × 200 to 256 × 256 pixels.', 'Step: new.')
    """
    return tuple(map(_sentence, records))


def _sentence(record: Details) -> str:
    name = str(record.get("step", "unknown"))
    describe = STEPS[name].describe if name in STEPS else None
    try:
        return f"Step: {name}." if describe is None else describe(record)
    except (KeyError, TypeError, ValueError, AttributeError):
        return f"Step: {name}."

"""Radiological names of the sequences, for people: page, reports, terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

SEQUENCE_TITLES: Final[Mapping[str, str]] = {
    "t1n": "T1 without contrast",
    "t1c": "T1 with contrast",
    "t2w": "T2",
    "t2f": "FLAIR",
    "brain_mask": "brain mask",
}


def sequence_title(sequence: str) -> str:
    """Return the radiological name of a sequence; another name is unchanged.

    >>> sequence_title("t1c"), sequence_title("adc")
    ('T1 with contrast', 'adc')
    """
    return SEQUENCE_TITLES.get(sequence, sequence)

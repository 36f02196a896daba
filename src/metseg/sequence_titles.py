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

#: Where there is little room: buttons and small pictures of the viewer.
SHORT_TITLES: Final[Mapping[str, str]] = {"t1n": "T1", "t1c": "T1c", "t2w": "T2", "t2f": "FLAIR"}


def sequence_title(sequence: str) -> str:
    """Return the radiological name of a sequence; another name is unchanged.

    >>> sequence_title("t1c"), sequence_title("adc")
    ('T1 with contrast', 'adc')
    """
    return SEQUENCE_TITLES.get(sequence, sequence)


def sequence_short_title(sequence: str) -> str:
    """Return the short name of a sequence; another name is unchanged.

    >>> sequence_short_title("t1c"), sequence_short_title("adc")
    ('T1c', 'adc')
    """
    return SHORT_TITLES.get(sequence, sequence)

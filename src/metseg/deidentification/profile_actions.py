"""What the Basic Application Level Confidentiality Profile (PS3.15, table E.1-1) does with each element.

The table, ``basic_profile_2026c.csv``, has the tags and actions of the edition 2026c, as collected by the package
dicom-anonymizer 2.1.0 of Kitware (BSD licence).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import Final


class Action(Enum):
    """What becomes of an element."""

    KEEP = "keep"
    REMOVE = "remove"
    EMPTY = "empty"
    DUMMY = "replace by a dummy value"
    UID = "replace by a pseudonym"


#: Action of the table to what is done. Where it leaves a choice, the value goes as far as images stay valid: elements
#: of type 2 are emptied, others removed; dates and times that may be of type 1 get a dummy value.
_CHOICES: Final[Mapping[str, Action]] = {
    "X": Action.REMOVE,
    "Z": Action.EMPTY,
    "D": Action.DUMMY,
    "U": Action.UID,
    "X/Z": Action.EMPTY,
    "Z/D": Action.EMPTY,
    "X/D": Action.REMOVE,
    "X/Z/D": Action.EMPTY,
    "X/Z/U*": Action.KEEP,  # a sequence of references, in which the UIDs are replaced
}
_TIMES: Final = ("DA", "TM", "DT")
#: Free text and names; where the table does not list such an element, it is removed all the same.
_FREE_TEXT: Final = ("PN", "LT", "ST", "UT", "UC", "UR")
#: Groups of curves and overlays, without the last byte, which numbers them. They are removed whole: the table removes
#: the pixels and the comments of an overlay, and what is left would be an overlay without pixels.
_DRAWINGS: Final = (0x5000, 0x6000)
_REPEATING: Final = 0xFF00


@cache
def profile_table() -> Mapping[int, str]:
    """Return tag to the action of the table, such as "X/Z".

    >>> profile_table()[0x00100010], profile_table()[0x0008103E], len(profile_table()) > 600
    ('Z', 'X', True)
    """
    text = (files("metseg.deidentification") / "basic_profile_2026c.csv").read_text("utf-8")
    return {int(row["tag"], 16): row["action"] for row in csv.DictReader(text.splitlines())}


def action_of(tag: int, vr: str) -> Action:
    """Return what becomes of a standard element.

    Args:
        tag: of the element.
        vr: its value representation.

    >>> action_of(0x00100010, "PN"), action_of(0x00280010, "US"), action_of(0x60020010, "US")
    (<Action.EMPTY: 'empty'>, <Action.KEEP: 'keep'>, <Action.REMOVE: 'remove'>)
    >>> action_of(0x00081140, "SQ"), action_of(0x00081140, "UN"), action_of(0x00080018, "UN")
    (<Action.KEEP: 'keep'>, <Action.REMOVE: 'remove'>, <Action.REMOVE: 'remove'>)
    """
    if tag >> 16 & _REPEATING in _DRAWINGS:
        return Action.REMOVE
    listed = profile_table().get(tag)
    if listed is None:
        return _of_unlisted(vr)
    if listed == "X/Z/D" and vr in _TIMES:
        return Action.DUMMY
    action = _CHOICES[listed]
    # Bytes of an unknown representation cannot be searched for UIDs and texts.
    return Action.REMOVE if vr == "UN" and action in (Action.KEEP, Action.UID) else action


def _of_unlisted(vr: str) -> Action:
    if vr in _FREE_TEXT or vr == "UN":
        return Action.REMOVE
    if vr in _TIMES:
        return Action.EMPTY
    return Action.UID if vr == "UI" else Action.KEEP

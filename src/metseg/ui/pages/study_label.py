"""Labels of studies: what they may contain, and the hint beside their fields."""

from __future__ import annotations

import re
from typing import Final

import streamlit as st

#: What a label may contain; the pattern of `metseg.schemas.Label`.
_LABEL: Final = re.compile(r"[\w .,()+#&-]*")
LABEL_HINT: Final = (
    "A few words to find the study again, such as 'visit 2'. Never the name, the birth date or the number of a patient."
)


def checked_label(given: str) -> str | None:
    """Return a label with single spaces; after a warning, None if it has signs that labels cannot have."""
    if _LABEL.fullmatch(given):
        return " ".join(given.split())
    st.warning("A label can have letters, digits, spaces and . , ( ) + # & - _ only. Remove other signs.")
    return None

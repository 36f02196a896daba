"""Which names the results of a study may have."""

from __future__ import annotations

import re

from metseg.errors import UsageError
from metseg.schemas import ARTIFACTS

_NUMBER = r"[1-9][0-9]{0,3}"
_PATTERNS = {re.compile(re.escape(name).replace(r"\{number\}", _NUMBER)): kind for name, kind in ARTIFACTS.items()}


def media_type_of(name: str) -> str:
    """Return the media type of an artifact.

    Raises:
        UsageError: ``usage.unknown_name``, no artifact is called so.

    >>> media_type_of("mask.nii.gz"), media_type_of("mask-12.png")
    ('application/gzip', 'image/png')
    """
    for pattern, media_type in _PATTERNS.items():
        if pattern.fullmatch(name):
            return media_type
    raise UsageError("no artifact is called so", expected=", ".join(ARTIFACTS), code="usage.unknown_name")


def is_artifact(name: str) -> bool:
    """Return whether an artifact may be called so.

    >>> is_artifact("report.pdf"), is_artifact("../report.pdf"), is_artifact("mask-0.png")
    (True, False, False)
    """
    return any(pattern.fullmatch(name) for pattern in _PATTERNS)

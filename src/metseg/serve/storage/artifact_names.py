"""Names and media types of the results of a study."""

from __future__ import annotations

import re

from metseg.errors import UsageError
from metseg.schemas import ARTIFACTS

_NUMBER, _SEQUENCE = r"[1-9][0-9]{0,3}", r"[a-z0-9_]{1,32}"
_PATTERNS = {
    re.compile(re.escape(name).replace(r"\{number\}", _NUMBER).replace(r"\{sequence\}", _SEQUENCE)): kind
    for name, kind in ARTIFACTS.items()
}


def media_type_of(name: str) -> str:
    """Return the media type of an artifact.

    Raises:
        UsageError: ``usage.unknown_name``, no artifact has this name.

    >>> media_type_of("mask.nii.gz"), media_type_of("mask-12.png")
    ('application/gzip', 'image/png')
    """
    for pattern, media_type in _PATTERNS.items():
        if pattern.fullmatch(name):
            return media_type
    raise UsageError("no artifact has this name", expected=", ".join(ARTIFACTS), code="usage.unknown_name")


def is_artifact(name: str) -> bool:
    """Return whether a name is a valid artifact name.

    >>> is_artifact("report.pdf"), is_artifact("../report.pdf"), is_artifact("mask-0.png")
    (True, False, False)
    >>> is_artifact("sequence-t2f.nii.gz"), is_artifact("sequence-../x.nii.gz")
    (True, False)
    """
    return any(pattern.fullmatch(name) for pattern in _PATTERNS)

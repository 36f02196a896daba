"""Names and media types of the results of a study."""

from __future__ import annotations

import re

from metseg.errors import UsageError
from metseg.schemas import ARTIFACTS

#: What stands for each part of a name in braces.
_PARTS = {"number": r"[1-9][0-9]{0,3}", "sequence": r"[a-z0-9_]{1,32}", "level": r"[1-9][0-9]?"}


def _pattern(name: str) -> re.Pattern[str]:
    pattern = re.escape(name)
    for part, values in _PARTS.items():
        pattern = pattern.replace(rf"\{{{part}\}}", values)
    return re.compile(pattern)


_PATTERNS = {_pattern(name): kind for name, kind in ARTIFACTS.items()}


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
    >>> is_artifact("attention-1.nii.gz"), is_artifact("attention-3-12.png"), is_artifact("attention-0.nii.gz")
    (True, True, False)
    """
    return any(pattern.fullmatch(name) for pattern in _PATTERNS)

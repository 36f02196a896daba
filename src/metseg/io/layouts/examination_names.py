"""Case names of public data sets that contain patient and examination; valid wherever the files are stored."""

from __future__ import annotations

import re

from metseg.io.layouts import bids, brats, ucsf_bmsr

#: Patterns with the groups ``patient`` and ``time``; no name matches two.
EXAMINATIONS = (
    brats.EXAMINATION_2015,
    brats.EXAMINATION_2018,
    brats.EXAMINATION_2023,
    ucsf_bmsr.EXAMINATION,
    bids.EXAMINATION,
)


def examination_of(case: str) -> re.Match[str] | None:
    """Return the match of a case name with the groups ``patient`` and ``time``, or None.

    >>> [examination_of(name)["patient"] for name in ("BraTS-MET-00001-000", "100101A", "sub-01_ses-2")]
    ['BraTS-MET-00001', '100101', 'sub-01']
    >>> examination_of("liver_07") is None
    True
    """
    return next((match for known in EXAMINATIONS if (match := known.match(case))), None)

"""Names that tell of which patient, and of which examination, a case is; they stay where files are moved elsewhere."""

from __future__ import annotations

import re

from metseg.io.layouts import bids, brats, ucsf_bmsr

#: Each with the groups ``patient`` and ``time``; no name fits two.
EXAMINATIONS = (
    brats.EXAMINATION_2015,
    brats.EXAMINATION_2018,
    brats.EXAMINATION_2023,
    ucsf_bmsr.EXAMINATION,
    bids.EXAMINATION,
)


def examination_of(case: str) -> re.Match[str] | None:
    """Return the match of a case's name with ``patient`` and ``time``, or None where it tells nothing.

    >>> [examination_of(name)["patient"] for name in ("BraTS-MET-00001-000", "100101A", "sub-01_ses-2")]
    ['BraTS-MET-00001', '100101', 'sub-01']
    >>> examination_of("liver_07") is None
    True
    """
    return next((match for known in EXAMINATIONS if (match := known.match(case))), None)

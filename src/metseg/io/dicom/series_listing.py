"""List the series of DICOM files, each with its sequence and the reason, for users who correct a wrong guess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metseg.io.dicom.series_description import technical_words
from metseg.io.dicom.series_scan import scan
from metseg.io.dicom.series_selection import choose


@dataclass(frozen=True)
class ListedSeries:
    """One series of a study.

    Args:
        label: the scanner's number, with the number of the stack if there are several.
        description: of the series, without words that may name a patient.
        images: how many.
        sequence: the sequence that it is taken for; None: it is left aside.
        reason: why, a sentence.
    """

    label: str
    description: str
    images: int
    sequence: str | None
    reason: str


def list_series(paths: Sequence[Path]) -> list[ListedSeries]:
    """Return the series in files or archives, in the order of the scanner's numbers within each study.

    Raises:
        InputError: as `metseg.io.dicom.series_scan.scan`.
    """
    found = []
    for study in scan(list(paths)).studies:
        choice = choose(study.series, {})
        taken = {series.label: name for name, series in choice.series.items()}
        texts = {verdict.series.label: verdict.text for verdict in choice.verdicts}
        for series in study.series:
            words, text = technical_words(series.header.description), texts.get(series.label, "")
            reason = text.partition(": ")[2]
            found.append(ListedSeries(series.label, words, len(series.frames), taken.get(series.label), reason))
    return found

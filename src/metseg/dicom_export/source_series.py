"""Find the series of a study that a result was made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from metseg.errors import InputError, UsageError
from metseg.io.dicom.series_scan import Study, scan
from metseg.io.dicom.series_splitting import Series


@dataclass(frozen=True)
class SourceStudies:
    """The DICOM files that several results may have been made of; their headers are read once, when they are needed.

    Args:
        roots: folders, zip archives and files.
    """

    roots: tuple[Path, ...]

    @cached_property
    def studies(self) -> tuple[Study, ...]:
        """Return the studies; raises as `metseg.io.dicom.series_scan.scan`."""
        return scan(self.roots).studies


def find_source_series(source: SourceStudies, *, case_id: str, recorded: str = "", series: str | None = None) -> Series:
    """Return the series that a result shares its grid with; only headers are read.

    Args:
        source: with the study.
        case_id: of the result; the name of a study that was read as DICOM is made of its UID.
        recorded: name of the series in the record of the result, such as "series 5"; empty: not known.
        series: the scanner's number of the series, as notes and reports give it; None: the recorded one.
    Raises:
        InputError: ``export.other_study``, the files are of another study; else as `metseg.io.dicom.series_scan.scan`.
        UsageError: ``export.series``, the result was not made of DICOM and no series is named;
            ``usage.unknown_name``, no such series.
    """
    studies = source.studies
    own = [study for study in studies if case_id == f"study-{study.study}"]
    if not own and recorded.startswith("series "):
        raise InputError(
            "the DICOM files are not those of the result",
            where=case_id,
            got=", ".join(f"study-{study.study}" for study in studies),
            cure="give the study that was predicted on, with the same METSEG_PSEUDONYM_KEY",
            code="export.other_study",
        )
    if series is None and not own:
        raise UsageError(
            "the result was not made of DICOM files, so its source series is not known",
            where=case_id,
            cure="if its image was converted from a series of this study, name it: metseg export --series NUMBER",
            code="export.series",
        )
    return _named(own or studies, recorded if series is None else f"series {series}")


def _named(studies: Sequence[Study], name: str) -> Series:
    """Return the one series of this name."""
    known = [one for study in studies for one in study.series]
    found = [one for one in known if one.name == name]
    if len(found) == 1:
        return found[0]
    raise UsageError(
        f"{'several studies have' if found else 'there is no'} {name}",
        where="the DICOM files",
        expected=", ".join(sorted({one.label for one in known})),
        cure="give one study, and one of the numbers of its series with --series",
        code="usage.unknown_name",
    )

"""Read a DICOM study as a `Case`: one volume per recognised sequence, each on its own grid."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from metseg.errors import InputError, MetsegError, UsageError
from metseg.io.case_source import CaseSource
from metseg.io.dicom.sequence_recognition import recognise
from metseg.io.dicom.series import SeriesImage, load_series
from metseg.io.dicom.series_scan import Scan, Study, ignored_text, scan, with_where
from metseg.io.dicom.series_selection import choose, named_note
from metseg.io.dicom.series_splitting import Series
from metseg.io.label_map_detection import require_image
from metseg.message_text import examples_text, pluralize
from metseg.registry import lookup
from metseg.volume import MODALITY_ALIASES, Case, SequenceRecord, canonical_modality

#: The series of a modality: the scanner's series number ("3", "3.2" for its second stack), the path of its files, or
#: None to leave it out.
Override = str | int | Path | None


@dataclass(frozen=True)
class DicomStudySource(CaseSource):
    """One study. Case id and patient are pseudonyms; two studies of one patient have the same patient pseudonym.

    Args:
        series: modality to the series that will be read.
        notes: why each series is used or left aside, one sentence each.
        allow_gaps: see `metseg.io.dicom.series.plan_series`.
        reasons: modality to why its series was taken for it, in a clause.
    """

    series: Mapping[str, Series] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)
    allow_gaps: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        paths = (frame.place.path for series in self.series.values() for frame in series.frames)
        return tuple(sorted(set(paths)))

    @property
    def modalities(self) -> tuple[str, ...]:
        """Return the sequences without reading them."""
        return tuple(self.series)

    def load(self) -> Case:
        """Read every sequence that was recognised.

        Raises:
            InputError: ``input.missing_sequence`` where none was; else as `load_series`.
        """
        if not self.series:
            raise InputError(
                "no series is recognised as T1, T1 with contrast agent, T2 or FLAIR",
                where=self.case_id,
                got=" ".join(self.notes) or None,
                cure="assign each series by its number with --modality, such as --modality t1c=3",
                code="input.missing_sequence",
            )
        images = {name: self._read(series) for name, series in self.series.items()}
        noticed = tuple(warning for image in images.values() for warning in image.warnings)
        return Case(
            self.case_id,
            self.patient,
            {name: image.volume for name, image in images.items()},
            timepoint=self.timepoint,
            attributes=self.attributes,
            warnings=(*self.notes, *noticed),
            sequence_records=tuple(
                SequenceRecord(name, series.name, self.reasons.get(name, "")) for name, series in self.series.items()
            ),
        )

    def _read(self, series: Series) -> SeriesImage:
        try:
            image = load_series(series, allow_gaps=self.allow_gaps)
            require_image(image.volume.data, where=series.name)
            return image
        except MetsegError as error:
            raise with_where(error, f"{self.case_id}, {series.name}") from None


def find_studies(
    root: Path | Sequence[Path],
    *,
    overrides: Mapping[str, Override] | None = None,
    allow_gaps: bool = False,
    tell: Callable[[str], None] | None = None,
) -> list[DicomStudySource]:
    """Return the studies in a folder, a zip archive or files, sorted by patient and date.

    Args:
        root: one or more locations.
        overrides: modality, under any of its names, to the series to use: the scanner's number as the notes
            give it, the path of its files, or None for none.
        allow_gaps: fill missing slices between their neighbours, and mark the case with a warning.
        tell: receives a sentence with the path of each file that was set aside; a path may name a patient.
    Raises:
        InputError: as `metseg.io.dicom.series_scan.scan`.
        UsageError: an override for no known sequence or series.
    """
    roots = [root] if isinstance(root, Path) else list(root)
    found = scan(roots)
    if tell is not None:
        for note in _set_aside(found):
            tell(note)
    named = _overrides(overrides or {}, found)
    timepoints = _timepoints(found.studies)
    folder = roots[0] if len(roots) == 1 and roots[0].is_dir() else roots[0].parent
    sources = []
    for study in found.studies:
        choice = choose(study.series, named.get(study.study, {}), allow_gaps=allow_gaps)
        source = DicomStudySource(
            case_id=f"study-{study.study}",
            patient=f"patient-{study.patient}",
            root=folder,
            timepoint=timepoints[study.study],
            series=choice.series,
            notes=(*choice.notes, *_remarks(study, found)),
            reasons=choice.reasons,
            allow_gaps=allow_gaps,
        )
        sources.append(source)
    return sources


def _set_aside(found: Scan) -> Iterator[str]:
    """Yield a sentence for each reason for which files were set aside, with their paths."""
    by_reason: dict[str, list[PurePosixPath]] = defaultdict(list)
    for path, reason in found.set_aside:
        by_reason[reason].append(PurePosixPath(path.as_posix()))
    for reason, paths in by_reason.items():
        yield f"{pluralize(len(paths), 'DICOM file')} set aside ({reason}): {examples_text(paths)}"


def read_series(root: Path | Sequence[Path], *, declared: str | None = None, allow_gaps: bool = False) -> SeriesImage:
    """Read files that are one series.

    Args:
        root: a folder, a zip archive, or files in any order.
        declared: the modality that it is said to be; a warning tells where its header says otherwise. None: not said.
        allow_gaps: see `metseg.io.dicom.series.plan_series`.
    Raises:
        InputError: ``input.several_series`` where there are more; else as `scan` and `load_series`.
    """
    series = _only(scan(root))
    image = load_series(series, allow_gaps=allow_gaps)
    if declared is None or recognise(series.header).modality in (None, declared):
        return image
    return replace(image, warnings=(named_note(series, declared), *image.warnings))


def _only(found: Scan) -> Series:
    if len(found.series) == 1:
        return found.series[0]
    whole = len({(series.study, series.source) for series in found.series})
    raise InputError(
        "several series are given, but one is needed",
        where="the DICOM files",
        expected="one series with one stack",
        got=f"{whole} series" if whole > 1 else f"one series with {len(found.series)} stacks",
        cure="give the files of one series, or read them as a study",
        code="input.several_series",
    )


def _overrides(overrides: Mapping[str, Override], found: Scan) -> dict[str, dict[str, Series | None]]:
    """Return, for each study, modality to the series that was named for it."""
    named: dict[str, dict[str, Series | None]] = {study.study: {} for study in found.studies}
    for name, what in overrides.items():
        modality = canonical_modality(name)
        lookup("sequence", MODALITY_ALIASES, modality)
        if what is None:
            for series_of in named.values():
                series_of[modality] = None
            continue
        series = _at(what, found) if isinstance(what, Path) else _labelled(str(what), found)
        named[series.study][modality] = series
    return named


def _labelled(label: str, found: Scan) -> Series:
    if len(found.studies) > 1:
        raise UsageError(
            "a series number is ambiguous, because there are several studies",
            where=f"series {label}",
            cure="give the path of the series, or a single study",
        )
    known = {series.label: series for series in found.series}
    if label in known:
        return known[label]
    raise UsageError(
        f"Unknown series '{label}'. Known: {', '.join(known)}",
        cure="give one of these numbers, or the path of the series' files",
        code="usage.unknown_name",
    )


def _at(path: Path, found: Scan) -> Series:
    """Return the series with files at a path; one of those already found, if possible."""
    there = _only(scan(path))
    places = {frame.place.path.resolve() for frame in there.frames}
    for series in found.series:
        if {frame.place.path.resolve() for frame in series.frames} == places:
            return series
    if there.study in {study.study for study in found.studies}:
        return there
    raise UsageError(
        "the series given for a sequence belongs to another study",
        where="the overrides",
        cure="give a series of the same study",
    )


def _timepoints(studies: Sequence[Study]) -> dict[str, str | None]:
    """Return which examination of its patient each study is, by date; None for a patient with one."""
    counts = Counter(study.patient for study in studies)
    seen: Counter[str] = Counter()
    timepoints: dict[str, str | None] = {}
    for study in studies:
        seen[study.patient] += 1
        timepoints[study.study] = str(seen[study.patient]) if counts[study.patient] > 1 else None
    return timepoints


def _remarks(study: Study, found: Scan) -> list[str]:
    remarks = []
    if not study.names_patient:
        remarks.append("The files have no patient id, so the study counts as a separate patient.")
    for series in {series.label.partition(".")[0]: series for series in study.series if series.stacks > 1}.values():
        number = series.label.partition(".")[0]
        remarks.append(
            f"Series {number} holds {series.stacks} stacks, told apart by image type, echo time, b-value, time,"
            " matrix, orientation and pixel size."
        )
    if found.ignored:
        remarks.append(f"{ignored_text(found.ignored)}.")
    return remarks

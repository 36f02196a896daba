"""Find the series in folders, archives and single files, from headers alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from metseg.errors import InputError, MetsegError
from metseg.io.dicom.dicom_files import DicomLocation, DicomReader, find_dicom_files
from metseg.io.dicom.elements import read_file_meta
from metseg.io.dicom.instance_reader import Instance, read_instance
from metseg.io.dicom.series_splitting import ODD_SHARE, Series, check_one_patient, number_series
from metseg.runtime.progress import track

DIRECTORY, NO_PICTURE, DAMAGED = "DICOMDIR", "DICOM without an image", "DICOM that cannot be read"

#: From so many files on, reading their headers shows its progress.
_MANY = 2000


@dataclass(frozen=True)
class Study:
    """The series of one examination.

    Args:
        study: pseudonym.
        patient: pseudonym.
        series: its stacks, numbered as the scanner counts.
        names_patient: whether the files have a patient id; a study without one counts as a separate patient.
        date: orders timepoints; never printed.
    """

    study: str
    patient: str
    series: tuple[Series, ...]
    names_patient: bool
    date: str = field(repr=False)


@dataclass(frozen=True)
class Scan:
    """The result of a scan.

    Args:
        studies: sorted by patient, then date.
        ignored: number of ignored files by kind.
        set_aside: files that cannot be read among good ones, or hold no picture, and why; paths may name a patient.
    """

    studies: tuple[Study, ...]
    ignored: Mapping[str, int] = field(default_factory=dict)
    set_aside: tuple[tuple[Path, str], ...] = field(default=(), repr=False)

    @property
    def series(self) -> tuple[Series, ...]:
        return tuple(series for study in self.studies for series in study.series)


def scan(roots: Path | Sequence[Path]) -> Scan:
    """Return the series under the roots; independent of the order and names of files.

    A few files that cannot be read are set aside, see `ODD_SHARE`; more are an error.

    Args:
        roots: folders, zip archives and files; a DICOMDIR is ignored, since its files are found directly.
    Raises:
        InputError: ``input.missing``; ``input.not_dicom`` or ``input.no_pixels`` where there are no pictures;
            ``input.transfer_syntax`` for a deflated file; ``input.truncated``; ``input.mixed_series``; and what is
            wrong with an archive.
    """
    with _placed_at("the DICOM files"):
        places, ignored = find_dicom_files([roots] if isinstance(roots, Path) else roots)
        instances: dict[str, list[Instance]] = defaultdict(list)
        unusable: list[tuple[DicomLocation, MetsegError | None]] = []
        for instance in _instances(places, ignored, unusable):
            instances[instance.series].append(instance)
        damages = [error for _, error in unusable if error is not None]
        if len(damages) > ODD_SHARE * sum(map(len, instances.values())):
            raise damages[0]
        if not instances:
            raise _nothing(ignored)
    for group in instances.values():
        check_one_patient(group)
    set_aside = tuple((place.path, NO_PICTURE if error is None else error.what) for place, error in unusable)
    return Scan(_studies(list(instances.values())), dict(ignored), set_aside)


def with_where(error: MetsegError, where: str) -> MetsegError:
    """Return a copy of an error with a location that contains no patient name."""
    return type(error)(
        error.what, where=where, expected=error.expected, got=error.got, cure=error.cure, code=error.code
    )


def _instances(
    places: Sequence[DicomLocation], ignored: Counter[str], unusable: list[tuple[DicomLocation, MetsegError | None]]
) -> Iterator[Instance]:
    """Yield the object at each place; what is no picture or cannot be read is counted and collected in `unusable`."""
    with DicomReader() as reader:
        for place in track(places, "Reading DICOM headers", quiet=len(places) < _MANY):
            try:
                with reader.open(place) as stream:
                    meta = read_file_meta(stream)
                    instance = None if meta.is_directory else read_instance(stream, place, meta)
            except InputError as error:
                ignored[DAMAGED] += 1
                unusable.append((place, error))
                continue
            if instance is None:
                ignored[DIRECTORY if meta.is_directory else NO_PICTURE] += 1
                unusable += [] if meta.is_directory else [(place, None)]
            else:
                yield instance


def _studies(groups: Sequence[Sequence[Instance]]) -> tuple[Study, ...]:
    by_study: dict[str, list[Sequence[Instance]]] = defaultdict(list)
    for group in groups:
        by_study[group[0].study].append(group)
    studies = [_study(sorted(groups, key=_order_of_series)) for groups in by_study.values()]
    return tuple(sorted(studies, key=lambda study: (study.patient, study.date, study.study)))


def _study(groups: Sequence[Sequence[Instance]]) -> Study:
    everything = [instance for group in groups for instance in group]
    if len({instance.patient for instance in everything}) > 1:
        raise InputError(
            "the series of one study belong to different patients",
            where=f"study {everything[0].study}",
            cure="export the study again",
            code="input.mixed_series",
        )
    first = everything[0]
    return Study(
        first.study, first.patient, number_series(groups), first.names_patient, min(item.date for item in everything)
    )


def _order_of_series(group: Sequence[Instance]) -> tuple[bool, int, str]:
    numbers = [instance.series_number for instance in group if instance.series_number is not None]
    return (not numbers, min(numbers, default=0), group[0].series)


def _nothing(ignored: Mapping[str, int]) -> InputError:
    if ignored.get(NO_PICTURE):
        return InputError(
            "no images among the DICOM files",
            got=f"{ignored[NO_PICTURE]} objects without an image",
            cure="give the image files",
            code="input.no_pixels",
        )
    return InputError(
        "no DICOM images found",
        got=ignored_text(ignored) or "nothing",
        cure="give the DICOM files of an MR study",
        code="input.not_dicom",
    )


def ignored_text(ignored: Mapping[str, int]) -> str:
    """Return what was left aside, in words.

    >>> ignored_text({"not DICOM": 2, "DICOMDIR": 1})
    '3 other files ignored (1 DICOMDIR, 2 not DICOM)'
    """
    kinds = ", ".join(f"{count} {what}" for what, count in sorted(ignored.items()))
    return f"{sum(ignored.values())} other files ignored ({kinds})" if ignored else ""


@contextmanager
def _placed_at(where: str) -> Iterator[None]:
    """Say in errors that have no place yet where they are of; the path itself might name a patient."""
    try:
        yield
    except MetsegError as error:
        if error.where is not None:
            raise
        raise with_where(error, where) from None

"""Find the series under folders, in archives and among loose files, from headers alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from metseg.errors import InputError, MetsegError
from metseg.io.dicom.elements import read_file_meta
from metseg.io.dicom.instances import Instance, read_instance
from metseg.io.dicom.places import Place, PlaceReader, find_places
from metseg.io.dicom.stacks import Series, check_one_patient, divide
from metseg.progress import track

DIRECTORY, NO_PICTURE = "DICOMDIR", "DICOM without a picture"

#: From so many files on, reading their headers shows its progress.
_MANY = 2000


@dataclass(frozen=True)
class Study:
    """The series of one examination.

    Args:
        study: pseudonym.
        patient: pseudonym.
        series: its stacks, numbered as the scanner counts.
        names_patient: whether the files say who the patient is; a study that does not is a patient of its own.
        date: orders timepoints; never printed.
    """

    study: str
    patient: str
    series: tuple[Series, ...]
    names_patient: bool
    date: str = field(repr=False)


@dataclass(frozen=True)
class Scan:
    """What was found.

    Args:
        studies: sorted by patient, then date.
        ignored: how many files were left aside, by what they are.
    """

    studies: tuple[Study, ...]
    ignored: Mapping[str, int] = field(default_factory=dict)

    @property
    def series(self) -> tuple[Series, ...]:
        return tuple(series for study in self.studies for series in study.series)


def scan(roots: Path | Sequence[Path]) -> Scan:
    """Return the series that lie somewhere; the order of files and their names change nothing.

    Args:
        roots: folders, zip archives and files; a DICOMDIR is ignored, and what it refers to is found by itself.
    Raises:
        InputError: ``input.missing``; ``input.not_dicom`` or ``input.no_pixels`` where there are no pictures;
            ``input.transfer_syntax`` for a deflated file; ``input.truncated``; ``input.mixed_series``; and what is
            wrong with an archive.
    """
    with _placed_at("the DICOM files"):
        places, ignored = find_places([roots] if isinstance(roots, Path) else roots)
        instances: dict[str, list[Instance]] = defaultdict(list)
        for instance in _instances(places, ignored):
            instances[instance.series].append(instance)
        if not instances:
            raise _nothing(ignored)
    for group in instances.values():
        check_one_patient(group)
    return Scan(_studies(list(instances.values())), dict(ignored))


def with_where(error: MetsegError, where: str) -> MetsegError:
    """Return an error of the same class and content at a place that names nobody."""
    return type(error)(
        error.what, where=where, expected=error.expected, got=error.got, cure=error.cure, code=error.code
    )


def _instances(places: Sequence[Place], ignored: Counter[str]) -> Iterator[Instance]:
    with PlaceReader() as reader:
        for place in track(places, "Reading DICOM headers", quiet=len(places) < _MANY):
            with reader.open(place) as stream:
                meta = read_file_meta(stream)
                instance = None if meta.is_directory else read_instance(stream, place, meta)
            if instance is None:
                ignored[DIRECTORY if meta.is_directory else NO_PICTURE] += 1
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
            "the series of one study are of different patients",
            where=f"study {everything[0].study}",
            cure="export the study again",
            code="input.mixed_series",
        )
    series = tuple(stack for number, group in enumerate(groups, start=1) for stack in divide(number, group))
    first = everything[0]
    return Study(first.study, first.patient, series, first.names_patient, min(item.date for item in everything))


def _order_of_series(group: Sequence[Instance]) -> tuple[bool, int, str]:
    numbers = [instance.series_number for instance in group if instance.series_number is not None]
    return (not numbers, min(numbers, default=0), group[0].series)


def _nothing(ignored: Mapping[str, int]) -> InputError:
    if ignored.get(NO_PICTURE):
        return InputError(
            "there are DICOM files but no pictures among them",
            got=f"{ignored[NO_PICTURE]} objects without a picture",
            cure="give the images",
            code="input.no_pixels",
        )
    return InputError(
        "there is no DICOM image",
        got=counted(ignored) or "nothing",
        cure="give the files of an MR study",
        code="input.not_dicom",
    )


def counted(ignored: Mapping[str, int]) -> str:
    """Return what was left aside, in words.

    >>> counted({"not DICOM": 2, "DICOMDIR": 1})
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

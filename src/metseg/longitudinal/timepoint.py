"""One examination of a patient who is followed: its mask, the image to register, and its day."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from metseg.errors import GeometryError, InputError, UsageError
from metseg.headline import CORE_TISSUES
from metseg.labels import ANY_LESION, LABEL_SCHEMES, tissues_of
from metseg.registry import lookup
from metseg.volume import Volume

#: Sequences in the order in which one is chosen for registration: contrast-enhanced T1 first.
REGISTERED_SEQUENCES = ("t1c", "t1n", "t2f", "t2w")


@dataclass(frozen=True)
class Timepoint:
    """One examination.

    Args:
        name: of the examination, unique among those of the patient.
        labels: (X, Y, Z) class ids, with an affine.
        scheme: name of their label scheme.
        image: the image to register, on any grid in the space of the mask; None: positions are taken from the headers.
        sequence: name of this image, such as ``t1c``; empty without one.
        day: date of the examination; None: not known.
        source: model that made the mask; empty: another source.
        patient: the patient that the data name, such as the pseudonym of a DICOM study; empty: not known.
    Raises:
        GeometryError: the mask has no affine, so its voxels have no size.
        UsageError: an unknown label scheme.
    """

    name: str
    labels: Volume
    scheme: str
    image: Volume | None = None
    sequence: str = ""
    day: date | None = None
    source: str = ""
    patient: str = ""

    def __post_init__(self) -> None:
        lookup("label scheme", LABEL_SCHEMES, self.scheme)
        for volume in filter(None, (self.labels, self.image)):
            if volume.affine is None:
                raise without_positions(self.name)

    @property
    def core_values(self) -> tuple[int, ...]:
        """Return the class ids that make up a lesion: all of the tumour core; oedema and cavities are left out."""
        tissues = tissues_of(LABEL_SCHEMES[self.scheme])
        return tuple(value for value, tissue in tissues.items() if tissue in (*CORE_TISSUES, ANY_LESION))


def without_positions(name: str) -> GeometryError:
    """Return the error for an examination that consists of pictures."""
    return GeometryError(
        "an examination without positions in space cannot be followed",
        where=name,
        expected="volumes with an affine (NIfTI or DICOM)",
        got="pictures",
        code="input.no_affine",
    )


def require_series(timepoints: Sequence[Timepoint]) -> None:
    """Check that examinations can be compared: two or more, unique names, one scheme, days in order.

    Raises:
        InputError: one examination only (``input.one_timepoint``), or different label schemes
            (``input.label_schemes``).
        UsageError: names that repeat, days that are not in order, or only some of them known (``usage.dates``).
    """
    names = [timepoint.name for timepoint in timepoints]
    if len(names) < 2:
        raise InputError(
            "a patient is followed over at least two examinations",
            expected="2 or more",
            got=len(names),
            cure="give a later examination of the same patient",
            code="input.one_timepoint",
        )
    if len(set(names)) < len(names):
        raise UsageError("two examinations have the same name", got=", ".join(names), cure="rename one of them")
    schemes = sorted({timepoint.scheme for timepoint in timepoints})
    if len(schemes) > 1:
        raise InputError(
            "the masks of a patient have different label schemes",
            got=", ".join(schemes),
            cure="predict all examinations with one model",
            code="input.label_schemes",
        )
    _require_ordered_days([timepoint.day for timepoint in timepoints])


def _require_ordered_days(days: Sequence[date | None]) -> None:
    known = [day for day in days if day is not None]
    if known and len(known) < len(days):
        raise UsageError(
            "the dates of some examinations are missing",
            expected=f"{len(days)} dates, or none",
            got=len(known),
            code="usage.dates",
        )
    if any(not later > earlier for earlier, later in itertools.pairwise(known)):
        raise UsageError(
            "the examinations are not in the order of their dates",
            got=", ".join(day.isoformat() for day in known),
            cure="give the earliest first",
            code="usage.dates",
        )


def registered_sequence(names: Iterable[str]) -> str | None:
    """Return the sequence to register: contrast-enhanced T1 if there is one; None without images.

    >>> registered_sequence(["t2f", "t1c"]), registered_sequence(["adc"]), registered_sequence([])
    ('t1c', 'adc', None)
    """
    given = list(names)
    known = [name for name in REGISTERED_SEQUENCES if name in given]
    return next(iter([*known, *given]), None)

"""Where a case comes from: what a layout finds before a single pixel is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from metseg.errors import InputError
from metseg.volume import Case


@dataclass(frozen=True)
class CaseSource(ABC):
    """One case on disk, not yet read: cheap to list by the thousand, picklable, read anew at each `load`.

    Args:
        case_id: unique in the data set.
        patient: who it is.
        root: the folder that was searched; relative paths of outputs hang on it.
        timepoint: which examination, where the layout says so.
        attributes: what a table beside the data says of this patient.
        fold: which part of the data a table of files puts the case in; no split divides a part.
    """

    case_id: str
    patient: str
    root: Path
    timepoint: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    fold: str | None = None

    @property
    @abstractmethod
    def files(self) -> tuple[Path, ...]:
        """Return every file the case is read from, masks included, in a stable order."""

    @property
    def slice_names(self) -> tuple[str, ...]:
        """Return the name of each slice in order of z, as `Case.slice_names`; empty for volumes."""
        return ()

    @property
    def modalities(self) -> tuple[str, ...]:
        """Return the sequences that are there, before any is read; empty for pictures, which are read to know."""
        return ()

    @abstractmethod
    def load(self) -> Case:
        """Read the case.

        Raises:
            InputError: a file is damaged, of a kind not supported, or does not fit the others.
        """


def refuse_duplicate_cases(places: Iterable[tuple[object, object]]) -> None:
    """Refuse two cases of one name.

    Args:
        places: the name of each case, and where it lies.
    Raises:
        InputError: ``input.duplicate_case``, naming both places.
    """
    known: dict[object, object] = {}
    for name, place in places:
        if name in known:
            raise InputError(
                f"two cases have the name '{name}'",
                where=known[name],
                got=place,
                cure="rename or remove one of them",
                code="input.duplicate_case",
            )
        known[name] = place

"""The source of a case: the result of a layout, before image data are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from metseg.errors import InputError
from metseg.volume import Case


@dataclass(frozen=True)
class CaseSource(ABC):
    """One case on disk, not yet read. Cheap to list by the thousand, picklable; each `load` reads the files again.

    Args:
        case_id: unique in the data set.
        patient: identifier; equal for all cases of a patient.
        root: the searched folder; output paths are relative to it.
        timepoint: examination, if the layout defines it.
        attributes: columns of the patient table for this patient.
        fold: fold of the case in a table of files; no split divides a fold.
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
        """Return the available sequences without reading them; empty for 2D images, which must be read first."""
        return ()

    @property
    def has_labels(self) -> bool:
        """Return whether there is a mask, without reading it; False for kinds of sources without masks."""
        return False

    @abstractmethod
    def load(self) -> Case:
        """Read the case.

        Raises:
            InputError: a file is damaged, of a kind not supported, or does not fit the others.
        """


def refuse_duplicate_cases(places: Iterable[tuple[object, object]]) -> None:
    """Raise an error if two cases have the same name.

    Args:
        places: the name and location of each case.
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

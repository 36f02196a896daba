"""Read a table (CSV) with the patient of each file or study, its fold, or both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from metseg.errors import InputError
from metseg.io.file_index import PICTURE_ENDINGS
from metseg.io.patients import attributes_of, patient_finder, read_attributes, read_table, same_folders
from metseg.io.timepoints import same_patients_note
from metseg.io.volumes.nifti_file import NIFTI_ENDINGS
from metseg.message_text import examples_text, pluralize
from metseg.recipe import DataPart

#: Names of the columns, in lower case; of several the first counts.
FILE_COLUMNS = ("file", "filename", "image", "picture", "slice", "case", "study", "path", "name", "id")
PATIENT_COLUMNS = ("patient", "patient_id", "subject")
FOLD_COLUMNS = ("fold", "part")


@dataclass(frozen=True)
class Row:
    """The row of one file or study.

    Args:
        patient: identifier; None: not in the table.
        fold: name of its fold; None: not in the table.
        attributes: the other columns.
    """

    patient: str | None
    fold: str | None
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PatientTable:
    """The table by file or study.

    Args:
        path: for messages.
        rows: path or name without ending to its row.
    """

    path: Path
    rows: Mapping[str, Row]

    def assign(self, names: Mapping[PurePosixPath, Sequence[str]]) -> dict[PurePosixPath, Row]:
        """Return the row of each place.

        Args:
            names: place to its possible names in the table, the longest first: a path, a name.
        Raises:
            InputError: ``input.table``, a file or study without a row, or two with the same one.
        """
        found: dict[PurePosixPath, str] = {}
        for place, candidates in names.items():
            key = next((name for name in candidates if name in self.rows), None)
            if key is not None:
                found[place] = key
        missing = sorted(set(names) - set(found))
        if missing:
            raise self._wrong(
                f"{pluralize(len(missing), 'file')} without a row in the table",
                got=examples_text(missing),
                cure="add the missing rows, or move the files out of the data set",
            )
        by_key: dict[str, list[PurePosixPath]] = defaultdict(list)
        for place, key in found.items():
            by_key[key].append(place)
        for key, places in by_key.items():
            if len(places) > 1:
                raise self._wrong(
                    f"'{key}' matches several files",
                    got=examples_text(places),
                    cure="write their paths in the table, relative to the data set",
                )
        return {place: self.rows[key] for place, key in found.items()}

    def notes(self, assigned: Mapping[PurePosixPath, Row]) -> tuple[str, ...]:
        """Return notes on rows without a file, and on a table without patients."""
        notes = []
        unused = len(self.rows) - len(assigned)
        if unused:
            notes.append(f"{self.path.name}: {pluralize(unused, 'row')} for files that do not exist")
        if any(row.patient is None for row in assigned.values()):
            notes.append(
                f"{self.path.name} has no patients: each file counts as a separate patient, so intervals are too"
                " narrow; its folds keep patients apart"
            )
        return tuple(notes)

    def _wrong(self, what: str, *, got: object, cure: str) -> InputError:
        return InputError(what, where=self.path, got=got, cure=cure, code="input.table")


@dataclass(frozen=True)
class Owner:
    """The patient of a file or study, the part of the data it is in, and what a table says of the patient.

    Args:
        timepoint: which examination, where the patient's name says it.
    """

    patient: str
    fold: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    timepoint: str | None = None


@dataclass(frozen=True)
class Owners:
    """The owner of each file or study by its place, and notes for the user."""

    of: Mapping[PurePosixPath, Owner]
    notes: tuple[str, ...] = ()


def picture_owners(names: Mapping[PurePosixPath, Sequence[str]], data: DataPart, root: Path) -> Owners:
    """Return the patients of pictures: by the table or the pattern of `data`, else by their folders.

    Args:
        names: place of each picture to what a table may call it.
        data: its `patients` and `patient_pattern`.
        root: the data set.
    Raises:
        InputError: nothing names the patient of a picture, or the table is wrong.
    """
    if data.patients is not None:
        return table_owners(names, data.patients, root)
    places = tuple(names)
    patient_of = patient_finder(places, data.patient_pattern, root=root)
    table = read_attributes(root)
    owners = {
        place: Owner(patient, None, attributes_of((place.parent.name, patient), table))
        for place in places
        for patient in (patient_of(place),)
    }
    return Owners(owners, same_patients_note(same_folders(places)) if data.patient_pattern is None else ())


def table_owners(names: Mapping[PurePosixPath, Sequence[str]], table: str, root: Path) -> Owners:
    """Return the patients of files or studies from a table; without a patient column, each is a separate patient."""
    read = read_patient_table(table, root)
    rows = read.assign(names)
    owners = {place: Owner(row.patient or str(place), row.fold, row.attributes) for place, row in rows.items()}
    return Owners(owners, read.notes(rows))


def read_patient_table(name: str, root: Path) -> PatientTable:
    """Return a table of files.

    Args:
        name: path of the table, relative to the data set or to the working directory.
        root: the data set.
    Raises:
        InputError: ``input.missing``; ``input.table``: no column of files, none of patients or folds, a file twice, an
            empty cell, or a patient in two folds.
    """
    path = next((path for path in (root / name, Path(name)) if path.is_file()), None)
    if path is None:
        raise InputError(
            "no such patient table", where=name, cure="check the path of the CSV file", code="input.missing"
        )
    columns, rows = read_table(path)
    file, patient, fold = (_column(columns, known) for known in (FILE_COLUMNS, PATIENT_COLUMNS, FOLD_COLUMNS))
    if file is None or (patient is None and fold is None):
        raise InputError(
            "the patient table lacks a required column",
            where=path,
            expected=f"a column of files ({', '.join(FILE_COLUMNS)}) and a column patient, fold or both",
            got=", ".join(columns),
            cure="rename the columns in its first line",
            code="input.table",
        )
    found: dict[str, Row] = {}
    for number, raw in enumerate(rows, start=2):
        cells = {column: (value or "").strip() for column, value in raw.items() if column}
        key = without_ending(cells.pop(file))
        owner = None if patient is None else cells.pop(patient)
        part = None if fold is None else cells.pop(fold)
        if not key or key in found or "" in (owner, part):
            raise InputError(
                f"line {number} of the patient table is invalid",
                where=path,
                got=f"{file} '{key}' is listed twice" if key in found else "an empty cell",
                cure="write one row per file, with its patient or fold",
                code="input.table",
            )
        found[key] = Row(owner, part, cells)
    _require_patients_in_one_fold(found.values(), path)
    return PatientTable(path, found)


def without_ending(name: str) -> str:
    """Return a file's name as keys of the table are written.

    >>> without_ending("./a/7.png"), without_ending("P01_t1c.nii.gz"), without_ending("P.01")
    ('a/7', 'P01_t1c', 'P.01')
    """
    plain = name.strip().replace("\\", "/").removeprefix("./").strip("/")
    ending = next((end for end in (*NIFTI_ENDINGS, *PICTURE_ENDINGS) if plain.lower().endswith(end)), "")
    return plain[: len(plain) - len(ending)]


def _column(columns: Sequence[str], known: Sequence[str]) -> str | None:
    plain = {column.strip().lower(): column for column in columns if column}
    return next((plain[name] for name in known if name in plain), None)


def _require_patients_in_one_fold(rows: Iterable[Row], path: Path) -> None:
    folds: dict[str, str] = {}
    for row in rows:
        if row.patient is None or row.fold is None:
            continue
        if folds.setdefault(row.patient, row.fold) != row.fold:
            raise InputError(
                f"patient '{row.patient}' is in fold {folds[row.patient]} and in fold {row.fold}",
                where=path,
                cure="put each patient in one fold",
                code="input.split_leak",
            )

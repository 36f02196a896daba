"""Determine the patient of an image from its folder or a pattern, and read patient attributes from a table."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from metseg.errors import InputError, UsageError
from metseg.io.timepoints import PATIENT, PatientFolder, patients_in, same_patients, without_times
from metseg.message_text import pluralize

#: Folders that denote a purpose of images, not a patient.
NOT_PATIENTS = ("train", "training", "val", "valid", "validation", "test", "testing", "data", "images", "slices")

#: Patterns that a message may propose, tried in this order.
PROPOSALS = (r"^(.*)_\d+$", r"^(.*)-\d+$", r"^(.*?)[_-]?(?:slice|z)?[_-]?\d+$", r"^([^_]+)_")

#: Tables looked for at the root of a data set, and the column that holds the patient.
#: This one is meant for us; the other may be anything.
OWN_TABLE = "patients.csv"
TABLES = (OWN_TABLE, "data.csv")
KEY_COLUMN = "patient"

PatientOf = Callable[[PurePosixPath], str]


def patient_finder(places: Sequence[PurePosixPath], pattern: str | None, *, root: Path) -> PatientOf:
    """Return a function that maps an image's place to its patient.

    Without a pattern the patient is the folder, except a folder named after a date (``ann/2019``). Folder names that
    differ only in a date are one patient, see `metseg.io.timepoints`.

    Args:
        places: relative paths of the pictures without ending and without a folder that says "images" only.
        pattern: regular expression searched in the place; its first group matches the patient. None: use the folder.
        root: for messages.
    Raises:
        UsageError: the pattern is no regular expression or has no group.
        InputError: ``input.no_patient``: a flat folder and no pattern, or folders of one name in different places.
    """
    if pattern is not None:
        return _by_pattern(pattern)
    flat = [place for place in places if len(place.parts) == 1 or place.parent.name.lower() in NOT_PATIENTS]
    if flat:
        raise InputError(
            "cannot tell which patient an image belongs to",
            where=root / flat[0],
            expected="one folder per patient, or a patient pattern",
            got=f"{pluralize(len(flat), 'picture')} without a patient's folder",
            cure=propose_pattern(flat),
            code="input.no_patient",
        )
    divided = _patient_folders({place.parent for place in places})
    _check_folder_names(divided, root)
    merged = same_folders(places)

    def patient_of(place: PurePosixPath) -> str:
        name = divided[place.parent].patient.name
        return merged[name][0] if name in merged else name

    return patient_of


def _patient_folders(folders: Collection[PurePosixPath]) -> dict[PurePosixPath, PatientFolder]:
    """Return the patient's folder of each folder with pictures: itself, or the one above its examinations.

    A folder counts as the patient's above others only where it is called like a patient (`timepoints.PATIENT`).
    Elsewhere it is the last folder that does not say when.
    """
    plain = {folder: without_order(folder) for folder in folders}
    known = patients_in([short for short in plain.values() if short.parts]) or {}
    found = {}
    for folder, short in plain.items():
        own = without_times(folder, order=NOT_PATIENTS)
        item = known.get(short)
        cut = len(own.patient.parts)
        if item is not None and PATIENT.match(item.patient.name):
            cut -= max(0, len(without_order(own.patient).parts) - len(item.patient.parts))
        found[folder] = PatientFolder(PurePosixPath(*own.patient.parts[:cut]), (*own.patient.parts[cut:], *own.times))
    return found


def without_order(folder: PurePosixPath) -> PurePosixPath:
    """Return a folder without the levels that are there for order only (`NOT_PATIENTS`).

    >>> without_order(PurePosixPath("train/siteA/images"))
    PurePosixPath('siteA')
    """
    return PurePosixPath(*(part for part in folder.parts if part.lower() not in NOT_PATIENTS))


def same_folders(places: Sequence[PurePosixPath]) -> dict[str, tuple[str, str]]:
    """Return the patients' folders that are examinations of one patient, as `same_patients` does."""
    folders = _patient_folders({place.parent for place in places})
    return same_patients(sorted(item.patient.name for item in folders.values()))


def propose_pattern(places: Sequence[PurePosixPath]) -> str:
    """Return a cure that names the first pattern that would divide these pictures among several patients.

    A pattern that finds one patient, or one for each picture, is not proposed: neither helps to divide them, and if
    the pictures are of several patients, it mixes them or takes their slices apart.

    >>> propose_pattern([PurePosixPath("p1_1"), PurePosixPath("p1_2"), PurePosixPath("p2_1")])
    "set patient_pattern, for example '^(.*)_\\\\d+$', which finds 2 patients, the first 'p1'; if that is wrong, name
    the patient of each file in a table (patients)"
    """
    for pattern in PROPOSALS:
        matches = [re.search(pattern, str(place)) for place in places]
        patients = sorted({match.group(1) for match in matches if match})
        if all(matches) and patients[0] and 1 < len(patients) < len(places):
            return (
                f"set patient_pattern, for example '{pattern}', which finds {len(patients)} patients, the first "
                f"'{patients[0]}'; if that is wrong, name the patient of each file in a table (patients)"
            )
    return (
        "give each patient a separate folder, or give the patient of each file in a patient table (--patients "
        "FILE, CSV with the columns file and patient) or by a pattern (--patient-pattern)"
    )


def read_attributes(root: Path) -> Mapping[str, Mapping[str, str]]:
    """Return patient -> column -> value from the first of `TABLES` at the root with that column; empty without one.

    Raises:
        InputError: ``input.table``: the table is not text, lists a patient twice, or is `OWN_TABLE` without patients.
    """
    for path in (root / name for name in TABLES if (root / name).is_file()):
        columns, rows = read_table(path)
        key = next((column for column in columns if column.strip().lower() == KEY_COLUMN), None)
        if key is not None:
            return _by_patient(rows, key, path)
        if path.name == OWN_TABLE:
            raise InputError(
                "the table has no column 'patient'",
                where=path,
                got=", ".join(columns),
                cure=f"name the patient column '{KEY_COLUMN}'",
                code="input.table",
            )
    return {}


def read_table(path: Path) -> tuple[Sequence[str], list[dict[str, str]]]:
    """Return the columns and the rows of a CSV file.

    Raises:
        InputError: ``input.table``, it is no text that can be read so.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            "cannot read the patient table",
            where=path,
            got=error,
            cure="save it as CSV in UTF-8, or move it away",
            code="input.table",
        ) from None
    return reader.fieldnames or (), rows


def _by_patient(rows: Sequence[dict[str, str]], key: str, path: Path) -> dict[str, Mapping[str, str]]:
    found: dict[str, Mapping[str, str]] = {}
    for row in rows:
        patient = (row.pop(key) or "").strip()
        if patient in found:
            raise InputError(
                f"patient '{patient}' is listed twice in the table",
                where=path,
                cure="keep one row for each patient",
                code="input.table",
            )
        found[patient] = {column: (value or "").strip() for column, value in row.items() if column}
    return found


def attributes_of(names: Iterable[str], table: Mapping[str, Mapping[str, str]]) -> Mapping[str, str]:
    """Return the row of the first name the table holds; a table may leave off the date after the patient's name.

    >>> dict(attributes_of(["TCGA_CS_4943_20000902"], {"TCGA_CS_4943": {"grade": "3"}}))
    {'grade': '3'}
    """
    for name in filter(None, names):
        if name in table:
            return table[name]
        shorter = name.rpartition("_")[0]
        if shorter in table:
            return table[shorter]
    return {}


def _by_pattern(pattern: str) -> PatientOf:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(
            "not a regular expression",
            where="patient_pattern",
            got=f"{pattern}: {error}",
            cure="give one, such as '^(.*)_\\d+$'",
        ) from None
    if compiled.groups < 1:
        raise UsageError(
            "the pattern has no group",
            where="patient_pattern",
            got=pattern,
            cure="put the part that matches the patient in parentheses, as in '^(.*)_\\d+$'",
        )

    def patient_of(place: PurePosixPath) -> str:
        match = compiled.search(str(place))
        if match is None or not match.group(1):
            raise InputError(
                "the patient pattern does not match",
                where=place,
                expected=pattern,
                cure="change the pattern so that it matches every path",
                code="input.no_patient",
            )
        return match.group(1)

    return patient_of


def _check_folder_names(divided: Mapping[PurePosixPath, PatientFolder], root: Path) -> None:
    """Refuse two folders of the same name, because they may or may not be one patient."""
    folders: dict[str, PurePosixPath] = {}
    for item in sorted(divided.values(), key=lambda item: item.patient):
        folder = item.patient
        other = folders.setdefault(folder.name, folder)
        if other != folder:
            below = "[^/]+/" * len(item.times)
            raise InputError(
                f"two folders have the name '{folder.name}'",
                where=root,
                got=f"{other} and {folder}",
                cure=f"set patient_pattern: '^(.*)/{below}' if they are different patients, '([^/]+)/{below}[^/]+$' if"
                " they are one",
                code="input.no_patient",
            )

"""Clinical attributes of patients: primary tumour, age, sex and earlier treatment, under one name each.

Data sets name these columns differently. They are metadata of a study, never an input of a network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from metseg.errors import InputError
from metseg.io.case_source import CaseSource
from metseg.io.patients import read_table

PRIMARY = "primary tumour"
#: Our name to the names of data sets, in the spelling of `_plain`.
CLINICAL_COLUMNS: Mapping[str, tuple[str, ...]] = {
    PRIMARY: (
        *("primary", "primary tumour", "primary tumor", "primary cancer", "primary site", "primary diagnosis"),
        *("primary cancer type", "primary tumor type", "cancer type", "cancer", "histology", "primary histology"),
    ),
    "age": ("age", "age years", "patient age", "age at scan", "age at mri", "age at exam"),
    "sex": ("sex", "gender", "patient sex", "biological sex"),
    "earlier treatment": (
        *("earlier treatment", "previous treatment", "prior treatment", "previous therapy", "prior therapy"),
        *("prior surgery", "previous surgery", "prior craniotomy", "previous craniotomy", "prior resection"),
        *("prior radiation", "prior radiotherapy", "prior radiosurgery", "prior srs", "previous radiosurgery"),
    ),
}

#: The value of patients with an empty cell, or without a row.
UNKNOWN = "not stated"


def clinical_attributes(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return the clinical values of a patient by our names; columns that the table lacks or leaves empty are absent.

    >>> clinical_attributes({"Primary_Cancer": "Lung", "AGE": "61", "scanner": "x", "sex": ""})
    {'primary tumour': 'Lung', 'age': '61'}
    """
    plain = {_plain(column): value for column, value in attributes.items()}
    found = {
        name: next((plain[column] for column in columns if plain.get(column)), "")
        for name, columns in CLINICAL_COLUMNS.items()
    }
    return {name: value for name, value in found.items() if value}


def value_of(attributes: Mapping[str, str], column: str) -> str:
    """Return a patient's value of a column of the table, or of one of our names; `UNKNOWN` without one."""
    return attributes.get(column) or clinical_attributes(attributes).get(column) or UNKNOWN


def patient_values(sources: Iterable[CaseSource], column: str) -> dict[str, str]:
    """Return patient -> value of a column, of the first examination where several differ.

    Args:
        sources: the data set.
        column: a column of its table, or one of our names (`CLINICAL_COLUMNS`).
    Raises:
        InputError: ``input.column``, no patient has the column.
    """
    values: dict[str, str] = {}
    known: dict[str, None] = {}
    for source in sources:
        values.setdefault(source.patient, value_of(source.attributes, column))
        known.update(dict.fromkeys((*source.attributes, *clinical_attributes(source.attributes))))
    if set(values.values()) <= {UNKNOWN}:
        raise InputError(
            f"no patient has a value in the column '{column}'",
            where="table of patients",
            expected=", ".join(known) or "a table patients.csv at the root of the data set",
            cure="name one of these columns, or add the table: column patient, and a column for each attribute",
            code="input.column",
        )
    return values


def ranked_counts(values: Iterable[str], *, most: int | None = None) -> dict[str, int]:
    """Return value -> count, the most frequent first, `UNKNOWN` last.

    Args:
        values: one for each patient.
        most: how many values are named; the others are counted together as "other". None: all.

    >>> ranked_counts(["lung", "lung", "breast", "skin", "not stated"], most=1)
    {'lung': 2, 'other': 2, 'not stated': 1}
    """
    counted = Counter(values)
    unknown = counted.pop(UNKNOWN, 0)
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    named, rest = (ranked, []) if most is None else (ranked[:most], ranked[most:])
    counts = dict(named)
    if rest:
        counts["other"] = counts.get("other", 0) + sum(count for _, count in rest)
    return counts | ({UNKNOWN: unknown} if unknown else {})


def read_clinical_table(path: Path, *, column: str) -> dict[str, str]:
    """Return patient or case -> value of a column of a CSV file.

    Args:
        path: a table with a column patient, case or similar, and the column that is asked for.
        column: its name, or one of our names.
    Raises:
        InputError: ``input.table``, not a table, or without a column of patients or cases; ``input.column``, no value.
    """
    columns, rows = read_table(path)
    key = _key_column(columns)
    if key is None:
        raise InputError(
            "the table has no column of patients or cases",
            where=path,
            expected=", ".join(KEY_COLUMNS),
            got=", ".join(columns),
            cure="rename the column that names them",
            code="input.table",
        )
    values = {
        (row.get(key) or "").strip(): value_of(
            {name: (cell or "").strip() for name, cell in row.items() if name}, column
        )
        for row in rows
    }
    if set(values.values()) <= {UNKNOWN}:
        raise InputError(
            f"no row has a value in the column '{column}'",
            where=path,
            expected=", ".join(name for name in columns if name != key),
            cure="name one of these columns",
            code="input.column",
        )
    return values


#: Columns that name the patient or the case of a row; the first that a table has counts.
KEY_COLUMNS = ("patient", "patient_id", "subject", "subject_id", "subjectid", "case", "case_id", "study", "id")


def _key_column(columns: Sequence[str]) -> str | None:
    plain = {column.strip().lower(): column for column in columns}
    return next((plain[name] for name in KEY_COLUMNS if name in plain), None)


def _plain(column: str) -> str:
    return " ".join(column.lower().replace("_", " ").replace("-", " ").replace(".", " ").split())

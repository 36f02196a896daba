"""Stratified random sampling of units, reproducible on every machine."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Literal

from metseg.errors import UsageError
from metseg.io.case_source import CaseSource
from metseg.registry import lookup

By = Literal["patient", "slice"]

#: A numeric column with more values than this is divided into quantiles.
MAX_STRATA = 10

#: What stands in a table where nothing is known, in lower case.
MISSING = frozenset({"", "na", "n/a", "nan", "none", "null", "unknown", "?"})

#: A numeric column is divided into so many groups of equal size.
QUANTILES = 4


def units_of(source: CaseSource, by: By) -> tuple[str, ...]:
    """Return the units of one case: its patient, or ``<case id>/<slice>`` for each slice in order of z.

    Raises:
        UsageError: a split by slice of a volume.
    """
    if by == "patient":
        return (source.patient,)
    if not source.slice_names:
        raise UsageError(
            "only 2D slices can be split by slice", where=f"case {source.case_id}", cure="split by patient"
        )
    return tuple(f"{source.case_id}/{PurePosixPath(name).name}" for name in source.slice_names)


def strata_of(
    sources: Sequence[CaseSource], *, by: By, column: str | None, units: Callable[[CaseSource, By], Sequence[str]]
) -> dict[str, str]:
    """Return unit -> stratum: the value of the column, or one stratum for all without a column.

    Raises:
        UsageError: no patient has such a column.
    """
    if column is not None:
        known = dict.fromkeys(name for source in sources for name in source.attributes)
        if not known:
            raise UsageError(
                f"no patient has a value for {column}",
                where="split.stratify",
                expected=f"a table patients.csv in the root with a column {column}",
                got="no table",
                cure="add the table, or split without stratification",
                code="usage.unknown_name",
            )
        lookup("column", known, column)
    values = {
        unit: source.attributes.get(column, "") if column else "" for source in sources for unit in units(source, by)
    }
    return quantiles(values) if len(set(values.values())) > MAX_STRATA else values


def quantiles(values: Mapping[str, str]) -> dict[str, str]:
    """Return numeric strata gathered into `QUANTILES` groups of equal size, missing values in one more; others as is.

    >>> quantiles({"a": "1", "b": "2.5", "c": "30", "d": "", "e": "31"})
    {'a': '0', 'b': '1', 'c': '2', 'e': '3', 'd': ''}
    """
    known = {unit: value for unit, value in values.items() if value.lower() not in MISSING}
    try:
        numbers = {unit: float(value) for unit, value in known.items()}
    except ValueError:
        return dict(values)
    ordered = sorted(numbers, key=lambda unit: (numbers[unit], unit))
    ranked = {unit: str(rank * QUANTILES // len(ordered)) for rank, unit in enumerate(ordered)}
    return ranked | dict.fromkeys((unit for unit in values if unit not in known), "")


def _draw(unit: str, seed: int) -> str:
    """Return a sort key that is random but the same everywhere."""
    return hashlib.sha256(f"{seed}\n{unit}".encode()).hexdigest()


def _members(strata: Mapping[str, str], seed: int) -> dict[str, list[str]]:
    members: dict[str, list[str]] = defaultdict(list)
    for unit in sorted(strata, key=lambda unit: _draw(unit, seed)):
        members[strata[unit]].append(unit)
    return members


def interleaved(strata: Mapping[str, str], seed: int) -> list[str]:
    """Return the units so that every run of them has the strata in about their shares.

    A stratum's i-th unit of n takes the place (i + 1/2) / n: systematic sampling.
    """
    places = {
        unit: (rank + 0.5) / len(members)
        for members in _members(strata, seed).values()
        for rank, unit in enumerate(members)
    }
    return sorted(places, key=lambda unit: (places[unit], _draw(unit, seed)))


def deal(units: Sequence[str], strata: Mapping[str, str], *, folds: int, seed: int) -> tuple[tuple[str, ...], ...]:
    """Deal the units out like cards, stratum after stratum, so that folds differ by one unit at most."""
    members = _members({unit: strata[unit] for unit in units}, seed)
    cards = [unit for stratum in sorted(members) for unit in members[stratum]]
    return tuple(tuple(sorted(cards[fold::folds])) for fold in range(folds))

"""Divide a data set into training, validation and test parts, by patient, or by slice to reproduce a paper.

A split lists units: patients, or ``<case id>/<slice>`` for a split by slice. The part of a unit depends on the seed
and the unit's name only, by SHA-256: neither the order of the files nor the version of a library changes it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self, get_args

from metseg.errors import InputError, UsageError
from metseg.io.case_source import CaseSource
from metseg.io.stratified_sampling import By, deal, interleaved, strata_of, units_of
from metseg.message_text import pluralize
from metseg.recipe import SplitPart
from metseg.registry import lookup
from metseg.runtime.atomic_io import write_text

FORMAT, VERSION = "metseg-split", 1
PARTS = ("train", "validation", "test")

#: So many groups of equal patients are named in a message.
NAMED = 3


class SelectedCases(NamedTuple):
    """A case of a part of the split; `slices` are indices along z, or None for the whole case."""

    source: CaseSource
    slices: tuple[int, ...] | None


class Selection(NamedTuple):
    """The cases for training, for validation (early stopping and choices), and for the final test."""

    train: tuple[SelectedCases, ...]
    validation: tuple[SelectedCases, ...]
    test: tuple[SelectedCases, ...]


@dataclass(frozen=True)
class Split:
    """The assignment of units to parts.

    With folds, `train` holds every unit that is not test, `validation` is empty, and fold k is validated on
    ``folds[k]`` and trained on the other folds. Test units are in no fold.

    Args:
        by: kind of unit, "patient" or "slice".
        train, validation, test: units, sorted.
        folds: units of each fold, sorted.
        seed: random seed of the split.
        stratify: the column that the split is stratified by, or None.
        duplicates: groups of patients in different parts that share an image; see
            `metseg.io.duplicate_images.mark_duplicates`. They do not affect the split.
    Raises:
        InputError: ``input.split_leak``, a unit in two parts, by name.
    """

    by: By = "patient"
    train: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    folds: tuple[tuple[str, ...], ...] = ()
    seed: int = 0
    stratify: str | None = None
    duplicates: tuple[tuple[str, ...], ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        _check_disjoint({part: getattr(self, part) for part in PARTS}, self.by)
        if self.folds:
            folds = {f"fold {index}": units for index, units in enumerate(self.folds)}
            _check_disjoint({**folds, "test": self.test}, self.by)
            _check_folds(self)

    @property
    def leaks_patients(self) -> bool:
        """Return whether several parts may contain images of one person; results are then optimistic."""
        return bool(self.leaks)

    @property
    def leaks(self) -> tuple[str, ...]:
        """Return in which ways images of one person lie on both sides, a clause each; empty: in none."""
        return (
            *(("the data were split by slice",) if self.by == "slice" else ()),
            *((self._duplicates_text(),) if self.duplicates else ()),
        )

    def _duplicates_text(self) -> str:
        named = "; ".join(" = ".join(group) for group in self.duplicates[:NAMED])
        more = f"; and {len(self.duplicates) - NAMED} more" if len(self.duplicates) > NAMED else ""
        return f"patients in different parts of the split have equal images ({named}{more})"

    @property
    def units(self) -> frozenset[str]:
        """Return every unit the split names."""
        return frozenset((*self.train, *self.validation, *self.test))

    def select(self, sources: Iterable[CaseSource], *, fold: int | None = None) -> Selection:
        """Return the cases, and for a split by slice the slices, of each part.

        Args:
            sources: the data set, in any order; the order is kept within each part.
            fold: which fold is validated on, from 0; required where the split has folds.
        Raises:
            UsageError: no such fold, or none given where there are folds.
            InputError: ``input.split``, the split does not fit the data.
        """
        listed = list(sources)
        self.check(listed)
        validation = frozenset(self._validation(fold))
        test = frozenset(self.test)
        train = self.units - validation - test
        return Selection(*(_choose(listed, wanted, self.by) for wanted in (train, validation, test)))

    def check(self, sources: Iterable[CaseSource]) -> None:
        """Refuse data that do not match the split.

        Raises:
            InputError: ``input.split``, units that the data lack or the split does not know, by name.
        """
        present = {unit for source in sources for unit in units_of(source, self.by)}
        for units, what in (
            (self.units - present, "is in the split but not in the data"),
            (present - self.units, "is in the data but not in the split"),
        ):
            if units:
                first, *more = sorted(units)
                others = f" (and {len(more)} more)" if more else ""
                raise InputError(
                    f"{self.by} '{first}'{others} {what}",
                    where="split",
                    cure="create the split again from these data, or give the data of the split",
                    code="input.split",
                )

    def to_dict(self) -> dict[str, Any]:
        """Return the split as a JSON document."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "by": self.by,
            "leaks_patients": self.leaks_patients,
            "seed": self.seed,
            "stratify": self.stratify,
            **{part: list(getattr(self, part)) for part in PARTS},
            "folds": [list(fold) for fold in self.folds],
            "duplicates": [list(group) for group in self.duplicates],
        }

    def described_by(self, part: SplitPart) -> SplitPart:
        """Return the part of a recipe that describes this split: the one given where it does, else a changed one."""
        total = max(1, len(self.units))
        alike = (part.by, part.seed, part.stratify, part.folds) == (self.by, self.seed, self.stratify, len(self.folds))
        sizes = len(self.test), len(self.validation)
        asked = _share(part.test, total), 0 if part.folds else _share(part.validation, total)
        if alike and sizes == asked:
            return part
        shares = {"test": round(len(self.test) / total, 4)}
        if not self.folds:
            shares["validation"] = round(len(self.validation) / total, 4)
        return part.model_copy(
            update={
                "by": self.by,
                "seed": self.seed,
                "stratify": self.stratify,
                "folds": len(self.folds),
                **shares,
            }
        )

    def save(self, path: Path) -> None:
        """Write the split as JSON, atomically."""
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"
        write_text(path, text)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a split.

        Raises:
            InputError: ``input.split``, no split file; ``input.split_leak``, a unit in two parts.
        """
        try:
            raw = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                "cannot read the split",
                where=path,
                got=error,
                cure="check the path, or create the split again with `metseg split`",
                code="input.split",
            ) from None
        if not isinstance(raw, dict) or raw.get("format") != FORMAT or raw.get("version") != VERSION:
            raise InputError(
                "not a split file",
                where=path,
                expected=f"{FORMAT} {VERSION}",
                cure="create one with `metseg split`",
                code="input.split",
            )
        return cls.from_dict(raw, where=path)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any], *, where: object = "split") -> Self:
        """Return the split a document describes; the inverse of `to_dict`."""
        try:
            if raw["by"] not in get_args(By):
                raise ValueError(f"by = {raw['by']}")
            parts = {part: _names(raw[part]) for part in PARTS}
            folds = tuple(_names(fold) for fold in raw["folds"])
            return cls(
                raw["by"],
                **parts,
                folds=folds,
                seed=int(raw["seed"]),
                stratify=raw["stratify"],
                duplicates=tuple(_names(group) for group in raw.get("duplicates", [])),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "the split file is damaged",
                where=where,
                got=error,
                cure="create the split again with `metseg split`",
                code="input.split",
            ) from None

    def _validation(self, fold: int | None) -> tuple[str, ...]:
        if not self.folds:
            if fold is not None:
                raise UsageError(
                    "the split has no folds", where="fold", got=fold, cure="create a split with folds, or give no fold"
                )
            return self.validation
        if fold is None or not 0 <= fold < len(self.folds):
            raise UsageError(
                "the validation fold is missing or unknown",
                where="fold",
                expected=f"0 to {len(self.folds) - 1}",
                got=fold,
                cure="give --fold",
            )
        return self.folds[fold]


@dataclass(frozen=True)
class PartOfSplit:
    """One part of a split, selected for prediction or scoring.

    Args:
        split: the whole.
        name: a name of `PARTS`.
        fold: where the split has folds, the one that is validated on; the test units need none.
        path: its file.
    Raises:
        UsageError: no such part, or a fold that is missing or not there.
        InputError: ``input.split``, the part is empty.
    """

    split: Split
    name: str
    fold: int | None = None
    path: Path = Path("split")

    def __post_init__(self) -> None:
        lookup("part of the split", dict.fromkeys(PARTS), self.name)
        if not self.units:
            raise InputError(
                f"the part '{self.name}' is empty",
                where=self.path,
                got=", ".join(f"{name}: {len(getattr(self.split, name))}" for name in PARTS),
                cure="choose another part (--part), or create a split that has one",
                code="input.split",
            )

    @classmethod
    def load(cls, path: Path, name: str, fold: int | None = None) -> Self:
        """Read a split and take one part of it."""
        return cls(Split.load(path), name, fold, path)

    @cached_property
    def units(self) -> frozenset[str]:
        """Return the units of the part."""
        if self.name == "test":
            return frozenset(self.split.test)
        validation = frozenset(self.split._validation(self.fold))
        return validation if self.name == "validation" else frozenset(self.split.train) - validation

    def has(self, source: CaseSource) -> bool:
        """Return whether a case that is no stack of slices belongs to the part.

        Raises:
            UsageError: a split by slice of volumes.
        """
        return units_of(source, self.split.by)[0] in self.units

    def describe(self) -> str:
        """Return what the part is, in words."""
        fold = "" if self.fold is None or self.name == "test" else f", fold {self.fold}"
        return f"part '{self.name}' of {self.path.name}{fold}: {pluralize(len(self.units), self.split.by)}"


def make_split(
    sources: Iterable[CaseSource],
    part: SplitPart,
    *,
    units: Callable[[CaseSource, By], Sequence[str]] | None = None,
) -> Split:
    """Return a split of a data set.

    If a table assigns the cases to folds, whole folds are drawn and none is divided.

    Args:
        sources: the cases.
        part: shares, folds, column and seed, as in a recipe.
        units: the units of a source; None: `units_of`.
    Raises:
        UsageError: the column to stratify by is unknown, or what is asked for would divide the folds of a table.
        InputError: ``input.too_few``, fewer units than parts.
    """
    listed = list(sources)
    if any(source.fold is not None for source in listed):
        members = _members_of_folds(listed, part, units or units_of)
        return _with_members(_drawn(dict.fromkeys(members, ""), part, what="folds of the table"), members)
    strata = strata_of(listed, by=part.by, column=part.stratify, units=units or units_of)
    return _drawn(strata, part, what=f"{part.by}s")


def _drawn(strata: Mapping[str, str], part: SplitPart, *, what: str) -> Split:
    """Return a division of units, drawn stratum by stratum."""
    ordered = interleaved(strata, part.seed)
    n_test = _share(part.test, len(ordered))
    test, rest = ordered[:n_test], ordered[n_test:]
    n_validation = 0 if part.folds else _share(part.validation, len(ordered))
    if len(rest) - n_validation < max(1, part.folds):
        raise InputError(
            f"too few {what} for this split",
            expected=f"at least {n_test + n_validation + max(1, part.folds)}",
            got=len(ordered),
            cure=f"add {what}, or use fewer folds"
            if part.folds
            else f"add {what}, or leave a part out (metseg split --test 0; in a recipe: split.test = 0)",
            code="input.too_few",
        )
    return Split(
        by=part.by,
        train=tuple(sorted(rest[n_validation:])),
        validation=tuple(sorted(rest[:n_validation])),
        test=tuple(sorted(test)),
        folds=deal(rest, strata, folds=part.folds, seed=part.seed),
        seed=part.seed,
        stratify=part.stratify,
    )


def _members_of_folds(
    sources: Sequence[CaseSource], part: SplitPart, units: Callable[[CaseSource, By], Sequence[str]]
) -> dict[str, list[str]]:
    """Return the units of each fold of a table.

    Raises:
        UsageError: a split by slice or by strata, which would divide folds.
    """
    if part.by != "patient" or part.stratify is not None:
        raise UsageError(
            "a table of folds cannot be split by slice or stratified",
            where="split",
            got="by slice" if part.by != "patient" else f"stratified by {part.stratify}",
            cure="split by patient without stratification, or remove the fold column from the table",
            code="usage.options",
        )
    members: dict[str, list[str]] = {}
    for source in sources:
        for unit in units(source, part.by):
            fold = members.setdefault(unit if source.fold is None else source.fold, [])
            fold += [] if unit in fold[-1:] else [unit]
    return members


def _with_members(split: Split, members: Mapping[str, Sequence[str]]) -> Split:
    """Return a split of folds as a split of their units; folds keep the order of their names in the table."""

    def all_of(folds: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted({unit for fold in folds for unit in members[fold]}))

    ordered = sorted(split.folds, key=lambda fold: [(len(name), name) for name in fold])
    return replace(
        split,
        train=all_of(split.train),
        validation=all_of(split.validation),
        test=all_of(split.test),
        folds=tuple(map(all_of, ordered)),
    )


def _share(share: float, total: int) -> int:
    """Return how many of `total` units a share is: at least one where anything was asked for."""
    return 0 if share == 0 else max(1, round(share * total))


def _choose(sources: Sequence[CaseSource], wanted: frozenset[str], by: By) -> tuple[SelectedCases, ...]:
    chosen = []
    for source in sources:
        indices = tuple(index for index, unit in enumerate(units_of(source, by)) if unit in wanted)
        if indices:
            chosen.append(SelectedCases(source, indices if by == "slice" else None))
    return tuple(chosen)


def _check_disjoint(parts: Mapping[str, Sequence[str]], by: By) -> None:
    where: dict[str, str] = {}
    for part, units in parts.items():
        for unit in units:
            if unit in where:
                raise InputError(
                    f"{by} '{unit}' is in {where[unit]} and in {part}",
                    where="split",
                    expected=f"each {by} in one part",
                    cure="create the split again with `metseg split`",
                    code="input.split_leak",
                )
            where[unit] = part


def _check_folds(split: Split) -> None:
    in_folds = Counter(unit for fold in split.folds for unit in fold)
    if set(in_folds) != set(split.train) or split.validation:
        raise InputError(
            "the folds do not hold exactly the training units",
            where="split",
            cure="create the split again with `metseg split`",
            code="input.split",
        )


def _names(raw: Any) -> tuple[str, ...]:
    if not isinstance(raw, list) or not all(isinstance(name, str) for name in raw):
        raise TypeError("a part is a list of names")
    return tuple(raw)

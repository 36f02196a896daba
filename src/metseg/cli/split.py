"""``metseg split``: divide a data set once and write the split to a file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metseg.cli.option_parsing import absolute
from metseg.errors import UsageError

if TYPE_CHECKING:
    from metseg.io.case_source import CaseSource
    from metseg.io.splits import SelectedCases, Selection, Split
    from metseg.recipe import SplitPart


def split(
    root: Annotated[
        str, typer.Argument(metavar="ROOT", help="The data set; IMAGES::MASKS if masks are under another root.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The split file (JSON).")],
    by: Annotated[
        str | None, typer.Option("--by", help="Unit of the split: patient, or slice (which leaks patients).")
    ] = None,
    validation: Annotated[float | None, typer.Option("--validation", help="Fraction of the validation part.")] = None,
    test: Annotated[float | None, typer.Option("--test", help="Fraction of the test part.")] = None,
    folds: Annotated[
        int | None, typer.Option("--folds", help="Number of folds for the patients outside the test part.")
    ] = None,
    stratify: Annotated[str | None, typer.Option("--stratify", help="Column of patients.csv to stratify by.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Random seed of the split.")] = None,
    layout: Annotated[str, typer.Option("--layout", help="Layout of the folder.")] = "auto",
    masks: Annotated[
        Path | None, typer.Option("--masks", help="Root of the masks; defaults to the root of the data set.")
    ] = None,
    patient_pattern: Annotated[
        str | None, typer.Option("--patient-pattern", help="Regular expression; its group matches the patient.")
    ] = None,
    patients: Annotated[
        Path | None, typer.Option("--patients", help="Table (CSV) with a row per file: its patient, its fold, or both.")
    ] = None,
    stack: Annotated[bool, typer.Option("--stack", help="Read multi-page TIFFs as stacks of slices.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Divide a data set by patient into training, validation and test parts, or folds; reproducible by seed."""
    from metseg.io.case_discovery import find
    from metseg.io.duplicate_images import mark_duplicates
    from metseg.io.splits import make_split

    if out.exists() and not overwrite:
        raise UsageError(
            "the file already exists",
            where=out,
            cure="choose another --out, or replace it with --overwrite",
            code="usage.exists",
        )
    part = _part(by=by, validation=validation, test=test, folds=folds, stratify=stratify, seed=seed)
    table = absolute(patients)
    found = find(root, layout=layout, patient_pattern=patient_pattern, patients=table, masks=masks, stack=stack)
    for note in found.notes:
        typer.echo(f"note: {note}", err=True)
    sources = list(found.sources)
    made = mark_duplicates(make_split(sources, part), sources, quiet=as_json)
    made.save(out)
    for leak in made.leaks:
        typer.echo(f"warning: {leak}: the split leaks patients, so results will be too optimistic", err=True)
    if as_json:
        print(json.dumps(made.to_dict()))
    else:
        _print(made, sources, out)


def _part(**given: Any) -> SplitPart:
    """Return the options as a recipe's split part; an option that is not given keeps the recipe's default."""
    from metseg.recipe import SplitPart, validated

    return validated(SplitPart, {key: value for key, value in given.items() if value is not None}, where="split")


def _print(made: Split, sources: Sequence[CaseSource], out: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    strata = sorted({source.attributes.get(made.stratify, "") for source in sources}) if made.stratify else []
    # The slices of volumes are not known before they are read, and no split divides volumes by slice.
    of_slices = any(source.slice_names for source in sources)
    sizes = ("patients", "cases", "slices") if of_slices else ("patients", "cases")
    table = Table("part", *sizes, *(f"{made.stratify} {value or '(none)'}" for value in strata))
    for name, chosen in _parts(made, sources):
        table.add_row(name, *_sizes(chosen)[: len(sizes)], *_shares(chosen, made.stratify, strata))
    console = Console(highlight=False, markup=False)
    console.print(table)
    console.print(f"split: {out}")


def _parts(made: Split, sources: Sequence[CaseSource]) -> list[tuple[str, Sequence[SelectedCases]]]:
    if not made.folds:
        selection: Selection = made.select(sources)
        return list(selection._asdict().items())
    folds = [(f"fold {fold}", made.select(sources, fold=fold).validation) for fold in range(len(made.folds))]
    return [*folds, ("test", made.select(sources, fold=0).test)]


def _sizes(chosen: Sequence[SelectedCases]) -> list[str]:
    """Return how many patients, cases and slices a part has."""
    slices = sum(len(item.source.slice_names if item.slices is None else item.slices) for item in chosen)
    return [str(size) for size in (len(_by_patient(chosen)), len(chosen), slices)]


def _shares(chosen: Sequence[SelectedCases], column: str | None, strata: Sequence[str]) -> list[str]:
    """Return how many patients of a part have each value of the column."""
    values = [source.attributes.get(column or "", "") for source in _by_patient(chosen).values()]
    return [str(values.count(value)) for value in strata]


def _by_patient(chosen: Sequence[SelectedCases]) -> Mapping[str, CaseSource]:
    return {item.source.patient: item.source for item in chosen}

"""``metseg compare``: train several recipes on the same folds with the same budget."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from metseg.cli.output import print_transposed


def compare(
    recipes: Annotated[list[str], typer.Argument(help="Recipe files or names of shipped recipes.", metavar="RECIPE")],
    data: Annotated[Path, typer.Option("--data", help="The data set: images with masks.")],
    out: Annotated[Path, typer.Option("--out", help="Output folder for runs, tables and figures.")],
    folds: Annotated[
        int, typer.Option("--folds", help="Number of cross-validation folds; requires split.test = 0.", min=0)
    ] = 0,
    split: Annotated[Path | None, typer.Option("--split", help="Split file of `metseg split`.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change every recipe, such as train.max_minutes=20."),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="Device: auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the results of an earlier comparison; its runs are kept.")
    ] = False,
    allow_changed_data: Annotated[
        bool,
        typer.Option("--allow-changed-data", help="Continue the runs in OUT even if images or masks changed."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train several recipes on the same patients and report whether one is significantly better."""
    from metseg.recipe import load_recipe
    from metseg.training.recipe_validation import check_recipe

    for name in recipes:
        check_recipe(load_recipe(name, changes or ()))
    # Imports torch, which takes seconds; recipes are checked before.
    from metseg.api.training import compare as run_comparison
    from metseg.experiment.comparison_files import comparison_document, comparison_table
    from metseg.experiment.report_parts import models_table

    comparison = run_comparison(
        recipes,
        data,
        out,
        changes=changes or (),
        folds=folds,
        split=split,
        device=device,
        overwrite=overwrite,
        allow_changed_data=allow_changed_data,
    )
    if as_json:
        print(json.dumps(comparison_document(comparison)))
        return
    for note in (*comparison.warnings, *comparison.notes):
        typer.echo(f"warning: {note}", err=True)
    if sys.stdout.isatty():
        table = models_table(comparison)
        print_transposed(table.titles, table.rows)
    else:
        print(comparison_table(comparison))
    print(f"\n{comparison.verdict}\nresults: {out / 'results.md'}\nreport: {out / 'report.html'}")

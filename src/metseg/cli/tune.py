"""``metseg tune``: search for values of a recipe with the best validation Dice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from metseg.message_text import pluralize


def tune(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of a shipped recipe.")],
    data: Annotated[Path, typer.Option("--data", help="The data set: images with masks.")],
    space: Annotated[
        Path, typer.Option("--space", help="TOML file: keys of the recipe, each with a range or choices.")
    ],
    minutes: Annotated[float, typer.Option("--minutes", min=0, help="Time of the search in minutes.")],
    out: Annotated[Path, typer.Option("--out", help="Output folder for trials.csv, best.toml and figures.")],
    trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="End the search after this number of trials.")
    ] = None,
    split: Annotated[Path | None, typer.Option("--split", help="Split file of `metseg split`.")] = None,
    fold: Annotated[int | None, typer.Option("--fold", help="Validation fold of the split, from 0.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe of all trials: train.max_steps=200."),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URL",
            help="Storage of the trials, shared by several machines: the URL of a database, such as "
            "postgresql+psycopg://user@host/db, or journal:FILE; defaults to OUT/study.db.",
        ),
    ] = None,
    study: Annotated[str, typer.Option("--study", help="Name of the search in --storage.")] = "metseg",
    pruner: Annotated[
        str, typer.Option("--pruner", metavar="NAME", help="Rule that ends poor trials early: median, hyperband, none.")
    ] = "median",
    resume: Annotated[bool, typer.Option("--resume", help="Continue the search in OUT.")] = False,
    device: Annotated[str, typer.Option("--device", help="Device: auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Search for values of a recipe with the best Dice on validation patients; test patients are never read."""
    from metseg.experiment.tuning.search_space import describe_space, load_space
    from metseg.experiment.tuning.study_storage import PRUNERS, require_optuna
    from metseg.recipe import load_recipe, refuse_split_changes
    from metseg.registry import lookup
    from metseg.training.recipe_validation import check_recipe

    refuse_split_changes(changes or (), split)
    loaded = load_recipe(recipe, changes or ())
    check_recipe(loaded)
    wanted = load_space(space, loaded)
    lookup("pruner", PRUNERS, pruner)
    require_optuna()
    # Imports torch, which takes seconds; recipe and space are checked before.
    from metseg.experiment.tuning.tuner import Tuning
    from metseg.experiment.tuning.tuner import tune as run_search

    typer.echo(f"searching {describe_space(wanted)}", err=True)
    result = run_search(
        Tuning(
            loaded,
            wanted,
            data,
            out,
            minutes,
            trials=trials,
            split_file=split,
            fold=fold,
            storage=storage,
            study=study,
            pruner=pruner,
            resume=resume,
            device=device,
        )
    )
    if as_json:
        best = {"trial": result.best_number, "validation_dice": result.best_dice, "values": dict(result.best_values)}
        print(json.dumps({"out": str(out), "trials": dict(result.states), "best": best}))
        return
    states = ", ".join(f"{count} {state}" for state, count in result.states.items())
    print(f"{pluralize(sum(result.states.values()), 'trial')}: {states}")
    print(f"best: trial {result.best_number}, validation Dice {result.best_dice:.3f}")
    for key, value in result.best_values.items():
        print(f"  {key} = {value}")
    print(f"next: metseg train {out / 'best.toml'} --data {data} --split {out / 'split.json'} --out {out / 'run'}")

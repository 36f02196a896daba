"""``metseg train``: train one recipe on one data set and write a bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def train(
    recipe: Annotated[str, typer.Argument(help="A recipe file, or the name of a shipped recipe.")],
    data: Annotated[Path, typer.Option("--data", help="The data set: images with masks.")],
    out: Annotated[Path, typer.Option("--out", help="Run folder; the trained bundle will be OUT/bundle.")],
    split: Annotated[Path | None, typer.Option("--split", help="Split file of `metseg split`.")] = None,
    fold: Annotated[int | None, typer.Option("--fold", help="Fold of the split, from 0.")] = None,
    init: Annotated[str | None, typer.Option("--init", help="Start from the weights of this bundle.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="Change the recipe: key=value, such as train.max_minutes=20.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run in OUT.")] = False,
    allow_changed_data: Annotated[
        bool, typer.Option("--allow-changed-data", help="With --resume: continue even if images or masks changed.")
    ] = False,
    cache: Annotated[Path | None, typer.Option("--cache", help="Cache folder for preprocessed cases.")] = None,
    device: Annotated[str, typer.Option("--device", help="Device: auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    devices: Annotated[int, typer.Option("--devices", help="Number of devices per machine.")] = 1,
    nodes: Annotated[int, typer.Option("--nodes", help="Number of machines; start with torchrun or srun.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Train a network from a recipe. The run can be interrupted at any time and resumed."""
    from metseg.recipe import load_recipe, refuse_split_changes
    from metseg.training.recipe_validation import check_recipe

    refuse_split_changes(changes or (), split)
    loaded = load_recipe(recipe, changes or ())
    check_recipe(loaded)
    # Imports torch, which takes seconds; the recipe is checked before.
    from metseg.training.run import Run, train_run

    run = Run(
        data=data,
        out=out,
        split_file=split,
        fold=fold,
        init=init,
        resume=resume,
        allow_changed_data=allow_changed_data,
        cache=cache,
        device=device,
        devices=devices,
        nodes=nodes,
    )
    bundle = train_run(loaded, run)
    if not run.ranks.leads:
        return  # the first process prints the result
    if as_json:
        metrics = json.loads((bundle / "metrics.json").read_text("utf-8"))
        print(json.dumps({"bundle": str(bundle), "metrics": metrics}))
        return
    print(f"bundle: {bundle}")

"""``metseg train``: train one recipe on one data set and write a bundle."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from metseg.message_text import pluralize


def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="A recipe file, or the name of a shipped recipe.")],
    data: Annotated[Path, typer.Option("--data", help="The data set: images with masks.")],
    out: Annotated[Path, typer.Option("--out", help="Run folder; the trained bundle will be OUT/bundle.")],
    split: Annotated[Path | None, typer.Option("--split", help="Split file of `metseg split`.")] = None,
    fold: Annotated[int | None, typer.Option("--fold", help="Fold of the split, from 0.")] = None,
    init: Annotated[
        str | None,
        typer.Option("--init", metavar="NAME_OR_FOLDER", help="Start from the weights of this bundle or training."),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change the recipe, such as train.max_minutes=20."),
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
    metrics = json.loads((bundle / "metrics.json").read_text("utf-8"))
    if as_json:
        print(json.dumps({"bundle": str(bundle), "metrics": metrics}))
        return
    part = next((part for part in ("test", "validation") if part in metrics), None)
    for line in () if part is None else _score_lines(part, metrics[part]):
        print(line)
    print(f"bundle: {bundle}")
    if part is not None:
        print(f"next: {_next_command(data, out, part)}")


def _score_lines(part: str, summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield the scores of one part of the split, one line for each region."""
    from metseg.evaluation.statistics.summary import LESIONS_IN_SLICES

    patients = pluralize(summary["patients"], f"{part} patient")
    yield f"scores of {patients}, mean [95 % interval over patients]:"
    for region, scores in summary["regions"].items():
        lesions = scores["lesions"]
        found = f"{lesions['found']} of {lesions['found'] + lesions['missed']} lesions found, {lesions['false']} false"
        yield f"  {region}: Dice {_interval_text(scores['metrics']['dice'])}; {found}"
    if any(scores["slice_metrics"] for scores in summary["regions"].values()):
        yield f"  {LESIONS_IN_SLICES}"


def _interval_text(interval: Mapping[str, float | None] | None) -> str:
    if interval is None:
        return "not defined"
    ends = "" if interval["low"] is None else f" [{interval['low']:.3f}, {interval['high']:.3f}]"
    return f"{interval['mean']:.3f}{ends}"


def _next_command(data: Path, out: Path, part: str) -> str:
    """Return the command that predicts the scored patients, to look at their masks and overlays."""
    from metseg.io.case_discovery import split_roots
    from metseg.training.run_folder import RunFolder

    folder = RunFolder(out)
    fold = folder.read_state().get("choices", {}).get("fold")
    words = [
        "metseg",
        "predict",
        split_roots(str(data))[0],
        "--model",
        out,
        "--split",
        folder.split_file,
        "--part",
        part,
    ]
    words += [] if fold is None or part == "test" else ["--fold", fold]
    return shlex.join(map(str, [*words, "--out", out / "predictions"]))

"""Train networks, and compare recipes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metseg.argument_checks import optional_path, require_instance, require_path, require_texts, wrong_type
from metseg.experiment.compare import Plan
from metseg.experiment.compare import compare as run_comparison
from metseg.experiment.comparison_files import write_results
from metseg.experiment.comparison_result import Comparison
from metseg.io.splits import Split
from metseg.recipe import Recipe, load_recipe, parse_recipe, refuse_split_changes
from metseg.training.run import Run, train_run


def train(
    recipe: Recipe | str | Path,
    data: str | Path,
    out: str | Path,
    *,
    changes: Sequence[str] = (),
    split: str | Path | None = None,
    resume: bool = False,
    allow_changed_data: bool = False,
    device: str = "auto",
) -> Path:
    """Train a network and return the folder of its bundle, for `metseg.load_model`.

    Args:
        recipe: a recipe, its file, or the name of a shipped one.
        data: folder of images with masks.
        out: the run folder.
        changes: changes of the recipe, each ``key=value``, such as ``["train.max_minutes=20"]``.
        split: file from ``metseg split``; None: the split that the recipe describes.
        resume: continue the run in ``out``.
        allow_changed_data: with `resume`, continue although images or masks changed since the run began.
        device: such as ``auto``, ``cpu``, ``cuda``.
    Raises:
        UsageError: a wrong recipe, a run folder that holds another run, changed data, `allow_changed_data` without
            `resume`, or an argument of a wrong type.
        InputError: data that cannot be used.
        LockedError: another process trains in ``out``.

    Examples:
        Twenty minutes of training::

            bundle = metseg.train("demo-unet", "data", "run", changes=["train.max_minutes=20"])
            model = metseg.load_model(bundle)

    For folds, initial weights and a cache folder, use `metseg.training.run.train_run`.
    """
    listed, split_file = require_texts("changes", changes), optional_path("split", split)
    require_instance("device", device, str, expected="a text such as 'cpu'")
    refuse_split_changes(listed, split_file)
    run = Run(
        require_path("data", data),
        require_path("out", out),
        split_file=split_file,
        resume=resume,
        allow_changed_data=allow_changed_data,
        device=device,
    )
    return train_run(_recipe(recipe, listed), run)


def compare(
    recipes: Sequence[Recipe | str | Path],
    data: str | Path,
    out: str | Path,
    *,
    changes: Sequence[str] = (),
    folds: int = 0,
    split: str | Path | None = None,
    device: str = "auto",
    overwrite: bool = False,
    allow_changed_data: bool = False,
) -> Comparison:
    """Train several recipes on the same patients; write `report.html`, `results.md`, `results.json` and figures.

    Args:
        recipes: each a recipe, its file, or the name of a shipped one.
        data: folder of images with masks.
        out: folder for runs, tables and figures; finished runs there are not repeated.
        changes: changes of every recipe, each ``key=value``, such as ``["train.max_minutes=20"]``.
        folds: number of folds of a cross-validation over all patients; it requires recipes without test patients
            (``changes=["split.test=0"]``). 0: one split.
        split: file from ``metseg split``; None: the split that the first recipe describes.
        device: such as ``auto``, ``cpu``, ``cuda``.
        overwrite: replace the results of an earlier comparison in ``out``; its finished runs are kept.
        allow_changed_data: continue its runs although images or masks changed since they began.
    Returns:
        the scores of each recipe, the paired tests and the verdict.
    Raises:
        UsageError: a wrong recipe, folds with ``split.test`` above 0, results that would be replaced, changed data,
            `allow_changed_data` where no run was begun, or an argument of a wrong type.
        InputError: data that cannot be used.

    Examples:
        Two shipped recipes::

            comparison = metseg.compare(["lgg-fast", "demo-unet"], "data", "comparison")
            print(comparison.verdict)
    """
    listed, split_file = require_texts("changes", changes), optional_path("split", split)
    require_instance("device", device, str, expected="a text such as 'cpu'")
    require_instance("folds", folds, int, expected="a whole number")
    if isinstance(recipes, str | Path | Recipe) or not isinstance(recipes, Sequence):
        raise wrong_type("recipes", recipes, expected="a list of recipes", cure="write recipes=[first, second]")
    folded = split_file is not None and Split.load(split_file).folds
    # With folds, the recipe still says how many of the patients outside a fold are for validation.
    refuse_split_changes(listed, split_file, used=("split.validation",) if folded else ())
    comparison = run_comparison(
        Plan(
            tuple(_recipe(recipe, listed) for recipe in recipes),
            require_path("data", data),
            require_path("out", out),
            folds=folds,
            split_file=split_file,
            device=device,
            overwrite=overwrite,
            allow_changed_data=allow_changed_data,
        )
    )
    write_results(comparison, Path(out))
    return comparison


def _recipe(recipe: Recipe | str | Path, changes: Sequence[str]) -> Recipe:
    if isinstance(recipe, Recipe):
        where = f"recipe {recipe.name}"
        return parse_recipe(recipe.to_toml(), where=where, changes=changes) if changes else recipe
    if not isinstance(recipe, str | Path):
        raise wrong_type("recipe", recipe, expected="a recipe, its file, or the name of a shipped one")
    return load_recipe(recipe, changes)

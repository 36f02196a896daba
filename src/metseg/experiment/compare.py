"""Train several recipes on the same folds with the same budget, and test which is better."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from metseg.errors import UsageError
from metseg.experiment.comparison_files import result_files
from metseg.experiment.comparison_result import ComparedModel, Comparison
from metseg.experiment.cross_validation import cross_validation_splits
from metseg.experiment.fairness import fairness_warnings, require_comparable
from metseg.inference.predictor import Predictor
from metseg.io.case_source import CaseSource
from metseg.io.duplicate_images import mark_duplicates
from metseg.io.splits import Split, make_split
from metseg.model.bundle import load_bundle
from metseg.recipe import Recipe
from metseg.training.data import read_sources
from metseg.training.data_record import read_data
from metseg.training.recipe_validation import validate_recipe
from metseg.training.run import Run, train_run
from metseg.training.run_folder import RunFolder
from metseg.training.run_scoring import ScoredRun, score_run

#: File name of a comparison's split, in its folder.
SPLIT = "split.json"

#: What of a bundle's figures says what its training took.
TRAINING_FACTS = ("parameters", "minutes", "validation_loss", "steps", "peak_memory_gb")


@dataclass(frozen=True)
class Plan:
    """The inputs of a comparison.

    Args:
        recipes: at least one; names must be unique.
        data: root of the data set.
        out: output folder for runs, tables and figures.
        folds: number of cross-validation folds; 0: one split, scored on its test patients.
        split_file: a split to use; None: the first recipe's.
        device: such as ``auto``, ``cpu``, ``cuda``.
        overwrite: replace the results of an earlier comparison in ``out``; its runs are kept.
        allow_changed_data: continue the runs in ``out`` even if images or masks changed since they began.
    """

    recipes: tuple[Recipe, ...]
    data: Path
    out: Path
    folds: int = 0
    split_file: Path | None = None
    device: str = "auto"
    overwrite: bool = False
    allow_changed_data: bool = False


def compare(plan: Plan) -> Comparison:
    """Train, score and compare. Skips finished runs in ``plan.out`` and resumes interrupted ones.

    Raises:
        UsageError: a recipe that is wrong, two of one name, recipes that predict different labels, a split without
            patients to judge, a folder with runs of another recipe, split or other data, or with results that would be
            replaced.
        InputError: data that cannot be used.
    """
    for recipe in plan.recipes:
        validate_recipe(recipe)
    require_comparable(plan.recipes)
    _require_no_results(plan)
    first = plan.recipes[0]
    sources = read_sources(first, plan.data)
    split = mark_duplicates(_shared_split(plan, sources), sources, cache=plan.out / "cache")
    judged = cross_validation_splits(split, sources, validation=first.split.validation)
    _require_begun(plan, judged)
    # Changed data usually change the split too. Check the data first, because they are the cause.
    changed_runs = _require_same_data(plan, judged)
    _require_same_runs(plan, judged)
    _require_same_split(split, plan)
    split.save(plan.out / SPLIT)
    contestants = tuple(_contest(recipe, plan, judged, changed_runs) for recipe in plan.recipes)
    changed = tuple(f"{one.name}: {remark}" for one in contestants for remark in one.changed_data)
    return Comparison(contestants, split, (*fairness_warnings(plan.recipes), *changed))


def _require_no_results(plan: Plan) -> None:
    """Refuse to replace existing results. An interrupted comparison has none yet and is resumed.

    Raises:
        UsageError: ``usage.exists``.
    """
    there = [name for name in result_files([one.name for one in plan.recipes]) if (plan.out / name).exists()]
    if there and not plan.overwrite:
        raise UsageError(
            "results of a comparison already exist",
            where=plan.out,
            got=", ".join(there),
            cure="choose another --out, or replace them with --overwrite (finished runs are kept)",
            code="usage.exists",
        )


def _require_same_split(split: Split, plan: Plan) -> None:
    """Refuse to replace the split of another comparison.

    Raises:
        UsageError: ``usage.exists``.
    """
    file = plan.out / SPLIT
    if file.exists() and not plan.overwrite and Split.load(file) != split:
        raise UsageError(
            "the folder holds a different split",
            where=file,
            cure="choose another --out, use that split with --split, or replace it with --overwrite",
            code="usage.exists",
        )


def _runs(recipe: Recipe, plan: Plan, judged: Sequence[Split]) -> list[tuple[RunFolder, Split]]:
    """Return the run folder of each fold."""
    names = [f"fold{fold}" for fold in range(len(judged))] if len(judged) > 1 else ["run"]
    return [(RunFolder(plan.out / recipe.name / name), split) for name, split in zip(names, judged, strict=True)]


def _require_same_runs(plan: Plan, judged: Sequence[Split]) -> None:
    """Refuse a folder with runs of another split, before anything is written.

    Raises:
        UsageError: a run was started with another split.
    """
    for recipe in plan.recipes:
        for run, split in _runs(recipe, plan, judged):
            if run.exists:
                run.require_split(split, where=run.path)


def _require_begun(plan: Plan, judged: Sequence[Split]) -> None:
    """Refuse ``allow_changed_data`` where no run was started.

    Raises:
        UsageError: ``usage.run``.
    """
    runs = [run for recipe in plan.recipes for run, _ in _runs(recipe, plan, judged)]
    if plan.allow_changed_data and not any(run.exists for run in runs):
        raise UsageError(
            "--allow-changed-data continues existing runs, and the folder has none",
            where=plan.out,
            cure="remove --allow-changed-data",
            code="usage.run",
        )


def _require_same_data(plan: Plan, judged: Sequence[Split]) -> dict[Path, str]:
    """Refuse runs that were started with another recipe or on other data, before anything is written or trained.

    Returns:
        How the data of finished runs differ from the current data, by run folder, where that is allowed.
    Raises:
        UsageError: as `metseg.training.data_record.read_data`; a run was started with another recipe.
    """
    remarks: dict[Path, str] = {}
    for recipe in plan.recipes:
        begun = [run for run, _ in _runs(recipe, plan, judged) if run.exists]
        for run in begun:
            run.check(recipe, resume=True)
        if plan.allow_changed_data:  # a run that goes on says it itself
            begun = [run for run in begun if run.is_finished]
        sources = read_sources(recipe, plan.data) if begun else []
        for run in begun:
            allowed = plan.allow_changed_data
            record = read_data(run.data_file, sources, allow_changed=allowed, is_finished=run.is_finished)
            if record.remark is not None:
                remarks[run.path] = record.remark
    return remarks


def _contest(recipe: Recipe, plan: Plan, judged: Sequence[Split], changed_runs: Mapping[Path, str]) -> ComparedModel:
    """Train one recipe on every unfinished fold, and collect each network's results on its fold."""
    runs, seen, metrics = [], [], []
    for run, split in _runs(recipe, plan, judged):
        if not run.is_finished:
            _train(recipe, plan, run=run, split=split)
        runs.append(run)
        seen.append(_seen(recipe, plan, run=run, split=split))
        metrics.append(json.loads((run.bundle / "metrics.json").read_text("utf-8")))
    # Runs of earlier versions lack some of these figures.
    keys = [key for key in TRAINING_FACTS if all(known.get(key) is not None for known in metrics)]
    facts = [
        {**{key: float(known[key]) for key in keys}, "slices_per_s": one.slices_per_s}
        for known, one in zip(metrics, seen, strict=True)
    ]
    return ComparedModel(
        recipe=recipe,
        bundles=tuple(run.bundle for run in runs),
        scores=tuple(score for one in seen for score in one.scores),
        snapshots=tuple(snapshot for one in seen for snapshot in one.snapshots),
        facts={key: sum(fact[key] for fact in facts) / len(facts) for key in facts[0]},
        curves=pd.read_csv(runs[0].epochs_log),
        machines=tuple(known.get("machine", {}) for known in metrics),
        changed_data=(
            *(remark for known in metrics for remark in known.get("changed_data", ())),
            *(changed_runs[run.path] for run in runs if run.path in changed_runs),
        ),
    )


def _train(recipe: Recipe, plan: Plan, *, run: RunFolder, split: Split) -> None:
    split_file = plan.out / "splits" / f"{run.path.name}.json"
    split.save(split_file)
    train_run(
        recipe,
        Run(
            plan.data,
            run.path,
            split_file=split_file,
            resume=run.exists,
            allow_changed_data=plan.allow_changed_data and run.exists,
            cache=plan.out / "cache",
            device=plan.device,
        ),
    )


def _seen(recipe: Recipe, plan: Plan, *, run: RunFolder, split: Split) -> ScoredRun:
    """Return the scores and snapshots of the run's test patients, which the run saved when it ended."""
    if not ScoredRun.is_in(run.test):  # a run that ended before this was kept
        predictor = Predictor.from_bundle(load_bundle(run.bundle), device=plan.device)
        score_run(predictor, split.select(read_sources(recipe, plan.data)).test, f"Scoring {recipe.name}").save(
            run.test
        )
    return ScoredRun.load(run.test)


def _shared_split(plan: Plan, sources: Sequence[CaseSource]) -> Split:
    """Return the split of all recipes: the file's, or the one that the first recipe describes."""
    if plan.split_file is None:
        part = plan.recipes[0].split
        if plan.folds and part.test > 0:
            raise UsageError(
                "the recipe holds out test patients, but a cross-validation scores every patient",
                where=f"recipe {plan.recipes[0].name}",
                got=f"split.test = {part.test:g} and {plan.folds} folds",
                cure="set split.test to 0 (--set split.test=0), or remove --folds",
                code="usage.split",
            )
        return make_split(sources, part.model_copy(update={"folds": plan.folds}) if plan.folds else part)
    split = Split.load(plan.split_file)
    if plan.folds not in (0, len(split.folds)):
        raise UsageError(
            "the split's number of folds is not the requested one",
            where=plan.split_file,
            expected=plan.folds,
            got=len(split.folds),
            cure="remove --folds, or create a new split",
            code="usage.split",
        )
    return split

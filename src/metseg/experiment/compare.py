"""Train several recipes on the same folds with the same budget, and say honestly which is better."""

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
from metseg.training.scoring import ScoredRun, score_run

#: The split of a comparison, in its folder.
SPLIT = "split.json"

#: What of a bundle's figures says what its training took.
TRAINING_FACTS = ("parameters", "minutes", "validation_loss", "steps", "peak_memory_gb")


@dataclass(frozen=True)
class Plan:
    """What is compared on what.

    Args:
        recipes: each with a name of its own.
        data: root of the data set.
        out: where runs, tables and figures go.
        folds: how many folds to cross-validate on; 0: one split, scored on its test patients.
        split_file: a split to use; None: the first recipe's.
        device: such as ``auto``, ``cpu``, ``cuda``.
        overwrite: replace the results of an earlier comparison in ``out``; its runs are kept all the same.
        allow_changed_data: go on with the runs in ``out`` even where images or masks changed since they began.
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
    """Train, score and compare; finished runs in ``plan.out`` are not repeated, interrupted ones are resumed.

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
    # Other data mostly have another split too: what is really wrong comes first.
    changed_runs = _require_same_data(plan, judged)
    _require_same_runs(plan, judged)
    _require_same_split(split, plan)
    split.save(plan.out / SPLIT)
    contestants = tuple(_contest(recipe, plan, judged, changed_runs) for recipe in plan.recipes)
    changed = tuple(f"{one.name}: {remark}" for one in contestants for remark in one.changed_data)
    return Comparison(contestants, split, (*fairness_warnings(plan.recipes), *changed))


def _require_no_results(plan: Plan) -> None:
    """Refuse to replace results; an interrupted comparison has none yet, and goes on.

    Raises:
        UsageError: ``usage.exists``.
    """
    there = [name for name in result_files([one.name for one in plan.recipes]) if (plan.out / name).exists()]
    if there and not plan.overwrite:
        raise UsageError(
            "the results of a comparison are there already",
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
            "the folder holds another split",
            where=file,
            cure="choose another --out, take that split with --split, or replace it with --overwrite",
            code="usage.exists",
        )


def _runs(recipe: Recipe, plan: Plan, judged: Sequence[Split]) -> list[tuple[RunFolder, Split]]:
    """Return the run folder of each fold."""
    names = [f"fold{fold}" for fold in range(len(judged))] if len(judged) > 1 else ["run"]
    return [(RunFolder(plan.out / recipe.name / name), split) for name, split in zip(names, judged, strict=True)]


def _require_same_runs(plan: Plan, judged: Sequence[Split]) -> None:
    """Refuse a folder with runs of another split before anything is written there.

    Raises:
        UsageError: a run was begun with another split.
    """
    for recipe in plan.recipes:
        for run, split in _runs(recipe, plan, judged):
            if run.exists:
                run.require_split(split, where=run.path)


def _require_begun(plan: Plan, judged: Sequence[Split]) -> None:
    """Refuse to allow changed data where no run was begun.

    Raises:
        UsageError: ``usage.run``.
    """
    runs = [run for recipe in plan.recipes for run, _ in _runs(recipe, plan, judged)]
    if plan.allow_changed_data and not any(run.exists for run in runs):
        raise UsageError(
            "--allow-changed-data is for a comparison whose runs were begun, and there is none",
            where=plan.out,
            cure="leave --allow-changed-data out",
            code="usage.run",
        )


def _require_same_data(plan: Plan, judged: Sequence[Split]) -> dict[Path, str]:
    """Refuse runs that were begun with another recipe or on other data before anything is written or trained.

    Returns:
        How the data of finished runs differ from those of now, by run folder, where that is allowed.
    Raises:
        UsageError: as `metseg.training.data_record.read_data`; a run was begun with another recipe.
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
    """Train one recipe on every fold that is not finished yet, and gather what each network did on its fold."""
    runs, seen, metrics = [], [], []
    for run, split in _runs(recipe, plan, judged):
        if not run.is_finished:
            _train(recipe, plan, run=run, split=split)
        runs.append(run)
        seen.append(_seen(recipe, plan, run=run, split=split))
        metrics.append(json.loads((run.bundle / "metrics.json").read_text("utf-8")))
    # A run of an earlier version does not say all of it.
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
    """Return what the run saw of its test patients when it ended: they are read once, and not again here."""
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
                "the recipe keeps patients back for a test, and a cross-validation judges every patient",
                where=f"recipe {plan.recipes[0].name}",
                got=f"split.test = {part.test:g} and {plan.folds} folds",
                cure="set split.test to 0 (--set split.test=0) to judge every patient, or leave --folds out",
                code="usage.split",
            )
        return make_split(sources, part.model_copy(update={"folds": plan.folds}) if plan.folds else part)
    split = Split.load(plan.split_file)
    if plan.folds not in (0, len(split.folds)):
        raise UsageError(
            "the split has another number of folds than were asked for",
            where=plan.split_file,
            expected=plan.folds,
            got=len(split.folds),
            cure="leave --folds out, or make the split anew",
            code="usage.split",
        )
    return split

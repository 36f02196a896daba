"""Train several recipes on the same folds with the same budget, and say honestly which is better."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from metseg.errors import UsageError
from metseg.evaluate import CaseScores
from metseg.experiment.fairness import fairness_warnings, require_comparable
from metseg.experiment.folds import judged_splits
from metseg.experiment.machine import describe_machine
from metseg.experiment.outcome import Comparison, Contestant
from metseg.experiment.snapshot import Snapshot, take_snapshot
from metseg.io.source import CaseSource
from metseg.io.splits import Chosen, Split, make_split
from metseg.model.bundle import load_bundle
from metseg.predict.inference import choose_compute
from metseg.predict.predictor import Predictor
from metseg.progress import track
from metseg.recipe import Recipe
from metseg.train.data import read_sources
from metseg.train.finish import load_chosen, score_case
from metseg.train.resolve import resolve
from metseg.train.run import Run, train_run
from metseg.train.run_folder import RunFolder


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
    """

    recipes: tuple[Recipe, ...]
    data: Path
    out: Path
    folds: int = 0
    split_file: Path | None = None
    device: str = "auto"


def compare(plan: Plan) -> Comparison:
    """Train, score and compare; finished runs in ``plan.out`` are not repeated, interrupted ones are resumed.

    Raises:
        UsageError: a recipe that is wrong, two of one name, recipes that predict different labels, a split without
            patients to judge, or a folder with runs of another recipe or split.
        InputError: data that cannot be used.
    """
    for recipe in plan.recipes:
        resolve(recipe)
    require_comparable(plan.recipes)
    first = plan.recipes[0]
    sources = read_sources(first, plan.data)
    split = _shared_split(plan, sources)
    judged = judged_splits(split, sources, validation=first.split.validation)
    split.save(plan.out / "split.json")
    contestants = tuple(_contest(recipe, plan, judged) for recipe in plan.recipes)
    machine = describe_machine(choose_compute(device=plan.device))
    return Comparison(contestants, split, fairness_warnings(plan.recipes), machine)


def _contest(recipe: Recipe, plan: Plan, judged: Sequence[Split]) -> Contestant:
    """Train one recipe on every fold that is not finished yet, and score each network on the fold it has not seen."""
    sources = read_sources(recipe, plan.data)
    runs, scores, snapshots, facts = [], [], [], []
    for fold, split in enumerate(judged):
        run = RunFolder(plan.out / recipe.name / (f"fold{fold}" if len(judged) > 1 else "run"))
        if not _is_finished(run, recipe, split):
            _train(recipe, plan, run, split)
        found, shown, pace = _score(run.bundle, split.select(sources).test, plan.device, f"Scoring {recipe.name}")
        runs.append(run)
        scores += found
        snapshots += shown
        facts.append({**_training_facts(run.bundle), "slices_per_s": pace})
    return Contestant(
        recipe=recipe,
        bundles=tuple(run.bundle for run in runs),
        scores=tuple(scores),
        snapshots=tuple(snapshots),
        facts={key: sum(fact[key] for fact in facts) / len(facts) for key in facts[0]},
        curves=pd.read_csv(runs[0].epochs_log),
    )


def _is_finished(run: RunFolder, recipe: Recipe, split: Split) -> bool:
    """Return whether the run needs no more training.

    Raises:
        UsageError: what is in the folder was begun with another recipe or split.
    """
    if not run.exists:
        return False
    run.begin(recipe, resume=True)
    if run.split_file.exists() and Split.load(run.split_file) != split:
        raise UsageError(
            "the run was begun with another split",
            where=run.path,
            cure="compare in another --out",
            code="usage.run",
        )
    return bool(run.read_state().get("state") == "finished" and run.bundle.exists())


def _train(recipe: Recipe, plan: Plan, run: RunFolder, split: Split) -> None:
    split_file = plan.out / "splits" / f"{run.path.name}.json"
    split.save(split_file)
    train_run(
        recipe,
        Run(
            plan.data,
            run.path,
            split_file=split_file,
            resume=run.exists,
            cache=plan.out / "cache",
            device=plan.device,
        ),
    )


def _score(
    bundle: Path, judged: Sequence[Chosen], device: str, what: str
) -> tuple[list[CaseScores], list[Snapshot], float]:
    """Return scores and snapshots, and slices per second of the prediction itself: without reading and scoring.

    One prediction is in memory at a time.
    """
    predictor = Predictor.from_bundle(load_bundle(bundle), device=device)
    scores, snapshots, seconds, slices = [], [], 0.0, 0
    for chosen in track(judged, what):
        case = load_chosen(chosen)
        begin = time.perf_counter()
        prediction = predictor(case)
        seconds += time.perf_counter() - begin
        slices += prediction.labels.shape[2]
        scores.append(score_case(prediction, case))
        snapshots.append(take_snapshot(prediction, case))
    return scores, snapshots, slices / seconds if seconds else 0.0


def _training_facts(bundle: Path) -> dict[str, float]:
    metrics = json.loads((bundle / "metrics.json").read_text("utf-8"))
    return {key: float(metrics[key]) for key in ("parameters", "minutes", "steps", "peak_memory_gb")}


def _shared_split(plan: Plan, sources: Sequence[CaseSource]) -> Split:
    """Return the split of all recipes: the file's, or the one that the first recipe describes."""
    if plan.split_file is None:
        part = plan.recipes[0].split
        return make_split(sources, part.model_copy(update={"folds": plan.folds, "test": 0.0}) if plan.folds else part)
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

"""Train several recipes on the same folds with the same budget, and say honestly which is better."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from metseg.errors import UsageError
from metseg.evaluate import CaseScores, PairedComparison, Summary, compare_models, summarise
from metseg.evaluate.intervals import patient_means
from metseg.io.splits import Chosen, Split, make_split
from metseg.model.bundle import load_bundle
from metseg.plot.curves import draw_curves
from metseg.predict.predictor import Predictor
from metseg.progress import track
from metseg.recipe import Recipe, SplitPart
from metseg.train.data import read_sources
from metseg.train.finish import load_chosen, score_case
from metseg.train.resolve import resolve
from metseg.train.run import Run, train_run


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


@dataclass(frozen=True)
class Contestant:
    """One recipe after all its runs.

    Args:
        recipe: what was trained.
        bundles: one per fold.
        scores: one per case, each predicted by the network that had not seen the patient.
        facts: parameters, minutes of training, slices per second, peak memory.
    """

    recipe: Recipe
    bundles: tuple[Path, ...]
    scores: tuple[CaseScores, ...]
    facts: Mapping[str, float]

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def summary(self) -> Summary:
        return summarise(self.scores)

    def dice_by_patient(self) -> dict[str, float]:
        """Return each patient's Dice, the mean over regions."""
        regions = next(iter(self.scores)).regions
        per_case = (
            (score.patient, sum(score[region]["dice"] or 0.0 for region in regions) / len(regions))
            for score in self.scores
        )
        return {patient: float(value or 0.0) for patient, value in patient_means(per_case).items()}


@dataclass(frozen=True)
class Comparison:
    """The outcome.

    Args:
        contestants: in the order of the recipes.
        pairs: every two of them on the Dice by patient.
        split: which patient was where.
        scored: "test patients", or "cross-validation".
    """

    contestants: tuple[Contestant, ...]
    pairs: tuple[PairedComparison, ...]
    split: Split
    scored: str

    @property
    def best(self) -> Contestant:
        """Return the recipe of the highest mean Dice."""
        return max(self.contestants, key=lambda one: _mean(one.dice_by_patient()))

    @property
    def verdict(self) -> str:
        """Return what may be said: the best is named only if it is shown to be better than every other."""
        best = self.best.name
        against = [pair for pair in self.pairs if best in (pair.first, pair.second)]
        if against and all(pair.verdict == f"{best} is better" for pair in against):
            return f"{best} is better than every other"
        if not against:
            return "one recipe: nothing to compare"
        return "no difference shown between the best ones"


def compare(plan: Plan) -> Comparison:
    """Train, score and compare; finished runs in ``plan.out`` are not repeated, interrupted ones are resumed.

    Raises:
        UsageError: two recipes of one name, different data parts, or a recipe that is wrong.
    """
    for recipe in plan.recipes:
        resolve(recipe)
    _require_comparable(plan.recipes)
    split = _shared_split(plan)
    split_file = plan.out / "split.json"
    split.save(split_file)
    folds = tuple(range(len(split.folds))) or (None,)
    contestants = tuple(_contest(recipe, plan, split, split_file, folds) for recipe in plan.recipes)
    figures = {one.name: one.dice_by_patient() for one in contestants}
    comparison = Comparison(
        contestants, tuple(compare_models(figures)), split, "cross-validation" if split.folds else "test patients"
    )
    draw_curves({one.name: _curves(plan.out / one.name) for one in contestants}, plan.out / "curves.png")
    return comparison


def _contest(recipe: Recipe, plan: Plan, split: Split, split_file: Path, folds: Sequence[int | None]) -> Contestant:
    bundles, scores, facts = [], [], []
    for fold in folds:
        out = plan.out / recipe.name / ("run" if fold is None else f"fold{fold}")
        bundle = out / "bundle"
        if not (bundle / "recipe.toml").exists():
            resume = (out / "recipe.toml").exists()
            run = Run(plan.data, out, split_file, fold, resume=resume, cache=plan.out / "cache", device=plan.device)
            bundle = train_run(recipe, run)
        selection = split.select(read_sources(recipe, plan.data), fold=fold)
        judged = selection.test if fold is None else selection.validation
        found, pace = _score(bundle, judged, plan.device, f"Scoring {recipe.name}")
        bundles.append(bundle)
        scores += found
        facts.append({**_training_facts(bundle), **pace})
    means = {key: sum(fact[key] for fact in facts) / len(facts) for key in facts[0]}
    return Contestant(recipe, tuple(bundles), tuple(scores), means)


def _score(bundle: Path, judged: Sequence[Chosen], device: str, what: str) -> tuple[list[CaseScores], dict[str, float]]:
    """Return the scores, and the pace of the prediction itself: network and preprocessing, without reading files."""
    predictor = Predictor.from_bundle(load_bundle(bundle), device=device)
    scores, seconds, slices = [], 0.0, 0
    for chosen in track(judged, what):
        case = load_chosen(chosen)
        begin = time.perf_counter()
        prediction = predictor(case)
        seconds += time.perf_counter() - begin
        slices += prediction.labels.shape[2]
        scores.append(score_case(prediction, case))
    return scores, {"slices_per_s": slices / seconds if seconds else 0.0}


def _training_facts(bundle: Path) -> dict[str, float]:
    metrics = json.loads((bundle / "metrics.json").read_text("utf-8"))
    return {key: float(metrics[key]) for key in ("parameters", "minutes", "steps", "peak_memory_gb")}


def _curves(folder: Path) -> pd.DataFrame:
    """Return the epochs of the first run of a recipe."""
    return pd.read_csv(sorted(folder.glob("*/epochs.csv"))[0])


def _shared_split(plan: Plan) -> Split:
    if plan.split_file is not None:
        return Split.load(plan.split_file)
    first = plan.recipes[0]
    part: SplitPart = first.split
    if plan.folds:
        part = part.model_copy(update={"folds": plan.folds, "test": 0.0})
    return make_split(read_sources(first, plan.data), part)


def _require_comparable(recipes: Sequence[Recipe]) -> None:
    names = [recipe.name for recipe in recipes]
    if len(set(names)) < len(names):
        raise UsageError("two recipes have the same name", got=", ".join(names), cure="give one of them another name")
    labels = {recipe.data.labels for recipe in recipes}
    if len(labels) > 1:
        raise UsageError("the recipes predict different labels", got=", ".join(sorted(labels)))


def _mean(values: Mapping[str, float]) -> float:
    return sum(values.values()) / len(values)

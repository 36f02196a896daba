"""Finish a run: score the best weights on the cases' own grid and save them as a bundle.

Test patients are read only here, once, after all choices are made; their scores and figures stay in the run folder.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metseg.errors import BundleError
from metseg.evaluation import CaseScores, summarize
from metseg.evaluation.files.score_tables import Tables
from metseg.inference.device import Compute
from metseg.inference.input_fit import REQUIRED_ONLY
from metseg.inference.predictor import Predictor
from metseg.io.data_origin import other_data
from metseg.io.required_sequences import RequiredOnly
from metseg.model import SegmentationNetwork, build_from_recipe
from metseg.model.bundle import save_bundle
from metseg.model.weights import check_keys, read_safetensors
from metseg.recipe import Recipe
from metseg.training.data import TrainingData
from metseg.training.fit import Spent
from metseg.training.machine import describe_machine
from metseg.training.model_card import trivial_remarks, write_card
from metseg.training.run_folder import RunFolder
from metseg.training.run_scoring import score_run
from metseg.training.weights.pruning import cheapest_form


def finalize(run: RunFolder, recipe: Recipe, data: TrainingData, *, compute: Compute, spent: Spent) -> Path:
    """Score the best weights on validation and test patients, and write the bundle; return its folder.

    Args:
        run: where the best weights lie and the bundle goes.
        recipe: of the run.
        data: of the run.
        compute: device and precision.
        spent: what the training took.
    """
    recipe, forms = cheapest_form(recipe, lambda form: _validation_dice(run, form, data, compute))
    network = best_network(run, recipe)
    predictor = Predictor([network], recipe, compute=compute)
    metrics: dict[str, Any] = {
        "validation_dice_by_form": forms,
        "parameters": network.parameter_count(),
        **spent._asdict(),
        "machine": describe_machine(compute),
        **_provenance(run, recipe, data),
        **_scores(run, predictor, data),
    }
    if recipe.data.optional:
        metrics[REQUIRED_ONLY] = _required_only(predictor, recipe, data)
    for remark in trivial_remarks(metrics):
        sys.stderr.write(f"metseg: warning: {recipe.name}: {remark}\n")
    bundle = save_bundle(
        run.bundle,
        networks=[network],
        recipe=recipe.model_copy(update={"split": data.split.described_by(recipe.split)}),
        card=write_card(recipe, metrics),
        metrics=metrics,
        split=data.split.to_dict(),
    )
    run.write_state(state="finished", bundle=run.bundle.name)
    return bundle


def _provenance(run: RunFolder, recipe: Recipe, data: TrainingData) -> dict[str, Any]:
    """Return what a training was made of: first weights, data, who was for what, and what speaks against its scores."""
    state = run.read_state()
    began_with = state.get("began_with")
    return {
        "fold": state.get("choices", {}).get("fold"),
        "began_with": began_with,
        "changed_data": state.get("changed_data", []),
        "other_data": other_data(recipe.data.written_for, _patients(data)),
        "split_by": data.split.by,
        "leaks": list(data.split.leaks),
        "leaks_patients": data.split.leaks_patients or bool(began_with and began_with["seen_before"]),
        "patients": {
            part: len({chosen.source.patient for chosen in getattr(data.selection, part)})
            for part in ("train", "validation", "test")
        },
    }


def _scores(run: RunFolder, predictor: Predictor, data: TrainingData) -> dict[str, Any]:
    """Score validation and test patients, keep what was seen of them in the run, and return their summaries."""
    summaries = {}
    for part, folder in (("validation", run.validation), ("test", run.test)):
        judged = score_run(predictor, getattr(data.selection, part), f"Scoring {part}")
        judged.save(folder)
        if judged.scores:
            summaries[part] = summarize(judged.scores).to_json()
            _write_tables(judged.scores, folder)
    return summaries


def _required_only(predictor: Predictor, recipe: Recipe, data: TrainingData) -> dict[str, Any]:
    """Return how the network scores on validation patients without any sequence that the recipe says may be missing."""
    left_out = recipe.data.optional
    chosen = [item._replace(source=RequiredOnly.of(item.source, left_out)) for item in data.selection.validation]
    judged = score_run(predictor, chosen, f"Scoring without {', '.join(left_out)}", probabilities=False)
    return summarize(judged.scores).to_json()


def _patients(data: TrainingData) -> set[str]:
    return {chosen.source.patient for part in data.selection for chosen in part}


def _validation_dice(run: RunFolder, recipe: Recipe, data: TrainingData, compute: Compute) -> float:
    """Return the mean Dice over validation patients of the best weights, in the form that a recipe gives them."""
    predictor = Predictor([best_network(run, recipe)], recipe, compute=compute)
    judged = score_run(predictor, data.selection.validation, "Scoring forms", probabilities=False)
    regions = summarize(judged.scores).regions.values()
    figures = [dice.mean for region in regions if (dice := region.metrics["dice"]) is not None]
    return float(np.mean(figures))


def _write_tables(scores: Sequence[CaseScores], folder: Path) -> None:
    with Tables(folder, with_slices=any(region.slices for score in scores for region in score.regions.values())) as to:
        for score in scores:
            to.add(score)


def best_network(run: RunFolder, recipe: Recipe) -> SegmentationNetwork:
    """Return the network with the weights of the best validation Dice.

    Raises:
        BundleError: the file is gone or damaged.
    """
    if not run.best_weights.exists():
        raise BundleError(
            "the weights of the best epoch are missing",
            where=run.best_weights,
            cure="restore the file from a copy, or start again in another folder with --out",
            code="model.missing",
        )
    network = build_from_recipe(recipe, initial_weights=False)
    weights = read_safetensors(run.best_weights)
    check_keys(weights, network.state_dict(), where=run.best_weights, architecture=recipe.model.name)
    network.load_state_dict(weights)
    return network

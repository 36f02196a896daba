"""The results of a search: the table of trials, the importance of the keys, and the best recipe."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from metseg.experiment.tuning.search_space import SearchSpace, changed_recipe
from metseg.experiment.tuning.study_storage import RETRY_OF
from metseg.message_text import pluralize
from metseg.plot.importance import draw_importance
from metseg.recipe import Recipe
from metseg.runtime.atomic_io import write_text

TRIALS_FILE: Final = "trials.csv"
BEST_FILE: Final = "best.toml"
IMPORTANCE_FIGURE: Final = "importance"

#: Attribute of a trial: why it ended without a result.
ERROR: Final = "error"

#: Attribute of a trial: the values as in the recipe, without Optuna's encoding.
VALUES: Final = "values"

#: Complete trials without which no importance is shown: it would be noise.
LEAST_TRIALS: Final = 5


@dataclass(frozen=True)
class TuningResult:
    """The result of a search so far.

    Args:
        out: output folder.
        states: number of trials by state: complete, pruned, fail.
        best_number: number of the best trial; None: no trial is complete.
        best_dice: its validation Dice.
        best_values: its values by key.
    """

    out: Path
    states: Mapping[str, int]
    best_number: int | None
    best_dice: float | None
    best_values: Mapping[str, Any]


def write_results(study: Any, space: SearchSpace, recipe: Recipe, out: Path, *, patients: int) -> TuningResult:
    """Write `TRIALS_FILE`, `BEST_FILE` and the figure of importance, as far as there are complete trials.

    Args:
        study: of Optuna.
        space: of the search.
        recipe: that the search began with.
        out: output folder.
        patients: number of validation patients.
    """
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False)
    write_text(out / TRIALS_FILE, trials_csv(trials, list(space)))
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    states = {state.name.lower(): sum(trial.state == state for trial in trials) for state in TrialState}
    states = {name: count for name, count in states.items() if count}
    if not complete:
        return TuningResult(out, states, None, None, {})
    best = study.best_trial
    values = best.user_attrs[VALUES]
    write_text(out / BEST_FILE, _best_toml(recipe, values, best, trials=len(complete), patients=patients))
    _write_importance(study, complete, list(space), out)
    return TuningResult(out, states, best.number, float(best.value), values)


def trials_csv(trials: Sequence[Any], keys: Sequence[str]) -> str:
    """Return a row for each trial: its state, Dice and duration, its values, and why it failed."""
    columns = ["trial", "state", "validation_dice", "last_tenth", "seconds", *keys, RETRY_OF, ERROR]
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    for trial in trials:
        reported = trial.intermediate_values
        last = max(reported, default=None)
        dice = trial.value if trial.value is not None else reported.get(last)
        writer.writerow(
            {
                "trial": trial.number,
                "state": trial.state.name.lower(),
                "validation_dice": "" if dice is None else round(dice, 6),
                "last_tenth": "" if last is None else last,
                "seconds": "" if trial.duration is None else round(trial.duration.total_seconds(), 1),
                **{key: value for key, value in trial.user_attrs.get(VALUES, {}).items() if key in keys},
                RETRY_OF: trial.user_attrs.get(RETRY_OF, ""),
                ERROR: trial.user_attrs.get(ERROR, ""),
            }
        )
    return text.getvalue()


def _best_toml(recipe: Recipe, values: Mapping[str, Any], best: Any, *, trials: int, patients: int) -> str:
    tuned = changed_recipe(recipe, values, where="the best trial")
    tuned = tuned.model_copy(update={"name": f"{recipe.name}-tuned"})
    header = (
        f"# Best of {pluralize(trials, 'complete trial')} of metseg tune (trial {best.number}).\n"
        f"# Validation Dice {best.value:.4f} of {pluralize(patients, 'patient')}: chosen on these patients, so it is "
        "too good.\n# Score it on the test patients of the same split: metseg train best.toml --split split.json ...\n"
    )
    return f"{header}\n{tuned.to_toml()}"


def _write_importance(study: Any, complete: Sequence[Any], keys: Sequence[str], out: Path) -> None:
    """Write the figure, if there are enough trials with different scores."""
    if len(complete) < LEAST_TRIALS or len({trial.value for trial in complete}) == 1:
        return
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    varied = [key for key in keys if len({str(trial.params[key]) for trial in complete}) > 1]
    if not varied:
        return
    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0), params=varied)
    draw_importance(shares, out / IMPORTANCE_FIGURE, title=f"Importance (fANOVA) in {len(complete)} complete trials")

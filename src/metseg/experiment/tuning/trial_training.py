"""Train one trial of a search, and report its validation Dice while it trains."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable

from lightning.pytorch import Callback, LightningModule, Trainer

from metseg.errors import InputError
from metseg.inference.device import Compute
from metseg.recipe import Recipe
from metseg.runtime.atomic_io import write_text
from metseg.training.data import TrainingData
from metseg.training.loop.callbacks import Budget
from metseg.training.run import fit_on_validation
from metseg.training.run_folder import RunFolder

#: Parts of the budget of a trial; after each part its Dice is compared with that of other trials.
BUDGET_STEPS = 10


class TrialStopped(Exception):
    """The trial was ended before its budget: pruned, or the time of the search is over."""


class ReportDice(Callback):
    """Reports the validation Dice after each tenth of the budget, and ends trials that are not promising.

    Epochs are no common measure: with another batch size, an epoch has another number of steps.

    Args:
        report: called with the number of the tenth, from 0, and the Dice; returns whether the trial should end.
        deadline: `time.monotonic` at which the search ends.
        keep: ``best`` or ``last``, as the recipe says which weights are kept.
    """

    def __init__(self, report: Callable[[int, float], bool], *, deadline: float, keep: str) -> None:
        self.dice = -math.inf
        self._report = report
        self._deadline = deadline
        self._keep = keep
        self._reported = -1

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        dice = float(trainer.callback_metrics["val_dice"])
        if math.isfinite(dice):
            self.dice = dice if self._keep == "last" else max(self.dice, dice)
        progress = next(one for one in trainer.callbacks if isinstance(one, Budget)).progress  # type: ignore[attr-defined]
        step = int(BUDGET_STEPS * progress)
        if step > self._reported and math.isfinite(self.dice):
            self._reported = step
            if self._report(step, self.dice) and progress < 1:
                raise TrialStopped
        if time.monotonic() > self._deadline and progress < 1:
            raise TrialStopped


def train_trial(
    recipe: Recipe,
    data: TrainingData,
    folder: RunFolder,
    compute: Compute,
    *,
    report: Callable[[int, float], bool],
    deadline: float,
) -> float:
    """Train by a recipe and return its validation Dice: the best, or the last, as the recipe keeps weights.

    Args:
        recipe: of the trial.
        data: without test patients.
        folder: for the logs of the trial; checkpoints and weights are removed when it ends.
        compute: device and precision.
        report: see `ReportDice`.
        deadline: see `ReportDice`.
    Raises:
        TrialStopped: it was ended early.
        InputError: ``input.no_lesion``, no validation patient has a lesion.
        UsageError: the training diverged.
    """
    shutil.rmtree(folder.path, ignore_errors=True)  # of a process that ended in this trial
    write_text(folder.recipe_file, recipe.to_toml())
    watch = ReportDice(report, deadline=deadline, keep=recipe.train.keep_weights)
    try:
        fit_on_validation(recipe, data, folder, compute, [watch])
    finally:
        _remove_weights(folder)
    if watch.dice == -math.inf:
        raise InputError(
            "no validation patient has a lesion, so there is no Dice to search for",
            where=folder.path,
            cure="give a split with lesions in validation (--split)",
            code="input.no_lesion",
        )
    return watch.dice


def _remove_weights(folder: RunFolder) -> None:
    """Keep recipe and logs: hundreds of trials would fill the disk with weights."""
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
    folder.best_weights.unlink(missing_ok=True)

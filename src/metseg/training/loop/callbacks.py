"""Training callbacks: budget, learning rate, early stopping, weight averaging, seeds, best weights.

Everything that affects the further training is in a callback's `state_dict`, so that a resumed run behaves the same.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import safetensors.torch
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from safetensors import SafetensorError, safe_open
from torch import Tensor

from metseg.dataset.sampling_plan import random_generator
from metseg.recipe import TrainPart
from metseg.runtime.atomic_io import write_bytes
from metseg.training.optimizers import rate_factor

#: Validation Dice has to rise by this much to count as better.
MINIMUM_GAIN = 1e-4

#: Under what name the best weights' file says how good they are, and in which version: that of 0.1.0, which has none,
#: counts patients without a lesion in the Dice.
BEST_NOTE = "metseg_best"
NOTE_VERSION = 2

#: Dropout draws have a stream of their own beside augmentation's.
DROPOUT_STREAM = 1 << 30


class Budget(Callback):
    """Counts steps, epochs and minutes, over interruptions too, and ends the training when one of them is spent."""

    def __init__(self, train: TrainPart, steps_per_epoch: int) -> None:
        self._seconds = None if train.max_minutes is None else 60 * train.max_minutes
        by_epochs = None if train.epochs is None else train.epochs * steps_per_epoch
        self.total_steps = min((steps for steps in (train.max_steps, by_epochs) if steps is not None), default=None)
        self.steps = 0
        self._earlier_s = 0.0
        self._begin = time.monotonic()
        self._noted_s = 0.0

    @property
    def elapsed_s(self) -> float:
        return self._earlier_s + time.monotonic() - self._begin

    @property
    def progress(self) -> float:
        """Return the share of the budget that was spent when the last step ended, 0 to 1; the same in all processes."""
        shares = [0.0]
        if self.total_steps is not None:
            shares.append(self.steps / self.total_steps)
        if self._seconds is not None:
            shares.append(self._noted_s / self._seconds)
        return min(max(shares), 1.0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin = time.monotonic()
        self._noted_s = self._earlier_s
        trainer.should_stop = trainer.should_stop or self.progress >= 1

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.steps += 1
        if self._seconds is not None:
            self._noted_s = trainer.strategy.broadcast(self.elapsed_s)  # their clocks differ
        if self.progress >= 1:
            trainer.should_stop = True
            # Always validate the last weights, or a short run might never validate.
            trainer.check_val_every_n_epoch = 1

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "elapsed_s": self.elapsed_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.steps, self._earlier_s = state_dict["steps"], state_dict["elapsed_s"]
        self._begin = time.monotonic()


#: The state of a `Stagnation` before the first validation.
NO_GAIN_YET: Mapping[str, Any] = {"best": float("-inf"), "since_epoch": -1, "epochs": 0}


class Stagnation:
    """Counts for how many epochs the validation Dice has not risen, however often it is looked at."""

    def __init__(self) -> None:
        self.best: float = NO_GAIN_YET["best"]
        self.since_epoch: int = NO_GAIN_YET["since_epoch"]
        self.epochs: int = NO_GAIN_YET["epochs"]

    def note(self, trainer: Trainer) -> None:
        """Take note of a validation; gains below `MINIMUM_GAIN` do not count until they add up.

        Without a lesion in the validation there is no Dice; then the loss has to fall.
        """
        dice, loss = (float(trainer.callback_metrics[name]) for name in ("val_dice", "val_loss"))
        value = -loss if math.isnan(dice) else dice
        if value > self.best + MINIMUM_GAIN:
            self.best, self.since_epoch = value, trainer.current_epoch
        self.epochs = trainer.current_epoch - self.since_epoch

    def begin_again(self, trainer: Trainer) -> None:
        """Count from this epoch on."""
        self.since_epoch, self.epochs = trainer.current_epoch, 0

    def state_dict(self) -> dict[str, Any]:
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


class Schedule(Callback):
    """Sets the learning rate before each step; lowers it when the validation Dice stays on a plateau."""

    def __init__(self, train: TrainPart, budget: Budget) -> None:
        self._train = train
        self._budget = budget
        self._plateau_factor = 1.0
        self._stagnation = Stagnation()

    @property
    def rate(self) -> float:
        return self._train.learning_rate * rate_factor(self._train, self._budget.progress) * self._plateau_factor

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = self.rate

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._train.schedule != "plateau":
            return
        self._stagnation.note(trainer)
        if self._stagnation.epochs >= self._train.plateau_patience:
            self._plateau_factor *= self._train.plateau_factor
            self._stagnation.begin_again(trainer)

    def state_dict(self) -> dict[str, Any]:
        return {"plateau_factor": self._plateau_factor, "stagnation": self._stagnation.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._plateau_factor = state_dict["plateau_factor"]
        self._stagnation.load_state_dict(state_dict["stagnation"])


class EarlyStop(Callback):
    """Ends the training when the validation Dice has not risen for so many epochs.

    Lightning's own trains one more epoch when a run is resumed that it had stopped.
    """

    def __init__(self, patience_epochs: int) -> None:
        self._patience_epochs = patience_epochs
        self._stagnation = Stagnation()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or self._stagnation.epochs >= self._patience_epochs

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._stagnation.note(trainer)
        trainer.should_stop = trainer.should_stop or self._stagnation.epochs >= self._patience_epochs

    def state_dict(self) -> dict[str, Any]:
        return self._stagnation.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._stagnation.load_state_dict(state_dict)


class SharedFigures(Callback):
    """Lets all processes work out an epoch's figures at the same moment.

    They exchange their parts when somebody first asks, and only the first process does, for the log: the others would
    wait for something else.
    """

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        _ = trainer.callback_metrics


class Seeds(Callback):
    """Seeds dropout by (seed, epoch, step, process), so that an epoch can be repeated after an interruption."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        stream = DROPOUT_STREAM + batch_idx * trainer.world_size + trainer.global_rank
        rng = random_generator(self._seed, trainer.current_epoch, stream)
        torch.manual_seed(int(rng.integers(2**63)))


class MovingAverage(WeightAveraging):
    """Exponential moving average of the weights, used for validation and in the bundle.

    The decay rises as (1 + n) / (10 + n) with the step n up to the one given, as TensorFlow's does, so that short
    trainings are not held back by the random start.
    """

    def __init__(self, decay: float) -> None:
        def update(averaged: Sequence[Tensor], current: Sequence[Tensor], count: Tensor | int) -> None:
            step = int(count)
            share = 1 - min(decay, (1 + step) / (10 + step))
            # PyTorch hands over one type at a time; counters of batch normalisation are whole numbers.
            if averaged[0].is_floating_point():
                torch._foreach_lerp_(list(averaged), list(current), share)
            else:
                torch._foreach_copy_(list(averaged), list(current))

        super().__init__(multi_avg_fn=torch.no_grad()(update))

    def averaged_state(self) -> Mapping[str, Tensor] | None:
        """Return the averaged weights of the whole task, or None before training."""
        return None if self._average_model is None else self._average_model.module.state_dict()


class Best(NamedTuple):
    """Which weights are the best so far.

    Args:
        val_dice: mean over validation patients with a lesion; NaN where none has one.
        epoch: in which they were validated, from 0; -1: none was.
        val_loss: of the same validation.
    """

    val_dice: float
    epoch: int
    val_loss: float

    @property
    def rank(self) -> tuple[float, float]:
        """Return what orders validations: the higher Dice, then the lower loss. What is not finite is below all."""
        dice = self.val_dice if math.isfinite(self.val_dice) else float("-inf")
        return (dice, -self.val_loss) if math.isfinite(self.val_loss) else NOTHING


#: Below every validation that gave a number.
NOTHING = (float("-inf"), float("-inf"))

#: Before the first validation.
NOTHING_YET = Best(float("-inf"), -1, float("nan"))


class BestWeights(Callback):
    """Keeps the network's weights of the best or of the last validation in a safetensors file.

    The best is that of the highest Dice; of equals, that of the lower loss. With few validation patients Dice varies
    more by chance than by training, so then the last weights are the better choice.

    The file says of itself how good they are. When a run is killed after a validation and before the checkpoint, the
    file is newer than the checkpoint, and where the budget is in minutes the repeated epoch comes out differently:
    what the checkpoint remembers would let weights be overwritten by worse ones.

    Args:
        path: the file.
        average: its weights are saved instead of the raw ones; None: no averaging.
        keep: which validation's weights are kept. Of weights with a loss that is not finite, none are.
    """

    def __init__(self, path: Path, average: MovingAverage | None, keep: Literal["best", "last"] = "best") -> None:
        self._path = path
        self._average = average
        self._keep = keep
        self.best = NOTHING_YET

    def _rank(self, found: Best) -> tuple[float, float]:
        """Return what orders validations; the weights of the highest are kept."""
        return found.rank if self._keep == "best" or found.rank == NOTHING else (float(found.epoch), 0.0)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = trainer.callback_metrics
        found = Best(float(metrics["val_dice"]), trainer.current_epoch, float(metrics["val_loss"]))
        if not math.isfinite(found.val_loss):
            sys.stderr.write(
                f"metseg: warning: the validation loss of epoch {found.epoch} is {found.val_loss}: "
                "its weights are not kept\n"
            )
        if self._rank(found) <= self._rank(self.best):
            return
        state = self._average.averaged_state() if self._average else pl_module.state_dict()
        network = {
            key.removeprefix("network."): value.detach().cpu().contiguous()
            for key, value in (state or {}).items()
            if key.startswith("network.")
        }
        # One entry: safetensors does not keep the order of several, and equal networks should give equal files.
        write_bytes(self._path, safetensors.torch.save(network, {BEST_NOTE: _note(found)}))
        self.best = found

    def state_dict(self) -> dict[str, Any]:
        return self.best._asdict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best = max(Best(**state_dict), _noted_best(self._path), key=self._rank)


def _note(best: Best) -> str:
    return json.dumps({"version": NOTE_VERSION, **best._asdict()})


def _noted_best(path: Path) -> Best:
    """Return what the weights in a file say of themselves; of one that says nothing, what anything surpasses.

    The Dice of 0.1.0 is left out: any Dice of today surpasses it.
    """
    try:
        with safe_open(path, "pt") as file:
            note = json.loads((file.metadata() or {})[BEST_NOTE])
        val_dice = float(note["val_dice"]) if note.get("version") == NOTE_VERSION else NOTHING_YET.val_dice
        return Best(val_dice, int(note["epoch"]), float(note["val_loss"]))
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return NOTHING_YET

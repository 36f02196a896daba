"""What goes on beside the training steps: budget, learning rate, averaging, seeds, logs, the best weights."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from safetensors.torch import save_file
from torch import Tensor

from metseg.dataset.sampling import random_generator
from metseg.files import atomic_file, disk_full_is_an_error
from metseg.recipe import TrainPart
from metseg.train.optimizers import rate_factor

#: Validation Dice has to rise by this much to count as better.
MINIMUM_GAIN = 1e-4

#: Dropout draws have a stream of their own beside augmentation's.
DROPOUT_STREAM = 1 << 30


class Budget(Callback):
    """Counts steps, epochs and minutes, over interruptions too, and ends the training when one of them is spent."""

    def __init__(self, train: TrainPart, steps_per_epoch: int) -> None:
        self._seconds = None if train.max_minutes is None else 60 * train.max_minutes
        by_epochs = None if train.max_epochs is None else train.max_epochs * steps_per_epoch
        self.total_steps = min((steps for steps in (train.max_steps, by_epochs) if steps is not None), default=None)
        self.steps = 0
        self._earlier_s = 0.0
        self._begin = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        return self._earlier_s + time.monotonic() - self._begin

    @property
    def progress(self) -> float:
        """Return the share of the budget that is spent, 0 to 1."""
        shares = [0.0]
        if self.total_steps is not None:
            shares.append(self.steps / self.total_steps)
        if self._seconds is not None:
            shares.append(self.elapsed_s / self._seconds)
        return min(max(shares), 1.0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin = time.monotonic()
        trainer.should_stop = trainer.should_stop or self.progress >= 1

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        self.steps += 1
        if self.progress >= 1:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "elapsed_s": self.elapsed_s}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.steps, self._earlier_s = state_dict["steps"], state_dict["elapsed_s"]
        self._begin = time.monotonic()


class MemoryWatch(Callback):
    """Notes the most memory the training took: this process and its loaders, or the graphics card."""

    def __init__(self) -> None:
        self.peak_gb = 0.0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if pl_module.device.type == "cuda":
            used = float(torch.cuda.max_memory_allocated(pl_module.device))
        else:
            here = psutil.Process()
            used = float(sum(process.memory_info().rss for process in (here, *here.children(recursive=True))))
        self.peak_gb = max(self.peak_gb, used / 1e9)

    def state_dict(self) -> dict[str, Any]:
        return {"peak_gb": self.peak_gb}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.peak_gb = state_dict["peak_gb"]


class Schedule(Callback):
    """Sets the learning rate before each step; lowers it when the validation Dice stays on a plateau."""

    def __init__(self, train: TrainPart, budget: Budget) -> None:
        self._train = train
        self._budget = budget
        self._plateau_factor = 1.0
        self._best = float("-inf")
        self._waited = 0

    @property
    def rate(self) -> float:
        return self._train.learning_rate * rate_factor(self._train, self._budget.progress) * self._plateau_factor

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = self.rate

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._train.schedule != "plateau" or trainer.sanity_checking:
            return
        value = float(trainer.callback_metrics["val_dice"])
        self._waited = 0 if value > self._best + MINIMUM_GAIN else self._waited + 1
        self._best = max(self._best, value)
        if self._waited >= self._train.plateau_patience:
            self._plateau_factor *= self._train.plateau_factor
            self._waited = 0

    def state_dict(self) -> dict[str, Any]:
        return {"plateau_factor": self._plateau_factor, "best": self._best, "waited": self._waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._plateau_factor = state_dict["plateau_factor"]
        self._best, self._waited = state_dict["best"], state_dict["waited"]


class Seeds(Callback):
    """Seeds dropout by (seed, epoch, step), so that an epoch can be repeated after an interruption."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        rng = random_generator(self._seed, trainer.current_epoch, DROPOUT_STREAM + batch_idx)
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


class BestWeights(Callback):
    """Keeps the network's weights of the best validation Dice so far in a safetensors file.

    Args:
        path: the file.
        average: whose weights are kept instead of the raw ones, where there is one.
    """

    def __init__(self, path: Path, average: MovingAverage | None) -> None:
        self._path = path
        self._average = average
        self.best = float("-inf")
        self.epoch = -1

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        value = float(trainer.callback_metrics["val_dice"])
        if trainer.sanity_checking or value <= self.best:
            return
        state = self._average.averaged_state() if self._average else pl_module.state_dict()
        network = {
            key.removeprefix("network."): value.detach().cpu().contiguous()
            for key, value in (state or {}).items()
            if key.startswith("network.")
        }
        with atomic_file(self._path) as temporary:
            save_file(network, temporary)
        self.best, self.epoch = value, trainer.current_epoch

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.epoch = state_dict["best"], state_dict["epoch"]


class CsvLog(Callback):
    """Appends one row per step and one per validation; a resumed run goes on in the same files.

    An epoch that was cut off is repeated, so its steps may stand there twice: the later row is the one that counts.
    """

    STEP_COLUMNS = ("epoch", "step", "loss", "learning_rate", "elapsed_s")
    EPOCH_COLUMNS = ("epoch", "step", "train_loss", "val_loss", "val_dice", "learning_rate", "elapsed_s")

    def __init__(self, folder: Path, budget: Budget, schedule: Schedule) -> None:
        self._steps, self._epochs = folder / "steps.csv", folder / "epochs.csv"
        self._budget = budget
        self._schedule = schedule

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for path, columns in ((self._steps, self.STEP_COLUMNS), (self._epochs, self.EPOCH_COLUMNS)):
            if not path.exists():
                _append(path, columns)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = float(outputs["loss"])
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        _append(self._steps, (trainer.current_epoch, self._budget.steps, loss, rate, round(self._budget.elapsed_s, 2)))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = trainer.callback_metrics
        values = [float(metrics.get(name, float("nan"))) for name in ("train_loss_epoch", "val_loss", "val_dice")]
        row = (trainer.current_epoch, self._budget.steps, *values, self._schedule.rate)
        _append(self._epochs, (*row, round(self._budget.elapsed_s, 2)))


def _append(path: Path, row: Sequence[object]) -> None:
    with disk_full_is_an_error(path), path.open("a", newline="") as file:
        csv.writer(file).writerow(row)

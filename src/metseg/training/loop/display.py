"""Show the progress of a training: a live bar on a terminal, a line per epoch when piped."""

from __future__ import annotations

import sys
from statistics import fmean
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from metseg.training.loop.callbacks import Budget


class TrainingDisplay(Callback):
    """Shows epoch, loss, validation Dice, steps per second and time left, on stderr."""

    def __init__(self, budget: Budget, title: str) -> None:
        self._budget = budget
        self._title = title
        self._progress: Progress | None = None
        self._task = TaskID(0)
        self._first_step = 0
        self._first_s = 0.0
        self._losses: list[float] = []
        self._epoch_loss: float | None = None
        self._dice = float("nan")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._first_step, self._first_s = self._budget.steps, self._budget.elapsed_s
        if sys.stderr.isatty():
            columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
            self._progress = Progress(*columns, console=Console(stderr=True))
            self._task = self._progress.add_task(self._title, total=1.0)
            self._progress.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 0:
            self._losses, self._epoch_loss = [], None
        self._losses.append(float(outputs["loss"]))
        if self._progress is not None:
            text = f"{self._title}  {self._status(trainer)}"
            self._progress.update(self._task, completed=self._budget.progress, description=text)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._dice = float(trainer.callback_metrics.get("val_dice", self._dice))
        self._epoch_loss = float(trainer.callback_metrics["train_loss_epoch"])
        if self._progress is None:
            sys.stderr.write(f"{self._title}: {self._status(trainer)}\n")
            sys.stderr.flush()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _status(self, trainer: Trainer) -> str:
        elapsed_s = self._budget.elapsed_s - self._first_s
        rate = (self._budget.steps - self._first_step) / elapsed_s if elapsed_s > 0 else 0.0
        spent = self._budget.progress
        left_s = self._budget.elapsed_s * (1 - spent) / spent if spent > 0 else float("nan")
        dice = "" if self._dice != self._dice else f"validation Dice {self._dice:.3f}, "
        # Within an epoch the mean over its steps so far, at its end the figure that stands in `epochs.csv`.
        loss = fmean(self._losses) if self._epoch_loss is None else self._epoch_loss
        pace = f"{rate:.2f} steps/s, {left_s / 60:.1f} min left"
        return f"epoch {trainer.current_epoch}, loss {loss:.4f}, {dice}{pace}"

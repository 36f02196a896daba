"""Training logs: rows of steps and epochs, and peak memory."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from metseg.runtime.atomic_io import disk_full_is_an_error
from metseg.training.loop.callbacks import Budget

#: To ask for the memory of every process takes milliseconds, so it is not done at every step.
MEMORY_INTERVAL_S = 1.0


class MemoryWatch(Callback):
    """Notes the most memory the training took: this process and its loaders, or the graphics card."""

    def __init__(self) -> None:
        self.peak_gb = 0.0
        self._looked_s = float("-inf")

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if time.monotonic() - self._looked_s >= MEMORY_INTERVAL_S:
            self._looked_s = time.monotonic()
            self.peak_gb = max(self.peak_gb, memory_in_use(pl_module.device) / 1e9)

    def state_dict(self) -> dict[str, Any]:
        return {"peak_gb": self.peak_gb}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.peak_gb = state_dict["peak_gb"]


def memory_in_use(device: torch.device) -> int:
    """Return the bytes in use: the most so far on a graphics card, else now, by this process and its children."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    here = psutil.Process()
    total = int(here.memory_info().rss)
    for child in here.children(recursive=True):
        try:
            total += int(child.memory_info().rss)
        except psutil.Error:  # it has just ended
            continue
    return total


class CsvLog(Callback):
    """Appends one row per step and one per epoch; a resumed run goes on in the same files.

    An epoch that was cut off is repeated, so its steps may stand there twice: the later row is the one that counts.
    An epoch without a validation has NaN for its figures. A file of metseg 0.1 keeps its columns.
    """

    STEP_COLUMNS = ("epoch", "step", "loss", "learning_rate", "elapsed_s")
    #: Logged by `SegmentationModule` at a validation.
    FIGURES = ("val_loss", "val_dice", "val_iou", "val_accuracy", "train_dice", "train_iou", "train_accuracy")
    EPOCH_COLUMNS = ("epoch", "step", "train_loss", *FIGURES, "learning_rate", "elapsed_s")

    def __init__(self, folder: Path, budget: Budget) -> None:
        self._steps, self._epochs = folder / "steps.csv", folder / "epochs.csv"
        self._budget = budget
        self._validated_epoch = -1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for path, columns in ((self._steps, self.STEP_COLUMNS), (self._epochs, self.EPOCH_COLUMNS)):
            _cut_unfinished_line(path)
            if not path.exists():
                _append(path, columns)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = float(outputs["loss"])
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        _append(self._steps, (trainer.current_epoch, self._budget.steps, loss, rate, round(self._budget.elapsed_s, 2)))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._validated_epoch = trainer.current_epoch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = trainer.callback_metrics
        # Lightning keeps the figures of the last validation, which may be of an earlier epoch.
        validation = self.FIGURES if self._validated_epoch == trainer.current_epoch else ()
        figures = {name: float(metrics[name]) for name in validation if name in metrics}
        row = {
            "epoch": trainer.current_epoch,
            "step": self._budget.steps,
            "train_loss": float(metrics.get("train_loss_epoch", float("nan"))),
            **{name: figures.get(name, float("nan")) for name in self.FIGURES},
            # The rate of the last step: the schedule already has that of the next one.
            "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
            "elapsed_s": round(self._budget.elapsed_s, 2),
        }
        _append(self._epochs, [row[column] for column in _columns(self._epochs)])


def _append(path: Path, row: Sequence[object]) -> None:
    with disk_full_is_an_error(path), path.open("a", newline="") as file:
        csv.writer(file).writerow(row)


def _columns(path: Path) -> list[str]:
    """Return the columns of a file that was begun."""
    with path.open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file))


def _cut_unfinished_line(path: Path) -> None:
    """Take away half a row, which a full disk or a cut in the power may have left at the end."""
    content = path.read_bytes() if path.exists() else b""
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("rb+") as file:
            file.truncate(whole)

"""Run Lightning's loop over a run folder, from wherever the run stands."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import lightning
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from metseg.dataset import Batch
from metseg.errors import ResourceError
from metseg.predict.inference import Compute
from metseg.recipe import TrainPart
from metseg.train.callbacks import (
    MINIMUM_GAIN,
    BestWeights,
    Budget,
    CsvLog,
    MemoryWatch,
    MovingAverage,
    Schedule,
    Seeds,
)
from metseg.train.checkpoint import AtomicCheckpointIO, EpochCheckpoint, latest_good
from metseg.train.display import TrainingDisplay
from metseg.train.run_folder import RunFolder
from metseg.train.task import SegmentationTask


class Spent(NamedTuple):
    """What a training took, over interruptions, and the epoch of its best weights."""

    steps: int
    minutes: float
    best_epoch: int
    peak_memory_gb: float


def fit(
    task: SegmentationTask,
    run: RunFolder,
    train: TrainPart,
    *,
    loaders: tuple[DataLoader[Batch], DataLoader[Batch]],
    compute: Compute,
    title: str,
) -> Spent:
    """Train until the budget is spent or early stopping says so.

    Args:
        task: the network and its loss.
        run: checkpoints, logs and the best weights go there; a checkpoint already there is gone on from.
        train: budget, schedule, averaging.
        loaders: training and validation.
        compute: device and precision.
        title: shown beside the progress.
    Raises:
        BundleError: there are checkpoints and none can be read.
        ResourceError: memory or disk did not suffice.
    """
    budget = Budget(train, len(loaders[0]))
    checkpoint = latest_good(run.checkpoints)
    callbacks = _callbacks(run, train, budget, title)
    with _quiet_lightning(), out_of_memory_is_an_error(train.batch_size):
        trainer = lightning.Trainer(
            accelerator="gpu" if compute.device.type == "cuda" else "cpu",
            devices=1,
            precision="bf16-mixed" if compute.bf16 else "32-true",
            max_epochs=train.max_epochs or -1,
            max_steps=-1,
            callbacks=callbacks,
            logger=TensorBoardLogger(run.path, name="tensorboard", version=""),
            plugins=[AtomicCheckpointIO()],
            gradient_clip_val=train.gradient_clip,
            check_val_every_n_epoch=train.validate_every,
            num_sanity_val_steps=0,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            log_every_n_steps=10,
        )
        try:
            trainer.fit(task, *loaders, ckpt_path=checkpoint, weights_only=True)
        except SystemExit:
            # Lightning turns Ctrl-C into an exit of its own; ours has another status.
            raise KeyboardInterrupt from None
    best = _only(BestWeights, callbacks)
    peak_gb = round(_only(MemoryWatch, callbacks).peak_gb, 2)
    return Spent(budget.steps, round(budget.elapsed_s / 60, 2), best.epoch, peak_gb)


def _callbacks(run: RunFolder, train: TrainPart, budget: Budget, title: str) -> list[Callback]:
    """Return the callbacks; the checkpoint comes last, so that it holds what the others have done."""
    schedule = Schedule(train, budget)
    average = MovingAverage(train.ema_decay) if train.ema_decay else None
    chosen: list[Callback] = [
        budget,
        Seeds(train.seed),
        schedule,
        MemoryWatch(),
        BestWeights(run.best_weights, average),
        CsvLog(run.path, budget, schedule),
        TrainingDisplay(budget, title),
    ]
    if average is not None:
        chosen.append(average)
    if train.early_stopping is not None:
        patience = train.early_stopping
        chosen.append(EarlyStopping("val_dice", mode="max", patience=patience, min_delta=MINIMUM_GAIN))
    return [*chosen, EpochCheckpoint(run.checkpoints)]


Kind = TypeVar("Kind", bound=Callback)


def _only(kind: type[Kind], callbacks: list[Callback]) -> Kind:
    return next(callback for callback in callbacks if isinstance(callback, kind))


@contextmanager
def out_of_memory_is_an_error(batch_size: int) -> Iterator[None]:
    """Turn the ways in which memory runs out into one error with a cure."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        memory = ("can't allocate memory", "out of memory", "Cannot allocate memory", "not enough memory")
        if not isinstance(error, MemoryError) and not any(text in str(error) for text in memory):
            raise
        raise ResourceError(
            "memory ran out while training",
            where=f"batch of {batch_size}",
            cure=f"begin again in another folder with --set train.batch_size={max(1, batch_size // 2)}",
            code="resources.memory",
        ) from error


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Silence Lightning's advice for interactive use; its warnings about real trouble still raise or print."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        try:
            yield
        finally:
            logger.setLevel(level)

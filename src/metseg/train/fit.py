"""Run Lightning's loop over a run folder, from wherever the run stands."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.data import DataLoader

from metseg.dataset import Batch
from metseg.predict.inference import Compute
from metseg.recipe import TrainPart
from metseg.train.callbacks import BestWeights, Budget, EarlyStop, MovingAverage, Schedule, Seeds
from metseg.train.checkpoint import AtomicCheckpointIO, EpochCheckpoint
from metseg.train.display import TrainingDisplay
from metseg.train.logs import CsvLog, MemoryWatch
from metseg.train.run_folder import RunFolder
from metseg.train.task import SegmentationTask

#: What Lightning calls the kinds of device.
ACCELERATORS: Mapping[str, str] = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}


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
    checkpoint: Path | None = None,
) -> Spent:
    """Train until the budget is spent or early stopping says so.

    Args:
        task: the network and its loss.
        run: checkpoints, logs and the best weights go there.
        train: budget, schedule, averaging.
        loaders: training and validation.
        compute: device and precision.
        title: shown beside the progress.
        checkpoint: gone on from; None: begin.
    Raises:
        UsageError: the loss is no longer a number.
        ResourceError: the disk is full.
    """
    budget = Budget(train, len(loaders[0]))
    callbacks = _callbacks(run, train, budget, title)
    with _quiet_lightning():
        trainer = lightning.Trainer(
            accelerator=ACCELERATORS[compute.device.type],
            # One device; where its number is given ("cuda:1"), that one.
            devices=1 if compute.device.index is None else [compute.device.index],
            precision="bf16-mixed" if compute.bf16 else "32-true",
            max_epochs=train.epochs or -1,
            max_steps=-1,
            callbacks=callbacks,
            logger=TensorBoardLogger(run.path, name="tensorboard", version=""),
            default_root_dir=run.path,
            plugins=[AtomicCheckpointIO()],
            gradient_clip_val=train.gradient_clip,
            check_val_every_n_epoch=train.validate_every,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            log_every_n_steps=10,
        )
        on_interrupt = signal.getsignal(signal.SIGINT)
        try:
            trainer.fit(task, *loaders, ckpt_path=checkpoint, weights_only=True)
        except SystemExit:
            # Lightning makes exits of its own of Ctrl-C and SIGTERM, where ours have another status, and it leaves
            # Ctrl-C without effect.
            with suppress(ValueError):  # not in the main thread
                signal.signal(signal.SIGINT, on_interrupt)
            raise KeyboardInterrupt from None
    best = _only(BestWeights, callbacks)
    peak_gb = round(_only(MemoryWatch, callbacks).peak_gb, 2)
    return Spent(budget.steps, round(budget.elapsed_s / 60, 4), best.epoch, peak_gb)


def _callbacks(run: RunFolder, train: TrainPart, budget: Budget, title: str) -> list[Callback]:
    """Return the callbacks; the checkpoint comes last, so that it holds what the others have done."""
    schedule = Schedule(train, budget)
    average = MovingAverage(train.ema_decay) if train.ema_decay else None
    optional = [average, EarlyStop(train.early_stopping) if train.early_stopping else None]
    return [
        budget,
        Seeds(train.seed),
        schedule,
        MemoryWatch(),
        BestWeights(run.best_weights, average),
        CsvLog(run.path, budget, schedule),
        TrainingDisplay(budget, title),
        *(callback for callback in optional if callback is not None),
        EpochCheckpoint(run.checkpoints),
    ]


Kind = TypeVar("Kind", bound=Callback)


def _only(kind: type[Kind], callbacks: list[Callback]) -> Kind:
    return next(callback for callback in callbacks if isinstance(callback, kind))


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

"""Run Lightning's training loop in a run folder, from the last checkpoint."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import lightning
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy

from metseg.dataset import TrainingSet, ValidationSet
from metseg.inference.device import Compute, memory_format
from metseg.model import SegmentationNetwork
from metseg.model.networks.layers import has_fixed_norm
from metseg.recipe import Recipe
from metseg.training.data import make_loaders
from metseg.training.loop.callbacks import (
    NOTHING_YET,
    BestWeights,
    Budget,
    EarlyStop,
    MovingAverage,
    Schedule,
    Seeds,
    SharedFigures,
)
from metseg.training.loop.checkpoint import AtomicCheckpointIO, EpochCheckpoint, require_restorable
from metseg.training.loop.display import TrainingDisplay
from metseg.training.loop.distributed import Ranks, RanksEnvironment
from metseg.training.loop.lightning_module import SegmentationModule, diverged
from metseg.training.loop.logs import CsvLog, MemoryWatch
from metseg.training.run_folder import RunFolder

#: What Lightning calls the kinds of device.
ACCELERATORS: Mapping[str, str] = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}


class Spent(NamedTuple):
    """What a training took, over interruptions, and which its best weights are; as the first process noted it."""

    steps: int
    minutes: float
    best_epoch: int
    validation_loss: float
    peak_memory_gb: float


@dataclass(frozen=True)
class Job:
    """A training that is prepared: what every process that takes part in it needs.

    Args:
        recipe: network, loss, budget, schedule.
        run: checkpoints, logs and the best weights go there.
        patients: the patient of each cached case.
        train, validation: what is trained and validated on.
        compute: kind of device and precision.
        checkpoint: gone on from; None: begin.
    """

    recipe: Recipe
    run: RunFolder
    patients: tuple[str, ...]
    train: TrainingSet
    validation: ValidationSet
    compute: Compute
    checkpoint: Path | None = None


def fit(job: Job, network: SegmentationNetwork, ranks: Ranks, further: Sequence[Callback] = ()) -> Spent:
    """Train until the budget is spent or early stopping says so.

    Args:
        job: what is trained on, and how.
        network: what is trained; of several processes, that of the first.
        ranks: which process this is.
        further: callbacks beside those of every training; an error that one raises ends the training.
    Raises:
        UsageError: the loss, or a weight, is not finite.
        BundleError: the checkpoint is of another version or network.
        ResourceError: the disk is full.
    """
    loaders = make_loaders(job.train, job.validation, job.recipe, share=(ranks.rank, ranks.world))
    task = SegmentationModule(
        network,
        job.recipe,
        patients=job.patients,
        memory_format=memory_format(job.compute, dimensions=job.recipe.data.dimensions),
        validation_batches=loaders.own,
    )
    budget = Budget(job.recipe.train, len(loaders.training))
    callbacks = [*further, *_callbacks(job, budget, ranks)]
    with _quiet_lightning(), _own_interrupts():
        trainer = _trainer(job, network, ranks, callbacks)
        if job.checkpoint is not None:
            require_restorable(job.checkpoint, task, trainer, callbacks)
        trainer.fit(task, loaders.training, loaders.validation, ckpt_path=job.checkpoint, weights_only=True)
    return _spent(job, budget, ranks, callbacks)


def _trainer(job: Job, network: SegmentationNetwork, ranks: Ranks, callbacks: list[Callback]) -> lightning.Trainer:
    train = job.recipe.train
    return lightning.Trainer(
        **_devices(job.compute, ranks, network),
        precision=job.compute.lightning_precision,
        max_epochs=train.epochs or -1,
        max_steps=-1,
        callbacks=callbacks,
        logger=TensorBoardLogger(job.run.path, name="tensorboard", version="") if ranks.leads else False,
        default_root_dir=job.run.path,
        plugins=[AtomicCheckpointIO()],
        gradient_clip_val=train.gradient_clip,
        check_val_every_n_epoch=train.validate_every,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        log_every_n_steps=10,
    )


@contextmanager
def _own_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C and SIGTERM.

    Lightning turns both into exits with another status than ours, and then leaves Ctrl-C without effect.
    """
    on_interrupt = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGINT, on_interrupt)
        raise KeyboardInterrupt from None


def _spent(job: Job, budget: Budget, ranks: Ranks, callbacks: Sequence[Callback]) -> Spent:
    """Return what the training took.

    Raises:
        UsageError: the validation loss was never finite.
    """
    best = next((one.best for one in callbacks if isinstance(one, BestWeights)), NOTHING_YET)
    if ranks.leads and best == NOTHING_YET:
        raise diverged("the validation loss was never finite", where=job.run.path)
    return Spent(
        budget.steps,
        round(budget.elapsed_s / 60, 4),
        best_epoch=best.epoch,
        validation_loss=best.val_loss,
        peak_memory_gb=round(next((one.peak_gb for one in callbacks if isinstance(one, MemoryWatch)), 0.0), 2),
    )


def _devices(compute: Compute, ranks: Ranks, network: SegmentationNetwork) -> dict[str, Any]:
    """Return Lightning's arguments for devices and processes.

    Args:
        compute: kind of device.
        ranks: which process this is.
        network: what is trained.
    """
    kind = {"accelerator": ACCELERATORS[compute.device.type]}
    if ranks.world == 1:
        # One device; where its number is given ("cuda:1"), that one.
        return {**kind, "devices": 1 if compute.device.index is None else [compute.device.index]}
    return {
        **kind,
        "devices": ranks.devices,
        "num_nodes": ranks.nodes,
        "strategy": DDPStrategy(cluster_environment=RanksEnvironment(ranks)),
        # Statistics of batch normalisation are those of all devices together; on processors torch has no such layer.
        "sync_batchnorm": compute.device.type == "cuda" and not has_fixed_norm(network),
    }


def _callbacks(job: Job, budget: Budget, ranks: Ranks) -> list[Callback]:
    """Return the callbacks; the checkpoint comes last, so that it holds what the others have done.

    Whatever decides how the training goes on is in all processes; only the first writes and shows.
    """
    run, train = job.run, job.recipe.train
    schedule = Schedule(train, budget)
    average = MovingAverage(train.ema_decay) if train.ema_decay else None
    optional = [average, EarlyStop(train.early_stopping) if train.early_stopping else None]
    leader: list[Callback] = [
        MemoryWatch(),
        BestWeights(run.best_weights, average, train.keep_weights),
        CsvLog(run.path, budget),
        TrainingDisplay(budget, job.recipe.name),
    ]
    return [
        budget,
        Seeds(train.seed),
        schedule,
        *([SharedFigures()] if ranks.world > 1 else []),
        *(leader if ranks.leads else ()),
        *(callback for callback in optional if callback is not None),
        EpochCheckpoint(run.checkpoints),
    ]


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

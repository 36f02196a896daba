"""Checkpoints: written atomically; the last two are kept."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast
from zipfile import BadZipFile, ZipFile

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from metseg.errors import BundleError
from metseg.runtime.atomic_io import atomic_file, remove_leftovers
from metseg.training.loop.callbacks import NO_GAIN_YET, NOTHING_YET

#: Goes up whenever what a checkpoint holds changes so that another version of metseg would misread it.
VERSION = 1
#: Key of the version. Checkpoints of 0.1.0 have none: their validation Dice counted patients without a lesion, as 1 or
#: 0, and cannot be compared with the Dice of today. Everything else in them is the same.
VERSION_KEY = "metseg_checkpoint"

LAST, PREVIOUS, NEXT = "last.ckpt", "previous.ckpt", "next.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside the old one and renames it; reads plain data only, never code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        # Through a file of ours: with a path, torch reports a full disk as a RuntimeError of no particular kind.
        with atomic_file(Path(path)) as temporary, temporary.open("wb") as file:
            torch.save({**checkpoint, VERSION_KEY: VERSION}, file)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        return read_checkpoint(Path(path))


class EpochCheckpoint(Checkpoint):
    """Saves the whole state of the training at the end of each epoch; the one before it is kept.

    A `Checkpoint` to Lightning, which calls those after all other callbacks: what is saved holds what they have done.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Nothing is moved before the new one is on the disk: when it does not fit, the two old ones stay as they are.
        trainer.save_checkpoint(self._folder / NEXT)  # by all: process 0 writes what it gathers
        if trainer.is_global_zero:
            _move_in(self._folder)


def _move_in(folder: Path) -> None:
    """Make the new checkpoint the last one, and the last one the one before; interrupted, it can be called again."""
    if (folder / LAST).exists():
        os.replace(folder / LAST, folder / PREVIOUS)
    os.replace(folder / NEXT, folder / LAST)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return a checkpoint's content.

    Raises:
        BundleError: the file is truncated, or holds more than plain data and tensors.
    """
    try:
        with ZipFile(path) as archive:
            damaged = archive.testzip()  # torch.load compares no checksums
        if damaged is not None:
            raise BadZipFile(f"the checksum of {damaged} is wrong")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:
        raise BundleError(
            "cannot read the checkpoint",
            where=path,
            got=(str(error).splitlines() or [type(error).__name__])[0][:200],
            cure="restore the file from a copy, or remove it",
            code="model.truncated",
        ) from error
    if not isinstance(content, dict):
        raise BundleError(
            "not a checkpoint",
            where=path,
            got=type(content).__name__,
            cure="restore the file from a copy, or remove it",
            code="model.invalid",
        )
    if content.get(VERSION_KEY, VERSION) != VERSION:
        raise other_version(path, got=content[VERSION_KEY])
    return content if VERSION_KEY in content else _without_scores(content)


def _without_scores(content: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint of 0.1.0 without the best validation Dice so far, from all callbacks."""
    count = {**NO_GAIN_YET, "since_epoch": int(content.get("epoch", -1))}
    callbacks = dict(content.get("callbacks", {}))
    if "BestWeights" in callbacks:
        callbacks["BestWeights"] = NOTHING_YET._asdict()
    if "EarlyStop" in callbacks:
        callbacks["EarlyStop"] = count
    if "stagnation" in callbacks.get("Schedule", {}):
        callbacks["Schedule"] = {**callbacks["Schedule"], "stagnation": count}
    return {**content, "callbacks": callbacks} if callbacks else content


def require_restorable(path: Path, task: LightningModule, trainer: Trainer, callbacks: Sequence[Callback]) -> None:
    """Load every part of a checkpoint once, before Lightning does it in the midst of much else that can fail.

    Args:
        path: of the checkpoint.
        task: takes the weights; its optimiser is built for the trial alone.
        trainer: the loop takes its counts.
        callbacks: each takes its state.
    Raises:
        BundleError: a part is missing or does not fit: ``model.version``.
    """
    content = read_checkpoint(path)
    try:
        for key in ("state_dict", "current_model_state"):  # the second beside a moving average
            if key == "state_dict" or key in content:
                task.load_state_dict(content[key])
        for callback in callbacks:
            if (state := content["callbacks"].get(callback.state_key)) is not None:
                callback.load_state_dict(state)
        cast(torch.optim.Optimizer, task.configure_optimizers()).load_state_dict(content["optimizer_states"][0])
        trainer.fit_loop.load_state_dict(content["loops"]["fit_loop"])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        line = next(iter(str(error).splitlines()), "")[:200]
        raise other_version(path, got=f"{type(error).__name__}: {line}") from error


def other_version(path: Path, *, got: object) -> BundleError:
    """Return the error for a checkpoint that this version of metseg cannot resume from."""
    return BundleError(
        "the checkpoint is of another version of metseg, or of another network",
        where=path,
        expected=f"version {VERSION}, with the state of this recipe's network",
        got=got,
        cure="resume with the version of metseg that started the run, or start again in another folder with --out "
        "(--init starts from the weights of a bundle)",
        code="model.version",
    )


def latest_good(folder: Path) -> Path | None:
    """Return the newest readable checkpoint, or None where there are no checkpoints.

    If the newest one is damaged, the one before is used, with a warning on stderr.

    Raises:
        BundleError: there are checkpoints, but none can be read: training never starts again without a request.
    """
    found = [folder / name for name in (LAST, PREVIOUS) if (folder / name).exists()]
    problems: list[BundleError] = []
    for path in found:
        try:
            content = read_checkpoint(path)
        except BundleError as error:
            problems.append(error)
        else:
            for problem in problems:
                told = problem.one_line()
                sys.stderr.write(f"metseg: warning: {told}; resuming from {path.name}, one epoch earlier\n")
            if VERSION_KEY not in content:
                sys.stderr.write(
                    f"metseg: warning: {path}: earlier versions also counted patients without a lesion in the "
                    "validation Dice, so it is not compared with new values: the search for the best weights starts "
                    "again with the next validation\n"
                )
            return path
    if any(problem.code == "model.version" for problem in problems):
        raise problems[0]
    if found:
        raise BundleError(
            "cannot read any checkpoint of this run",
            where=folder,
            got=", ".join(path.name for path in found),
            cure="restore the files from a copy, or start again in another folder with --out",
            code="model.truncated",
        )
    return None


def remove_unfinished(folder: Path) -> None:
    """Clear up after a process that was killed while it wrote a checkpoint; for the holder of the run only.

    A new checkpoint that is whole and was not yet in its place is moved there, half a one is removed.
    """
    remove_leftovers(folder / NEXT)
    if not (folder / NEXT).exists():
        return
    try:
        read_checkpoint(folder / NEXT)
    except BundleError:
        (folder / NEXT).unlink()
    else:
        _move_in(folder)

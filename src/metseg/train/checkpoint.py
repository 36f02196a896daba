"""Checkpoints that survive anything: written whole or not at all, the last two kept."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Callback, LightningModule, Trainer

from metseg.errors import BundleError
from metseg.files import atomic_file

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside the old one and renames it; reads plain data only, never code."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        with atomic_file(Path(path)) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        return read_checkpoint(Path(path))


class EpochCheckpoint(Callback):
    """Saves the whole state of the training at the end of each epoch; the one before it is kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        last = self._folder / LAST
        if last.exists():
            os.replace(last, self._folder / PREVIOUS)
        trainer.save_checkpoint(last)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return a checkpoint's content.

    Raises:
        BundleError: the file is truncated, or holds something else than plain data and tensors.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BundleError(
            "the checkpoint cannot be read",
            where=path,
            got=str(error).splitlines()[0][:200],
            cure="resume from another one, or begin anew in another folder",
            code="model.truncated",
        ) from error
    if not isinstance(content, dict):
        raise BundleError("not a checkpoint", where=path, got=type(content).__name__, code="model.invalid")
    return content


def latest_good(folder: Path) -> Path | None:
    """Return the newest checkpoint that can be read, or None where there is none at all.

    A damaged newest one is passed over with a warning on stderr.

    Raises:
        BundleError: there are checkpoints, and none can be read: training never begins anew unasked.
    """
    found = [folder / name for name in (LAST, PREVIOUS) if (folder / name).exists()]
    for path in found:
        try:
            read_checkpoint(path)
        except BundleError as error:
            sys.stderr.write(f"warning: {error.one_line()}\n")
        else:
            return path
    if found:
        raise BundleError(
            "no checkpoint of this run can be read",
            where=folder,
            cure="begin anew in another folder with --out, or restore the files from a copy",
            code="model.truncated",
        )
    return None

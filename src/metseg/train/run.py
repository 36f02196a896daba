"""One training from beginning to bundle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from metseg.dataset import SliceDataset
from metseg.io.splits import Split
from metseg.model import SegmentationNetwork, build_from_recipe
from metseg.plot.curves import draw_curves
from metseg.predict.inference import choose_compute
from metseg.recipe import Recipe
from metseg.train.data import choose_split, load_training_data, make_loaders, read_sources
from metseg.train.finish import finish
from metseg.train.fit import fit
from metseg.train.initialise import initialise
from metseg.train.memory import require_memory
from metseg.train.resolve import resolve
from metseg.train.run_folder import RunFolder
from metseg.train.task import SegmentationTask


@dataclass(frozen=True)
class Run:
    """Where a training reads and writes.

    Args:
        data: root of the data set.
        out: the run folder.
        split_file: from ``metseg split``; None: the split that the recipe describes.
        fold: which fold is validated on, for a split with folds.
        init: a bundle whose weights to begin with.
        resume: go on with the run in ``out``.
        cache: where preprocessed cases are kept; None: in the run folder.
        device: such as ``auto``, ``cpu``, ``cuda``.
    """

    data: Path
    out: Path
    split_file: Path | None = None
    fold: int | None = None
    init: str | None = None
    resume: bool = False
    cache: Path | None = None
    device: str = "auto"


def train_run(recipe: Recipe, run: Run) -> Path:
    """Train by a recipe and return the bundle's folder. Safe to interrupt at any time; ``resume`` goes on.

    Raises:
        UsageError: a wrong recipe, or a run folder that holds another run.
        InputError: data that cannot be used.
        BundleError: initial weights or checkpoints that cannot be used.
        ResourceError: memory or disk does not suffice.
        LockedError: another process trains in this folder.
    """
    resolve(recipe)
    folder = RunFolder(run.out)
    with folder.locked():
        folder.begin(recipe, resume=run.resume)
        sources = read_sources(recipe, run.data)
        split = _run_split(folder, choose_split(recipe, sources, run.split_file))
        data = load_training_data(recipe, sources, split, fold=run.fold, cache=run.cache or folder.path / "cache")
        compute = choose_compute(
            device=run.device, precision=recipe.train.precision, channels_last=recipe.train.channels_last
        )
        network = _network(recipe, run)
        require_memory(network, _batch_shape(data.train, recipe), bf16=compute.bf16)
        task = SegmentationTask(network, recipe, patients=data.patients, channels_last=compute.channels_last)
        spent = fit(task, folder, recipe.train, loaders=make_loaders(data, recipe), compute=compute, title=recipe.name)
        draw_curves({recipe.name: pd.read_csv(folder.epochs_log)}, folder.path / "curves.png")
        return finish(folder, recipe, data, compute=compute, spent=spent)


def _network(recipe: Recipe, run: Run) -> SegmentationNetwork:
    """Return the network with its first weights, which follow from the seed."""
    torch.manual_seed(recipe.train.seed)
    network = build_from_recipe(recipe)
    if run.init is not None and not run.resume:
        initialise(network, run.init)
    return network


def _run_split(folder: RunFolder, split: Split) -> Split:
    """Return the split that the run was begun with; a new run keeps a copy of this one."""
    if folder.split_file.exists():
        return Split.load(folder.split_file)
    split.save(folder.split_file)
    return split


def _batch_shape(dataset: SliceDataset, recipe: Recipe) -> tuple[int, ...]:
    """Return (N, C, X, Y) of the largest batch there can be."""
    return (recipe.train.batch_size, *dataset.largest_shape())

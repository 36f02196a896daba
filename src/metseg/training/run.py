"""Train a network by a recipe, from the data to the bundle."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

import pandas as pd
import torch
from lightning.pytorch import Callback

from metseg.dataset import TrainingSet
from metseg.errors import UsageError
from metseg.inference.device import Compute, choose_compute
from metseg.inference.windows.memory import out_of_memory_is_an_error
from metseg.io.case_source import CaseSource
from metseg.io.data_origin import data_statement, other_data
from metseg.io.duplicate_images import mark_duplicates
from metseg.io.splits import Split
from metseg.model import SegmentationNetwork, build_from_recipe
from metseg.model.bundle import Bundle, find_bundle, load_bundle
from metseg.model.networks.layers import has_fixed_norm
from metseg.model_terms import require_accepted
from metseg.plot.curves import draw_curves, draw_metric_curves
from metseg.recipe import Recipe
from metseg.runtime.atomic_io import disk_full_is_an_error
from metseg.runtime.malloc_tuning import keep_freed_memory
from metseg.runtime.monai_import_filter import import_lean
from metseg.runtime.progress import track
from metseg.training.data import TrainingData, choose_split, load_training_data, make_loaders, read_sources
from metseg.training.data_record import DataRecord, read_data, write_record
from metseg.training.finalize import finalize
from metseg.training.fit import Job, Spent, fit
from metseg.training.loop.checkpoint import latest_good, remove_unfinished
from metseg.training.loop.distributed import Ranks, broadcast, find_ranks, process_group, require_devices
from metseg.training.memory_estimate import require_memory
from metseg.training.recipe_validation import validate_recipe
from metseg.training.run_folder import RunFolder
from metseg.training.weights.fixed_norm import MEASURED_BATCHES, measure_norms
from metseg.training.weights.init_provenance import init_provenance
from metseg.training.weights.initialization import initialise


@dataclass(frozen=True)
class Run:
    """Where a training reads and writes.

    Args:
        data: root of the data set.
        out: the run folder.
        split_file: from ``metseg split``; None: the split that the recipe describes.
        fold: which fold is validated on, for a split with folds.
        init: a bundle that provides the initial weights.
        resume: go on with the run in ``out``.
        allow_changed_data: go on with it even where images or masks are not what they were when it began.
        cache: where preprocessed cases are kept; None: in the run folder.
        device: such as ``auto``, ``cpu``, ``cuda``.
        devices: how many of them are trained on together, on each machine.
        nodes: how many machines there are.
    """

    data: Path
    out: Path
    split_file: Path | None = None
    fold: int | None = None
    init: str | None = None
    resume: bool = False
    allow_changed_data: bool = False
    cache: Path | None = None
    device: str = "auto"
    devices: int = 1
    nodes: int = 1

    @cached_property
    def ranks(self) -> Ranks:
        """Return which process of the training this is; asked once, as a port is chosen for the others."""
        return find_ranks(self.devices, self.nodes)


def train_run(recipe: Recipe, run: Run) -> Path:
    """Train by a recipe and return the bundle's folder. Safe to interrupt at any time; ``resume`` goes on.

    With several processes, the first one does everything except the training alone; the bundle exists when it ends.

    Raises:
        UsageError: a wrong recipe, a run folder that holds another run, or devices that there are not.
        InputError: data that cannot be used.
        BundleError: initial weights or checkpoints that cannot be used.
        ResourceError: memory or disk does not suffice.
        LockedError: another process trains in this folder.
    """
    validate_recipe(recipe)
    _require_resumed(run)
    compute = training_compute(recipe, run.device)
    ranks = run.ranks
    require_devices(compute.device, run.devices)
    folder = RunFolder(run.out)
    if not ranks.leads:
        if not folder.is_finished:  # otherwise no process leads
            train_along(ranks, compute.device.type)
        return folder.bundle
    with disk_full_is_an_error(folder.path), folder.locked() as start:
        return _lead(recipe, run, folder, compute, ranks, start)


def training_compute(recipe: Recipe, device: str) -> Compute:
    """Return device, precision and layout of a training.

    Raises:
        UsageError: a device that is unknown, or that this machine does not have.
    """
    return choose_compute(
        device=device,
        precision=recipe.train.precision,
        channels_last=recipe.train.channels_last,
        gains_by_channels_last=_trains_faster_in_channels_last(recipe),
    )


def fit_on_validation(
    recipe: Recipe, data: TrainingData, folder: RunFolder, compute: Compute, callbacks: Sequence[Callback]
) -> Spent:
    """Train without scoring: no test patient is read, and no bundle is written.

    Args:
        recipe: of the training.
        data: of the training; test patients are not in it.
        folder: receives logs, checkpoints and the best weights.
        compute: device and precision.
        callbacks: further callbacks of Lightning.
    Raises:
        UsageError: the loss, or a weight, is not finite.
        ResourceError: memory or disk does not suffice.
    """
    with _lack_is_an_error(recipe, again="repeat the command"):
        network = _ready_network(recipe, None, data, compute, trained=False)
        job = Job(recipe, folder, data.patients, data.train, data.validation, compute)
        return fit(job, network, find_ranks(1, 1), callbacks)


def _require_resumed(run: Run) -> None:
    """Refuse what is for a resumed run alone.

    Raises:
        UsageError: ``usage.run``.
    """
    if run.allow_changed_data and not run.resume:
        raise UsageError(
            "--allow-changed-data needs --resume",
            where=run.out,
            cure="add --resume, or leave --allow-changed-data out",
            code="usage.run",
        )


def _lead(
    recipe: Recipe, run: Run, folder: RunFolder, compute: Compute, ranks: Ranks, start: Callable[[], None]
) -> Path:
    """Train as the first process, which alone writes into the run folder; return the bundle's folder.

    Args:
        recipe, run, folder, compute, ranks: as for `train_run`.
        start: called when the training starts; a run that was begun and is refused before is withdrawn.
    """
    if folder.is_finished:
        _require_same(recipe, run, folder)
        return folder.bundle
    again = "continue with --resume" if folder.exists else "repeat the command"
    with _lack_is_an_error(recipe, again=again):
        job, network, data, sources = _prepare(recipe, run, folder, compute)
    start()
    with _lack_is_an_error(recipe, again="continue with --resume"):
        with process_group(ranks, compute.device.type, other=train_along):
            spent = fit(broadcast(job), network, ranks)
        epochs = pd.read_csv(folder.epochs_log)
        draw_curves({recipe.name: epochs}, folder.path / "curves.png")
        draw_metric_curves(epochs, folder.path / "metric_curves.png", title=recipe.name)
        return finalize(folder, _of_these_data(recipe, folder, run.data, sources), data, compute=compute, spent=spent)


def _prepare(
    recipe: Recipe, run: Run, folder: RunFolder, compute: Compute
) -> tuple[Job, SegmentationNetwork, TrainingData, list[CaseSource]]:
    """Return all that the training needs; what can be refused is refused here."""
    run, sources, split, record = _begin(recipe, run, folder)
    checkpoint = _checkpoint(folder, run)
    cache = _cache(folder, run)
    data = load_training_data(recipe, sources, split, fold=run.fold, cache=cache, contents=record.cases)
    first = None if run.init is None or checkpoint is not None else load_bundle(run.init)
    if first is not None:
        folder.write_state(began_with=init_provenance(first, data.selection).to_json())
    network = _ready_network(recipe, first, data, compute, trained=checkpoint is not None)
    job = Job(recipe, folder, data.patients, data.train, data.validation, compute, checkpoint)
    return job, network, data, sources


def _require_same(recipe: Recipe, run: Run, folder: RunFolder) -> None:
    """Refuse a finished run of another recipe, other choices, another split or other data; nothing is written.

    Raises:
        UsageError: as `_begin`.
    """
    folder.check(recipe, resume=run.resume, choices=_choices(run))
    if run.split_file is not None:
        folder.require_split(Split.load(run.split_file), where=run.split_file)
    sources = read_sources(recipe, run.data)
    read_data(folder.data_file, sources, allow_changed=run.allow_changed_data, is_finished=True)


def _begin(recipe: Recipe, run: Run, folder: RunFolder) -> tuple[Run, list[CaseSource], Split, DataRecord]:
    """Check data, split, recipe and choices, and only then write them into the run folder.

    Returns:
        The run with the choices that it was begun with, its cases, their split, and what their files hold.
    """
    resumed = folder.check(recipe, resume=run.resume, choices=_choices(run)) is not None
    # A mistyped path leaves no run behind, in the way of the right one.
    if run.init is not None and not run.resume:
        find_bundle(run.init)
        require_accepted(run.init)
    sources = read_sources(recipe, run.data)
    split = _run_split(folder, recipe, sources, run)
    record = read_data(folder.data_file if resumed else None, sources, allow_changed=run.allow_changed_data)
    chosen = folder.begin(recipe, resume=run.resume, choices=_choices(run))
    if (remark := other_data(recipe.data.written_for, {source.patient for source in sources})) is not None:
        sys.stderr.write(f"metseg: {remark}\n")
    split.save(folder.split_file)
    if record.remark is not None:  # before the record: a process killed in between would leave no trace of the change
        folder.write_state(changed_data=[*folder.read_state().get("changed_data", []), record.remark])
    write_record(folder.data_file, record)
    return replace(run, **chosen), sources, split, record


def _choices(run: Run) -> dict[str, object]:
    """Return what beside the recipe decides what is trained."""
    return {"fold": run.fold, "init": run.init}


def _of_these_data(recipe: Recipe, folder: RunFolder, root: Path, sources: Sequence[CaseSource]) -> Recipe:
    """Return the recipe as a bundle holds it, which names the data trained on, and those of the first weights."""
    statement = data_statement(recipe.data.licence, root, {source.patient for source in sources})
    inherited = (folder.read_state().get("began_with") or {}).get("data", "")
    if inherited and inherited not in statement:
        statement = f"{statement}; initial weights: {inherited}"
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"licence": statement})})


def train_along(ranks: Ranks, device: str) -> None:
    """Take part in a training that process 0 prepares and leads.

    Args:
        ranks: which process this is.
        device: its kind.
    """
    import_lean()
    # Ctrl-C reaches all processes; the first one says what has happened.
    with suppress(KeyboardInterrupt), process_group(ranks, device, other=train_along):
        job: Job = broadcast(None)
        keep_freed_memory()
        fit(job, build_from_recipe(job.recipe, initial_weights=False), ranks)


def _trains_faster_in_channels_last(recipe: Recipe) -> bool:
    """Return whether a training in float32 on a CPU is known to be quicker in channels-last.

    Measured with `mets-3d`: with fixed norms two thirds of the time. Instance norm copies a volume out of that layout
    and back, and group norm takes longer in it; batch norm was not measured.
    """
    return recipe.data.dimensions == 3 and recipe.model.options.get("norm") == "fixed"


@contextmanager
def _lack_is_an_error(recipe: Recipe, *, again: str) -> Iterator[None]:
    """Report a lack of memory anywhere in a training as an error; `again` says how to repeat the failed step."""
    size = recipe.train.batch_size
    smaller = f"start in another folder with --set train.batch_size={size // 2}" if size > 1 else "use smaller pictures"
    cure = f"close other programs and {again}, or {smaller}"
    with out_of_memory_is_an_error("memory ran out while training", where=f"batch of {size}", cure=cure):
        yield


def _checkpoint(folder: RunFolder, run: Run) -> Path | None:
    """Return the checkpoint to go on from; a resumed run that has none yet says that it begins."""
    remove_unfinished(folder.checkpoints)
    found = latest_good(folder.checkpoints)
    if run.resume and found is None:
        sys.stderr.write("metseg: the run was interrupted before the end of its first epoch; it starts again\n")
    return found


def _ready_network(
    recipe: Recipe, init: Bundle | None, data: TrainingData, compute: Compute, *, trained: bool
) -> SegmentationNetwork:
    """Return the network as the training begins with it, once it is known that memory suffices.

    Args:
        recipe: of the run.
        init: provides the initial weights; None: random weights from the seed.
        data: of the run; fixed normalisations that a bundle does not bring are measured on it.
        compute: device and precision.
        trained: whether a checkpoint will replace all of its weights.

    Raises:
        ResourceError: memory does not suffice.
    """
    torch.manual_seed(recipe.train.seed)
    network = build_from_recipe(recipe, initial_weights=not trained)
    complete = trained or (init is not None and initialise(network, init))
    keep_freed_memory()
    require_memory(network, _batch_shape(data.train, recipe), compute)
    if has_fixed_norm(network) and not complete:
        if init is None:
            sys.stderr.write(
                "metseg: fixed normalisation is meant for pretrained weights (--init); it is untested with random"
                " weights\n"
            )
        _measure(network, recipe, data, compute)
    return network


def _measure(network: SegmentationNetwork, recipe: Recipe, data: TrainingData, compute: Compute) -> None:
    """Give fixed normalisations the statistics of the first batches of the training."""
    loader = make_loaders(data.train, data.validation, recipe).training
    count = min(MEASURED_BATCHES, len(loader))
    measure_norms(network, track(islice(loader, count), "Measuring for normalisation", total=count), compute)


def _run_split(folder: RunFolder, recipe: Recipe, sources: list[CaseSource], run: Run) -> Split:
    """Return the split that the run was begun with; for a new run the one it is given, or one as the recipe says.

    What of it leaks patients is said on stderr.

    Raises:
        UsageError: the file given is not the split that the run was begun with.
        InputError: a new split does not fit the data.
    """
    if folder.split_file.exists():
        if run.split_file is not None:
            folder.require_split(Split.load(run.split_file), where=run.split_file)
        split = Split.load(folder.split_file)
    else:
        split = choose_split(recipe, sources, run.split_file)
        split.check(sources)
        split = mark_duplicates(split, sources, cache=_cache(folder, run))
    for leak in split.leaks:
        sys.stderr.write(f"metseg: warning: {leak}: scores will be too good\n")
    return split


def _cache(folder: RunFolder, run: Run) -> Path:
    """Return where preprocessed cases are kept."""
    return run.cache or folder.cache


def _batch_shape(dataset: TrainingSet, recipe: Recipe) -> tuple[int, ...]:
    """Return (N, C, X, Y[, Z]) of the largest batch there can be."""
    return (recipe.train.batch_size, *dataset.largest_shape())

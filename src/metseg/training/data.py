"""From a folder of images to batches: cases, split, cache, loaders."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from torch.utils.data import DataLoader

from metseg.dataset import (
    Batch,
    BatchPlan,
    EpochLoader,
    Part,
    TrainingSet,
    ValidationSet,
    batches_of_one_shape,
    collate,
    make_views,
    share_out,
)
from metseg.errors import InputError
from metseg.inference.brain.brain_extraction import ensure_brain_mask, extraction_fingerprint
from metseg.io.case_discovery import find
from metseg.io.case_source import CaseSource
from metseg.io.splits import Selection, Split, make_split
from metseg.message_text import pluralize
from metseg.preprocess.cache import Cache, build_cache
from metseg.preprocess.cache.cache_key import CaseContent, recipe_stamp
from metseg.recipe import Recipe
from metseg.runtime.system_info import processors

#: Validation needs no gradients, so more fit at once.
VALIDATION_BATCH_FACTOR = 2


@dataclass(frozen=True)
class TrainingData:
    """Everything a training reads.

    Args:
        split: the division it follows.
        selection: the cases of each part.
        cache: the preprocessed training and validation cases; test cases are not in it.
        train, validation: slices, or patches and the tiles of whole volumes.
    """

    split: Split
    selection: Selection
    cache: Cache
    train: TrainingSet
    validation: ValidationSet

    @property
    def patients(self) -> tuple[str, ...]:
        """Return the patient of each cached case."""
        return tuple(entry.patient for entry in self.cache.entries)


def read_sources(recipe: Recipe, root: Path) -> list[CaseSource]:
    """Return the cases under a root as the recipe's data part says; what is left out is said on stderr."""
    found = find(root, recipe.data)
    for note in found.notes:
        _tell_once(root, note)
    return list(found.sources)


@cache
def _tell_once(root: Path, note: str) -> None:
    """Say it once in a process: a comparison reads the data set for each of its trainings."""
    sys.stderr.write(f"metseg: {root}: {note}\n")


def choose_split(recipe: Recipe, sources: Sequence[CaseSource], file: Path | None) -> Split:
    """Return the split in a file, or the one that the recipe describes."""
    return make_split(sources, recipe.split) if file is None else Split.load(file)


def load_training_data(
    recipe: Recipe,
    sources: Sequence[CaseSource],
    split: Split,
    *,
    fold: int | None,
    cache: Path,
    contents: Mapping[str, CaseContent] | None = None,
    quiet: bool = False,
) -> TrainingData:
    """Return the training data of a recipe; what is not cached yet is preprocessed now.

    Args:
        recipe: data, preprocessing, augmentation and seed.
        sources: all cases.
        split: which patient is where.
        fold: which fold is validated on, for a split with folds.
        cache: the folder for preprocessed cases, with a subfolder for each way of preprocessing.
        contents: of the cases' files, by case id, as far as they are known.
        quiet: show no progress.
    Raises:
        InputError: bad cases, cases without truth, or a split that leaves nothing to train or validate on.
    """
    selection = split.select(sources, fold=fold)
    for part in ("train", "validation"):
        if not getattr(selection, part):
            raise InputError(
                f"the split has no patient for {part}",
                where="split",
                cure="give more patients, or change the fractions under [split]",
                code="input.too_few",
            )
    needed = {chosen.source.case_id: chosen.source for chosen in (*selection.train, *selection.validation)}
    brain_model = extraction_fingerprint(recipe)
    stamp = recipe_stamp(recipe, brain_model=brain_model)
    cached = build_cache(
        list(needed.values()),
        recipe,
        cache / stamp[:16],
        contents=contents,
        find_brain=ensure_brain_mask,
        brain_model=brain_model,
        quiet=quiet,
    )
    _require_truth(cached)
    number = {entry.case_id: place for place, entry in enumerate(cached.entries)}
    train, validation = (
        [Part(number[source.case_id], slices) for source, slices in chosen]
        for chosen in (selection.train, selection.validation)
    )
    views = make_views(recipe, cached, train, validation)
    _require_lesions(cached, train)
    _warn_without_lesions(cached, validation)
    return TrainingData(split, selection, cached, *views)


class Loaders(NamedTuple):
    """What a process goes through in an epoch; of the validation batches it repeats some after the first `own`."""

    training: DataLoader[Batch]
    validation: DataLoader[Batch]
    own: int


def make_loaders(
    training: TrainingSet, validation: ValidationSet, recipe: Recipe, *, share: tuple[int, int] = (0, 1)
) -> Loaders:
    """Return the loaders for training and validation of process r of R."""
    train = recipe.train
    plan = BatchPlan(
        training.has_lesion(),
        batch_size=train.batch_size,
        steps=train.steps_per_epoch,
        lesion_share=train.lesion_share,
        seed=train.seed,
        share=share,
    )
    workers = spare_workers() if train.workers is None else train.workers
    shared = {
        "num_workers": workers,
        "collate_fn": collate,
        "persistent_workers": workers > 0,
        "worker_init_fn": _yield_to_training,
    }
    batches = batches_of_one_shape(validation.shapes(), VALIDATION_BATCH_FACTOR * train.batch_size)
    chosen, own = share_out(batches, share)
    return Loaders(
        EpochLoader(training, batch_sampler=plan, **shared),  # type: ignore[arg-type]
        DataLoader(validation, batch_sampler=chosen, num_workers=0, collate_fn=collate),  # type: ignore[arg-type]
        own,
    )


def _yield_to_training(_: int) -> None:
    """Give way to the process that trains: its threads wait for one another, so one that is held up holds up all.

    A loader ahead of its time loses nothing by it, and one behind gets the processor, since training then waits.
    """
    if hasattr(os, "nice"):
        os.nice(10)


def spare_workers() -> int:
    """Return how many processes may load data: half of the processors, at most four; on one or two, none.

    There the threads of a training step need both: `lgg-fast` takes 0.43 s a step when it loads in between, 0.52 s
    beside a loader.
    """
    return 0 if processors() <= 2 else min(4, processors() // 2)


def _require_lesions(cache: Cache, train: Sequence[Part]) -> None:
    """Check that the training masks hold a lesion: else the network would learn to mark nothing.

    Raises:
        InputError: ``input.no_lesion``.
    """
    if not any(_has_lesion(cache, part) for part in train):
        raise InputError(
            f"the masks of all {len(train)} training cases are empty",
            cure="check the masks and their values with `metseg inspect`, or use a split with lesions in training",
            code="input.no_lesion",
        )


def _warn_without_lesions(cache: Cache, validation: Sequence[Part]) -> None:
    """Warn about validation patients without lesions, before the training starts."""
    patients = {cache.entries[part.case].patient for part in validation}
    with_lesion = {cache.entries[part.case].patient for part in validation if _has_lesion(cache, part)}
    if not with_lesion:
        sys.stderr.write(
            "metseg: warning: no validation patient has a lesion, so there is no validation Dice: the weights with "
            "the lowest validation loss are kept\n"
        )
    elif len(with_lesion) < len(patients):
        count = len(patients) - len(with_lesion)
        sys.stderr.write(
            f"metseg: {count} of {len(patients)} validation patients without a lesion do not count in the validation "
            "Dice\n"
        )


def _has_lesion(cache: Cache, part: Part) -> bool:
    slices = cache.entries[part.case].lesion_slices
    return bool(slices) if part.slices is None else not set(slices).isdisjoint(part.slices)


def _require_truth(cache: Cache) -> None:
    without = [entry.case_id for entry in cache.entries if not entry.has_labels]
    if without:
        raise InputError(
            f"{pluralize(len(without), 'case')} without a mask",
            where=without[0],
            cure="training and validation need masks: add them, or remove these cases from the split",
            code="input.no_truth",
        )

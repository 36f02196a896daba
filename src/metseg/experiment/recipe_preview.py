"""Preview a recipe before training: slices of a few patients as the network will see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from metseg.dataset import Augmenter
from metseg.dataset.sampling_plan import random_generator
from metseg.errors import InputError, MetsegError
from metseg.inference.brain.brain_extraction import ensure_brain_mask
from metseg.io.case_source import CaseSource
from metseg.io.inspection.contact_sheet_selection import SHOWN_MODALITIES
from metseg.plot.images.augment_preview import PreviewRow, Shown, augment_preview
from metseg.plot.images.contact_sheet import short_names
from metseg.preprocess.adjacent_slices import with_neighbours
from metseg.preprocess.pipeline import prepare
from metseg.preprocess.prepared_case import Prepared
from metseg.recipe import Recipe
from metseg.training.recipe_validation import validate_recipe
from metseg.volume import Array, Case

#: Patients shown, and versions of each.
PATIENTS, VERSIONS = 4, 5

#: Number of patients searched for lesions; if these have none, the picture shows none.
SEARCHED = 40


def preview_augmentation(sources: Sequence[CaseSource], recipe: Recipe, path: Path) -> None:
    """Write a picture of a few patients' slices as read, prepared and augmented as in training.

    Patients with lesion come first, spread over the data set, each with the slice that holds most of it. Version n is
    drawn as in epoch n of a training.

    Args:
        sources: the data set; unusable cases are skipped.
        recipe: preprocessing, augmentation and seed.
        path: PNG or SVG.
    Raises:
        UsageError: an invalid recipe.
        InputError: no case is usable.
    """
    validate_recipe(recipe)
    chosen = _chosen(sources, recipe)
    titles = short_names([case.patient for case, _ in chosen])
    augmenter = Augmenter.of(recipe)
    rows = []
    for position, (case, prepared) in enumerate(chosen):
        z = _fullest_slice(case)
        modality = next((name for name in SHOWN_MODALITIES if name in prepared.modalities), prepared.modalities[0])
        channel = prepared.modalities.index(modality)
        versions = range(1, 1 + VERSIONS) if recipe.augment else ()
        augmented = [
            _augmented(augmenter, recipe, prepared, z, epoch=version, position=position) for version in versions
        ]
        rows.append(
            PreviewRow(
                f"{titles[position]} ({modality})",
                _shown(case.images[modality].data, None if case.labels is None else case.labels.data, z),
                _shown(prepared.image[channel], prepared.labels, z),
                tuple(Shown(image[channel].T, labels) for image, labels in augmented),
            )
        )
    steps = ", ".join(step.name for step in recipe.augment) or "no augmentation"
    augment_preview(rows, path, heading=f"{recipe.name}: {steps}")


def _chosen(sources: Sequence[CaseSource], recipe: Recipe) -> list[tuple[Case, Prepared]]:
    """Return cases of different patients, those with lesion first."""
    with_lesion: list[tuple[Case, Prepared]] = []
    without: list[tuple[Case, Prepared]] = []
    problem: MetsegError | None = None
    looked_at = 0
    for source in _spread(sources):
        try:
            case = ensure_brain_mask(source.load(), recipe)
            pair = case, prepare(case, recipe)
        except MetsegError as error:
            problem = error
            continue
        labels = pair[1].labels
        if labels is not None and labels.any():
            with_lesion.append(pair)
        elif len(without) < PATIENTS:  # more are never shown, and each is a whole case in memory
            without.append(pair)
        looked_at += 1
        if len(with_lesion) == PATIENTS or looked_at == SEARCHED:
            break
    chosen = [*with_lesion, *without][:PATIENTS]
    if not chosen:
        raise problem or InputError("no case to show", cure="give a folder with images and masks", code="input.too_few")
    return sorted(chosen, key=lambda pair: pair[0].case_id)


def _spread(sources: Sequence[CaseSource]) -> Iterator[CaseSource]:
    """Yield one source of each patient, the first few far apart from one another."""
    single = list({source.patient: source for source in reversed(sources)}.values())[::-1]
    stride = max(1, len(single) // PATIENTS)
    for begin in range(stride):
        yield from single[begin::stride]


def _fullest_slice(case: Case) -> int:
    """Return the slice with the most lesion, or the middle one where there is none."""
    if case.labels is None or not case.labels.data.any():
        return next(iter(case.images.values())).shape[2] // 2
    return int(np.count_nonzero(case.labels.data, axis=(0, 1)).argmax())


def _shown(image: Array, labels: Array | None, z: int) -> Shown:
    """Return one slice of an (X, Y, Z) image in the file's orientation."""
    return Shown(image[:, :, z].T, None if labels is None else np.asarray(labels[:, :, z].T, dtype=np.uint8))


def _augmented(
    augmenter: Augmenter, recipe: Recipe, prepared: Prepared, z: int, *, epoch: int, position: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return an augmented slice: image (C, X, Y) and labels (rows, cols), or None without a mask."""
    grid = prepared.labels if prepared.labels is not None else np.zeros(prepared.grid, dtype=np.uint8)
    whole = recipe.data.dimensions == 3
    neighbours = 0 if whole else recipe.data.neighbours
    stack = prepared.image if whole else with_neighbours(prepared.image, neighbours, z, z + 1)[0]
    image, labels = stack, grid if whole else grid[..., z]
    rng = random_generator(recipe.train.seed, epoch, position)
    moved, mask = augmenter(torch.from_numpy(np.array(image)), torch.from_numpy(np.array(labels)), rng)
    picture, outlined = (moved[..., z], mask[..., z]) if whole else (moved, mask)
    own = neighbours * len(prepared.image)  # where the slice's own sequences begin
    return picture[own : own + len(prepared.image)].numpy(), None if prepared.labels is None else outlined.numpy().T

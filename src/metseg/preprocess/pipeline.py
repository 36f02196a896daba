"""Run the steps of a recipe on a case, and bring a network's output back to the case's own grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import numpy.typing as npt

from metseg.errors import InputError
from metseg.labels import LABEL_SCHEMES, LabelScheme, check_labels
from metseg.preprocess import STEPS, Step, check_steps
from metseg.preprocess.head_mask import head_mask
from metseg.preprocess.missing_sequences import (
    SequenceFill,
    fill_missing,
    grey_sequence,
    sequence_fill,
    substitute_sequences,
)
from metseg.preprocess.prepared_case import Prepared, Record, check_grids, reference_name, stack_case
from metseg.preprocess.step_spec import ArrayStep, CaseStep
from metseg.recipe import DataPart, Recipe
from metseg.volume import BRAIN_MASK, Array, Case

#: For recipes that hide no sequence in training.
NOTHING_HIDDEN = SequenceFill()


def prepare(case: Case, recipe: Recipe) -> Prepared:
    """Return what the recipe's network sees of a case; see `prepare_case`."""
    steps, fill = check_steps(recipe.preprocess), sequence_fill(recipe.augment)
    return prepare_case(case, recipe.data, steps, fill=fill, grey=grey_sequence(recipe))


def prepare_case(
    case: Case,
    data: DataPart,
    steps: Sequence[Step],
    *,
    fill: SequenceFill = NOTHING_HIDDEN,
    grey: str | None = None,
) -> Prepared:
    """Return a case after all steps.

    Args:
        case: as read; not changed.
        data: which images, and what the labels mean.
        steps: from `check_steps`.
        fill: what the network sees in place of sequences that `data` says may be missing.
        grey: see `substitute_sequences`.
    Returns:
        image (C, X, Y, Z) float32, C-contiguous and finite; labels (X, Y, Z) uint8 class ids of the scheme.
    Raises:
        InputError: a missing sequence, labels outside the scheme, a step that cannot work on such values, or values
            that are not finite in the end.
        GeometryError: images on several grids, and no step that brings them to one.
    """
    standing_in = substitute_sequences(case, data, fill, grey=grey)
    # Nested, so that no name here holds the stacked images while steps make others of them.
    prepared = run_steps(_stacked(case, data, steps, standing_in=standing_in), steps, where=case.case_id)
    image = np.ascontiguousarray(prepared.image, dtype=np.float32)
    if not np.isfinite(image).all():
        raise InputError(
            f"{int((~np.isfinite(image)).sum())} values are not finite after preprocessing",
            where=case.case_id,
            cure="look for NaN or infinity in the images",
            code="input.not_finite",
        )
    return fill_missing(replace(prepared, image=image, brain=None, brain_record=None), standing_in, fill)


def _stacked(case: Case, data: DataPart, steps: Sequence[Step], *, standing_in: Mapping[str, str]) -> Prepared:
    """Run the steps that work on a case, check its labels, and return it stacked into an array."""
    case, records = _on_one_grid(case, data, steps)
    prepared = replace(stack_case(case, data.inputs, standing_in=standing_in), records=records)
    if prepared.labels is None:
        return prepared
    return replace(prepared, labels=scheme_labels(prepared.labels, LABEL_SCHEMES[data.labels], where=case.case_id))


def _on_one_grid(case: Case, data: DataPart, steps: Sequence[Step]) -> tuple[Case, tuple[Record, ...]]:
    """Return the images that count, after the steps that work on a case, and the records of these.

    Images that are not inputs of the network are left out, except for the reference, which defines the result's grid.
    """
    reference = reference_name(case, data)
    kinds = {step.spec.kind for step in steps}
    mask = (BRAIN_MASK,) if kinds & {"case", "region"} else ()
    wanted = {reference, *(data.inputs or case.modalities)} - {BRAIN_MASK} | set(mask)
    case = replace(case, images={name: image for name, image in case.images.items() if name in wanted})
    records = []
    for step in steps:
        if step.spec.kind == "case":
            case, record = cast(CaseStep, step.spec.apply)(case, step.options, reference=reference)
            records.append(record)
    check_grids(case, [reference, *case.images])
    return case, tuple(records)


def run_steps(prepared: Prepared, steps: Sequence[Step], *, where: str) -> Prepared:
    """Return ``prepared`` after the steps that work on it; those of kind "case" are done before there is one.

    The head is looked for once, before the first step that changes a value, unless a step says what it is.

    Raises:
        InputError: from a step; names the case.
    """
    todo = [step for step in steps if step.spec.kind != "case"]
    finds_head = any(step.needs_head for step in todo) and all(step.spec.kind != "region" for step in todo)
    for step in todo:
        if finds_head and prepared.head is None and not step.spec.keeps_values:
            prepared = replace(prepared, head=head_mask(prepared.image))
        try:
            prepared = cast(ArrayStep, step.spec.apply)(prepared, step.options)
        except InputError as error:
            error.where = where if error.where is None else f"{where}: {error.where}"
            error.args = (error.one_line(),)
            raise
    return prepared


def restore(array: Array, records: Sequence[Record]) -> Array:
    """Take labels or probabilities back to the grid of the case as it was read, or of its reference.

    Args:
        array: (X, Y, Z) labels of an integer type, or (K, X, Y, Z) floating-point probabilities, on the prepared grid.
        records: of the same `Prepared`.
    Returns:
        The same type on the original grid; 0 where the case had been cut off. Exact where nothing was resampled.
    """
    for record in reversed(records):
        invert = STEPS.lookup(record.step).invert
        if invert is not None:
            array = invert(array, record)
    return array


def resamples(records: Sequence[Record]) -> bool:
    """Return whether `restore` interpolates; where it does not, it moves voxels and no more."""
    return any(STEPS.lookup(record.step).interpolates(record) for record in records)


def scheme_labels(labels: npt.NDArray[np.uint8], scheme: LabelScheme, *, where: str) -> npt.NDArray[np.uint8]:
    """Return labels checked by `check_labels`, which sees each value once instead of each voxel."""
    present = np.flatnonzero(np.bincount(labels.ravel(), minlength=256)).astype(np.uint8)
    checked = check_labels(present, scheme, where=where)
    if np.array_equal(checked, present):
        return labels
    table = np.zeros(256, dtype=np.uint8)
    table[present] = checked
    return np.asarray(table[labels], dtype=np.uint8)

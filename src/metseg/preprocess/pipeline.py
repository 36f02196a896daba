"""Run the steps of a recipe on a case, and bring what a network says back to the case's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from metseg.errors import InputError
from metseg.labels import LABEL_SCHEMES, LabelScheme, check_labels
from metseg.preprocess import STEPS, Step, check_steps
from metseg.preprocess.head import head_mask
from metseg.preprocess.prepared import Prepared, Record, stack_case
from metseg.recipe import DataPart, Recipe
from metseg.tables import lookup
from metseg.volume import Array, Case


def prepare(case: Case, recipe: Recipe) -> Prepared:
    """Return what the recipe's network sees of a case; see `prepare_case`."""
    return prepare_case(case, recipe.data, check_steps(recipe.preprocess))


def prepare_case(case: Case, data: DataPart, steps: Sequence[Step]) -> Prepared:
    """Return a case after all steps.

    Args:
        case: as read; not changed.
        data: which images, and what the labels mean.
        steps: from `check_steps`.
    Returns:
        image (C, X, Y, Z) float32, C-contiguous and finite; labels (X, Y, Z) uint8 class ids of the scheme.
    Raises:
        InputError: a missing sequence, labels outside the scheme, a step that cannot work on such values, or values
            that are not finite in the end.
    """
    prepared = stack_case(case, data.inputs)
    if prepared.labels is not None:
        labels = scheme_labels(prepared.labels, LABEL_SCHEMES[data.labels], where=case.case_id)
        prepared = replace(prepared, labels=labels)
    prepared = run_steps(prepared, steps, where=case.case_id)
    image = np.ascontiguousarray(prepared.image, dtype=np.float32)
    if not np.isfinite(image).all():
        raise InputError(
            f"{int((~np.isfinite(image)).sum())} values are not finite after preprocessing",
            where=case.case_id,
            cure="look for NaN or infinity in the images",
            code="input.not_finite",
        )
    return replace(prepared, image=image)


def run_steps(prepared: Prepared, steps: Sequence[Step], *, where: str) -> Prepared:
    """Return ``prepared`` after the steps; the head is looked for once, before the first of them.

    Raises:
        InputError: from a step; names the case.
    """
    if any(step.needs_head for step in steps):
        prepared = replace(prepared, head=head_mask(prepared.image))
    for step in steps:
        try:
            prepared = step.spec.apply(prepared, step.options)
        except InputError as error:
            error.where = where if error.where is None else f"{where}: {error.where}"
            error.args = (error.one_line(),)
            raise
    return prepared


def restore(array: Array, records: Sequence[Record]) -> Array:
    """Take labels or probabilities back to the grid of the case as it was read.

    Args:
        array: (X, Y, Z) labels of an integer type, or (K, X, Y, Z) floating-point probabilities, on the prepared grid.
        records: of the same `Prepared`.
    Returns:
        The same type on the original grid; 0 where the case had been cut off. Exact where nothing was resampled.
    """
    for record in reversed(records):
        invert = lookup("preprocessing step", STEPS, record.step).invert
        if invert is not None:
            array = invert(array, record)
    return array


def scheme_labels(labels: npt.NDArray[np.uint8], scheme: LabelScheme, *, where: str) -> npt.NDArray[np.uint8]:
    """Return labels checked by `check_labels`, which sees each value once instead of each voxel."""
    present = np.flatnonzero(np.bincount(labels.ravel(), minlength=256)).astype(np.uint8)
    checked = check_labels(present, scheme, where=where)
    if np.array_equal(checked, present):
        return labels
    table = np.zeros(256, dtype=np.uint8)
    table[present] = checked
    return np.asarray(table[labels], dtype=np.uint8)

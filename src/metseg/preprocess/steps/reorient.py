"""Reorient the axes to right, anterior and superior (RAS), so that all heads have one orientation. Values are kept."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from metseg.errors import GeometryError
from metseg.geometry import AxisTurn, turn_to_ras
from metseg.preprocess.prepared_case import Prepared, Record
from metseg.preprocess.step_text import Details
from metseg.recipe import Frozen
from metseg.volume import Array


class Options(Frozen):
    """There is nothing to choose."""


def apply(prepared: Prepared, options: Options) -> Prepared:  # noqa: ARG001
    """Turn images, labels and head to RAS+, as nearly as their axes allow; oblique axes stay oblique.

    Pictures, which know nothing of space, stay as they are.

    Raises:
        GeometryError: a volume without affine: which way it lies cannot be guessed (``input.no_affine``).
    """
    if prepared.affine is None and not prepared.slice_names:
        raise GeometryError(
            "the volume has no orientation",
            expected="an affine",
            cure="leave reorient out of the recipe, or convert the volume to NIfTI with its affine",
            code="input.no_affine",
        )
    turn = AxisTurn() if prepared.affine is None else turn_to_ras(prepared.affine)
    record = Record("reorient", {"order": list(turn.order), "flipped": list(turn.flipped)})
    if turn.is_identity or prepared.affine is None:
        return prepared.after(record)
    return prepared.after(
        record,
        image=np.ascontiguousarray(turn(prepared.image)),
        labels=None if prepared.labels is None else np.ascontiguousarray(turn(prepared.labels)),
        head=_turned(prepared.head, turn),
        brain=_turned(prepared.brain, turn),
        affine=turn.affine(prepared.affine, prepared.grid),
    )


def invert(array: Array, record: Record) -> Array:
    """Turn labels (X, Y, Z) or probabilities (K, X, Y, Z) back; exact."""
    (x, y, z), (flip_x, flip_y, flip_z) = record.details["order"], record.details["flipped"]
    return np.ascontiguousarray(AxisTurn((x, y, z), (flip_x, flip_y, flip_z)).inverse()(array))


def _turned(mask: npt.NDArray[np.bool_] | None, turn: AxisTurn) -> npt.NDArray[np.bool_] | None:
    return None if mask is None else np.ascontiguousarray(turn(mask))


def describe(record: Details) -> str:
    """Return what the step did, in a sentence for the report of a study."""
    as_read = list(record["order"]) == [0, 1, 2] and not any(record["flipped"])
    if as_read:
        return "The axes already ran to right, anterior and superior."
    return "The axes were turned to right, anterior and superior; no value was changed."

"""The axes that training flips. Prediction averages over mirror images along the same axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from metseg.recipe.schema import Frozen, Named, validated


class FlipAxes(Frozen):
    """The option of the augmentation `flip` that prediction uses too."""

    #: Axes that may be mirrored: 0 left-right, 1 back-front, 2 bottom-top (volumes only).
    axes: tuple[Literal[0, 1, 2], ...] = (0,)


def flipped_axes(augment: Sequence[Named]) -> tuple[int, ...]:
    """Return the axes that a recipe's augmentation flips, sorted; empty without the step `flip`.

    Raises:
        UsageError: ``usage.recipe``, there is no such axis.
    """
    flips = [named.options for named in augment if named.name == "flip"]
    options = [{key: flip[key] for key in FlipAxes.model_fields if key in flip} for flip in flips]
    parsed = [validated(FlipAxes, one, where="options of 'flip'") for one in options]
    return tuple(sorted({axis for one in parsed for axis in one.axes}))

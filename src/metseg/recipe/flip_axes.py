"""The axes that training flips. Test-time augmentation flips the same axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from metseg.recipe.schema import Frozen, Named


class FlipAxes(Frozen):
    """The option of the augmentation `flip` that prediction also reads."""

    #: Axes that may be mirrored: 0 left-right, 1 back-front, 2 bottom-top (volumes only).
    axes: tuple[Literal[0, 1, 2], ...] = (0,)


def flipped_axes(augment: Sequence[Named]) -> tuple[int, ...]:
    """Return the axes that a recipe's augmentation flips, sorted; empty where it flips none."""
    flips = [named.options for named in augment if named.name == "flip"]
    options = [{key: flip[key] for key in FlipAxes.model_fields if key in flip} for flip in flips]
    return tuple(sorted({axis for one in options for axis in FlipAxes.model_validate(one).axes}))

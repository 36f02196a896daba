"""`StepSpec`: what the table of steps says of each step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from metseg.preprocess.prepared import Prepared, Record
from metseg.recipe import Frozen
from metseg.volume import Array

#: contrast: works on the files' own values and axes, so it comes first. spatial: moves voxels, and has an inverse.
#: normalise: changes values by statistics. channels: picks images.
Kind = Literal["contrast", "spatial", "normalise", "channels"]


@dataclass(frozen=True)
class StepSpec:
    """One preprocessing step.

    Args:
        apply: the step itself; gets an instance of ``options``.
        options: class of its options; the only home of their defaults.
        kind: what it may come before and after; see `check_steps`.
        invert: takes labels (X, Y, Z) or probabilities (K, X, Y, Z) back to the grid before the step; None where the
            grid does not change.
        needs_head: whether, with these options, it wants to know where tissue is.
        whole_case: whether, with these options, a slice's result depends on the other slices of its case.
        source: the paper or program it follows.
    """

    apply: Callable[[Prepared, Any], Prepared]
    options: type[Frozen]
    kind: Kind
    invert: Callable[[Array, Record], Array] | None = None
    needs_head: Callable[[Any], bool] = lambda _: False
    whole_case: Callable[[Any], bool] = lambda _: False
    source: str = ""

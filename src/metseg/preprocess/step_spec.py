"""`StepSpec`: an entry of the table of preprocessing steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from metseg.preprocess.prepared_case import Prepared, Record
from metseg.preprocess.step_text import Details
from metseg.recipe import Frozen, require_options_class
from metseg.volume import Array, Case

#: case: works on the images before they are stacked into one array, so it comes first of all. contrast: works on the
#: files' own values and axes. region: says what counts as the head, by the files' own values. spatial: moves voxels,
#: and has an inverse. normalise: changes values by statistics. channels: picks images.
Kind = Literal["case", "contrast", "region", "spatial", "normalise", "channels"]

#: A step that works on the stacked images.
ArrayStep = Callable[[Prepared, Any], Prepared]


class CaseStep(Protocol):
    """A step that works on the images of a case; ``reference`` names the image that defines the result's grid."""

    def __call__(self, case: Case, options: Any, *, reference: str) -> tuple[Case, Record]: ...


@dataclass(frozen=True)
class StepSpec:
    """One preprocessing step.

    Args:
        apply: the step itself; gets an instance of ``options``. For steps of kind "case" see `CaseStep`.
        options: class of its options; the only home of their defaults.
        kind: what it may come before and after; see `check_steps`.
        invert: takes labels (X, Y, Z) or probabilities (K, X, Y, Z) back to the grid before the step; None where the
            grid does not change.
        interpolates: whether, by a record of it, the way back mixes voxels, so that it is not exact.
        needs_head: whether, with these options, it wants to know where tissue is.
        keeps_values: it moves voxels and does no more, so that what is found by the files' values is found behind it.
        whole_case: whether, with these options, a slice's result depends on the other slices of its case.
        source: the paper or program it follows.
        describe: a record of the step, as JSON, to a sentence on what it did, for the report of a study; None: the
            report names the step and no more.
    """

    apply: ArrayStep | CaseStep
    options: type[Frozen]
    kind: Kind
    invert: Callable[[Array, Record], Array] | None = None
    interpolates: Callable[[Record], bool] = lambda _: False
    needs_head: Callable[[Any], bool] = lambda _: False
    keeps_values: bool = False
    whole_case: Callable[[Any], bool] = lambda _: False
    source: str = ""
    describe: Callable[[Details], str] | None = None

    def __post_init__(self) -> None:
        require_options_class(self.options, entry="StepSpec")

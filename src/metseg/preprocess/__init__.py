"""From a `Case` to the array that a network sees, and back: the table of steps, and the rules of their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from metseg.errors import UsageError
from metseg.preprocess.spec import StepSpec
from metseg.preprocess.steps import (
    clahe,
    clip_percentiles,
    crop_to_head,
    pad_or_crop,
    rescale,
    resize,
    select_channels,
    zscore,
)
from metseg.recipe import Frozen, Named
from metseg.tables import lookup

STEPS: Mapping[str, StepSpec] = {
    "clahe": StepSpec(clahe.apply, clahe.Options, "contrast", source="OpenCV, createCLAHE"),
    "select_channels": StepSpec(select_channels.apply, select_channels.Options, "channels"),
    "crop_to_head": StepSpec(
        crop_to_head.apply,
        crop_to_head.Options,
        "spatial",
        invert=crop_to_head.invert,
        needs_head=lambda _: True,
        whole_case=lambda _: True,
    ),
    "pad_or_crop": StepSpec(pad_or_crop.apply, pad_or_crop.Options, "spatial", invert=pad_or_crop.invert),
    "resize": StepSpec(resize.apply, resize.Options, "spatial", invert=resize.invert, source="OpenCV, resize"),
    "clip_percentiles": StepSpec(
        clip_percentiles.apply,
        clip_percentiles.Options,
        "normalise",
        needs_head=lambda options: options.wants_head,
        whole_case=lambda options: options.wants_case,
    ),
    "rescale": StepSpec(
        rescale.apply,
        rescale.Options,
        "normalise",
        needs_head=lambda options: options.wants_head,
        whole_case=lambda options: options.wants_case,
    ),
    "zscore": StepSpec(
        zscore.apply,
        zscore.Options,
        "normalise",
        needs_head=lambda options: options.wants_head,
        whole_case=lambda options: options.wants_case,
    ),
}


class Step(NamedTuple):
    """A step with its options checked."""

    name: str
    spec: StepSpec
    options: Frozen

    @property
    def needs_head(self) -> bool:
        return self.spec.needs_head(self.options)

    @property
    def whole_case(self) -> bool:
        return self.spec.whole_case(self.options)

    def to_json(self) -> dict[str, Any]:
        """Return name and every option, defaults written out."""
        return {"name": self.name, **self.options.model_dump(mode="json")}


def check_steps(named: Sequence[Named]) -> tuple[Step, ...]:
    """Return the steps of a recipe, ready to run.

    Raises:
        UsageError: an unknown step or option; or a contrast step (clahe) behind one that moves voxels or changes
            values: it is defined on the files' own values and axes only.
    """
    steps: list[Step] = []
    for item in named:
        spec = lookup("preprocessing step", STEPS, item.name)
        before = next((step.name for step in steps if step.spec.kind in ("spatial", "normalise")), None)
        if spec.kind == "contrast" and before is not None:
            raise UsageError(
                f"{item.name} stands behind {before}",
                where="preprocess",
                expected=f"{item.name} first: it works on the pictures as they lie in the files",
                cure=f"move {item.name} before {before}",
                code="usage.step_order",
            )
        steps.append(Step(item.name, spec, item.parse(spec.options)))
    return tuple(steps)

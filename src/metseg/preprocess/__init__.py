"""Preprocessing, from a `Case` to the input array of a network and back: table of steps, rules of their order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from metseg.errors import UsageError
from metseg.preprocess.step_spec import Kind, StepSpec
from metseg.preprocess.steps import (
    align,
    brain_mask,
    clahe,
    clip_percentiles,
    crop_to_head,
    n4,
    pad_or_crop,
    reorient,
    resample,
    rescale,
    resize,
    select_channels,
    zscore,
)
from metseg.recipe import Frozen, Named
from metseg.registry import Registry

STEPS: Registry[StepSpec] = Registry(
    "preprocessing step",
    "transforms.preprocess",
    StepSpec,
    {
        "align": StepSpec(
            align.apply,
            align.Options,
            "case",
            describe=align.describe,
            whole_case=lambda _: True,
            source="SimpleITK; Mattes 2003",
        ),
        "clahe": StepSpec(
            clahe.apply, clahe.Options, "contrast", describe=clahe.describe, source="OpenCV, createCLAHE"
        ),
        "select_channels": StepSpec(
            select_channels.apply, select_channels.Options, "channels", describe=select_channels.describe
        ),
        "brain_mask": StepSpec(
            brain_mask.apply, brain_mask.Options, "region", describe=brain_mask.describe, whole_case=lambda _: True
        ),
        "reorient": StepSpec(
            reorient.apply,
            reorient.Options,
            "spatial",
            describe=reorient.describe,
            invert=reorient.invert,
            keeps_values=True,
            whole_case=lambda _: True,
        ),
        "resample": StepSpec(
            resample.apply,
            resample.Options,
            "spatial",
            describe=resample.describe,
            invert=resample.invert,
            interpolates=resample.interpolates,
            whole_case=lambda _: True,
        ),
        "crop_to_head": StepSpec(
            crop_to_head.apply,
            crop_to_head.Options,
            "spatial",
            describe=crop_to_head.describe,
            invert=crop_to_head.invert,
            needs_head=lambda _: True,
            whole_case=lambda _: True,
        ),
        "pad_or_crop": StepSpec(
            pad_or_crop.apply, pad_or_crop.Options, "spatial", describe=pad_or_crop.describe, invert=pad_or_crop.invert
        ),
        "resize": StepSpec(
            resize.apply,
            resize.Options,
            "spatial",
            describe=resize.describe,
            invert=resize.invert,
            interpolates=resize.interpolates,
            source="OpenCV, resize",
        ),
        "n4": StepSpec(
            n4.apply,
            n4.Options,
            "normalise",
            describe=n4.describe,
            needs_head=lambda _: True,
            whole_case=lambda _: True,
            source="Tustison 2010, doi:10.1109/TMI.2010.2046908",
        ),
        "clip_percentiles": StepSpec(
            clip_percentiles.apply,
            clip_percentiles.Options,
            "normalise",
            describe=clip_percentiles.describe,
            needs_head=lambda options: options.wants_head,
            whole_case=lambda options: options.wants_case,
        ),
        "rescale": StepSpec(
            rescale.apply,
            rescale.Options,
            "normalise",
            describe=rescale.describe,
            needs_head=lambda options: options.wants_head,
            whole_case=lambda options: options.wants_case,
        ),
        "zscore": StepSpec(
            zscore.apply,
            zscore.Options,
            "normalise",
            describe=zscore.describe,
            needs_head=lambda options: options.wants_head,
            whole_case=lambda options: options.wants_case,
        ),
    },
    make=StepSpec,
)


class Order(NamedTuple):
    """What a kind of step may not stand behind, and why. Steps that only move voxels are no hindrance to a region."""

    behind: tuple[Kind, ...]
    reason: str


ORDER: Mapping[Kind, Order] = {
    "case": Order(
        ("contrast", "channels", "region", "spatial", "normalise"),
        "it runs on the images before they are stacked into one array",
    ),
    "contrast": Order(("spatial", "normalise"), "it needs the pictures unchanged"),
    "region": Order(("contrast", "spatial", "normalise"), "it needs the original intensities"),
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
        UsageError: an unknown step or option, or a step after one that it must precede (``usage.step_order``).
    """
    steps: list[Step] = []
    for position, item in enumerate(named):
        spec = STEPS.lookup(item.name)
        _check_order(item.name, spec, steps)
        steps.append(Step(item.name, spec, item.parse(spec.options, key=f"preprocess.{position}")))
    return tuple(steps)


def _check_order(name: str, spec: StepSpec, before: Sequence[Step]) -> None:
    order = ORDER.get(spec.kind)
    if order is None:
        return
    for step in before:
        harmless = spec.kind == "region" and step.spec.keeps_values
        if step.spec.kind in order.behind and not harmless:
            raise UsageError(
                f"{name} comes after {step.name}",
                where="preprocess",
                expected=f"{name} first: {order.reason}",
                cure=f"move {name} before {step.name}",
                code="usage.step_order",
            )

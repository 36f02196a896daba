"""Difficulty of a simulated examination, from research data to clinical routine: a table of levels with options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from metseg.recipe import Fraction, Frozen
from metseg.registry import lookup

#: The labels are on the grid of this sequence; it is never missing, and the others are offset from it.
REFERENCE = "t1c"

Plane = Literal["axial", "sagittal", "coronal"]


class Stack(Frozen):
    """How a sequence is measured: in thick slices of a plane, or in cubic voxels at the phantom's own resolution."""

    plane: Plane = "axial"
    #: Thickness and distance of the slices; None: cubic voxels. Never thinner than the phantom's voxels.
    slice_mm: Annotated[float, Field(gt=0, le=10)] | None = None


class Difficulty(Frozen):
    """What makes an examination difficult. The defaults are a clean one on one grid."""

    stacks: Mapping[Literal["t1n", "t1c", "t2w", "t2f"], Stack] = {}
    #: Edge of a voxel within a thick slice, relative to the phantom's resolution.
    in_plane: Annotated[float, Field(ge=0.5, le=2)] = 0.9
    #: Standard deviation of the tilt of each stack about each axis, which its header knows.
    oblique_deg: Annotated[float, Field(ge=0, le=20)] = 0.0
    #: Standard deviations of the head's move between the reference and another sequence, which no header knows.
    offset_mm: Annotated[float, Field(ge=0, le=10)] = 0.0
    offset_deg: Annotated[float, Field(ge=0, le=10)] = 0.0
    #: Share of the sequences during which the head moves, and how far it typically does.
    motion_share: Fraction = 0.0
    motion_mm: Annotated[float, Field(ge=0, le=10)] = 0.0
    #: Share of the examinations that lack one sequence, never the reference.
    missing_share: Fraction = 0.0
    #: Factors on `PhantomOptions.noise` and `PhantomOptions.bias`.
    noise_factor: Annotated[float, Field(ge=0, le=10)] = 1.0
    bias_factor: Annotated[float, Field(ge=0, le=10)] = 1.0

    def stack(self, sequence: str) -> Stack:
        return next((stack for name, stack in self.stacks.items() if name == sequence), Stack())


#: Level 0, 1, 2, 3 in this order.
CHALLENGES: Mapping[str, Difficulty | None] = {
    "none": None,
    "mild": Difficulty(
        stacks={"t2w": Stack(slice_mm=3), "t2f": Stack(slice_mm=3)},
        oblique_deg=3,
        offset_mm=0.5,
        offset_deg=0.5,
        motion_share=0.15,
        motion_mm=0.6,
        noise_factor=1.2,
        bias_factor=1.3,
    ),
    "clinical": Difficulty(
        stacks={"t1n": Stack(slice_mm=5), "t2w": Stack(slice_mm=5), "t2f": Stack(slice_mm=5)},
        oblique_deg=6,
        offset_mm=1.5,
        offset_deg=1.5,
        motion_share=0.3,
        motion_mm=1.2,
        missing_share=0.15,
        noise_factor=1.5,
        bias_factor=1.8,
    ),
    "hard": Difficulty(
        stacks={
            "t1n": Stack(plane="sagittal", slice_mm=5),
            "t1c": Stack(slice_mm=5),
            "t2w": Stack(slice_mm=5),
            "t2f": Stack(plane="coronal", slice_mm=5),
        },
        oblique_deg=8,
        offset_mm=2.5,
        offset_deg=2.5,
        motion_share=0.5,
        motion_mm=2.0,
        missing_share=0.35,
        noise_factor=2.0,
        bias_factor=2.5,
    ),
}


def difficulty_level(level: str) -> Difficulty | None:
    """Return a level by its name or its number; None for none.

    Raises:
        UsageError: there is no such level.

    >>> difficulty_level("2") is difficulty_level("clinical"), difficulty_level("0")
    (True, None)
    """
    numbers = {str(number): name for number, name in enumerate(CHALLENGES)}
    return lookup("challenge", CHALLENGES, numbers.get(level, level))

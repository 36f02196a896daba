"""What the options of every augmentation have in common."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from metseg.recipe import Frozen

Probability = Annotated[float, Field(ge=0, le=1)]


class RandomOptions(Frozen):
    """Options of a step that is applied to some of the items only."""

    probability: Probability


class FactorRange(RandomOptions):
    """Options of a step that draws a positive factor or exponent between two."""

    low: Annotated[float, Field(gt=0)]
    high: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self

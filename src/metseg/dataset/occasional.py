"""What the options of every augmentation have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from metseg.recipe import Frozen

Probability = Annotated[float, Field(ge=0, le=1)]


class Occasional(Frozen):
    """Options of a step that is applied to some of the items only."""

    probability: Probability

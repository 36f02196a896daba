"""A network of two convolutions."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from metseg.model import ModelSpec
from metseg.recipe import Frozen


class Options(Frozen):
    """Options of the two convolutions."""

    #: Channels between them.
    width: Annotated[int, Field(gt=0)] = 8


def build(options: Options, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:
    """Return the network: (N, C, X, Y[, Z]) to logits (N, K, X, Y[, Z])."""
    convolution = nn.Conv2d if dimensions == 2 else nn.Conv3d
    return nn.Sequential(
        convolution(in_channels, options.width, kernel_size=3, padding=1),
        nn.ReLU(),
        convolution(options.width, out_channels, kernel_size=1),
    )


TWO_CONVOLUTIONS = ModelSpec(
    build=build, options=Options, dimensions=(2, 3), source="tests of metseg", divisor=lambda _: 1
)

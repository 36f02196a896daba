"""Attention U-Net of plain layers, as in the NeuroInsight notebook: max-pooling, up-sampling, no normalisation.

Paper: Oktay et al. 2018, arXiv:1804.03999, for the gates; the notebook's table for the rest: blocks of convolutions
with ReLU and max-pooling, a bottom of two convolutions, up-sampling, a gate on each skip, convolutions. MONAI's network
of the paper (`attention_unet`) halves by strided convolutions and normalises. Written for metseg, Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from metseg.model.networks.layers import (
    BATCH_NORM,
    CONVOLUTION,
    MAX_POOL,
    UPSAMPLED_CONVOLUTION,
    TwoInputSequential,
    double,
)
from metseg.model.networks.network_options import GatedUnetOptions

#: Convolutions of the bottom, independent of the other levels.
_BOTTOM = 2


def build(options: GatedUnetOptions, *, in_channels: int, out_channels: int, dimensions: int) -> nn.Module:
    """Return the Attention U-Net of plain layers."""
    return GatedUNet(options, in_channels=in_channels, out_channels=out_channels, dimensions=dimensions)


class AttentionGate(nn.Module):
    """Weights (N, 1, *2S) between 0 and 1 for a skip connection (N, K, *2S), from it and the features below (N, C, *S).

    The features below are convolved before they are doubled: a convolution of single voxels gives the same either way,
    with a quarter of the multiplications in slices.
    """

    def __init__(self, skip: int, below: int, *, dimensions: int) -> None:
        super().__init__()
        convolution = CONVOLUTION[dimensions]
        self.of_skip = convolution(skip, skip, 1, bias=False)
        self.of_below = convolution(below, skip, 1)
        self.psi = convolution(skip, 1, 1)

    def forward(self, skip: torch.Tensor, below: torch.Tensor) -> torch.Tensor:
        joined = self.of_skip(skip) + double(self.of_below(below))
        return torch.sigmoid(self.psi(functional.relu(joined, inplace=True)))


class GatedUNet(nn.Module):
    """See the module's text."""

    def __init__(self, options: GatedUnetOptions, *, in_channels: int, out_channels: int, dimensions: int) -> None:
        super().__init__()
        levels = list(pairwise((in_channels, *options.channels)))
        counts = [options.convolutions] * (len(levels) - 1) + [_BOTTOM]
        self.down = nn.ModuleList(
            nn.Sequential(*_layers(before, after, count, options, dimensions))
            for (before, after), count in zip(levels, counts, strict=True)
        )
        self.pool = MAX_POOL[dimensions](2)
        steps = list(reversed(list(pairwise(options.channels))))
        self.gates = nn.ModuleList(AttentionGate(skip, below, dimensions=dimensions) for skip, below in steps)
        self.up = nn.ModuleList(
            TwoInputSequential(
                *_layers(below + skip, skip, options.convolutions, options, dimensions, first=UPSAMPLED_CONVOLUTION)
            )
            for skip, below in steps
        )
        self.head = CONVOLUTION[dimensions](options.channels[0], out_channels, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.down[0](images)
        skips: list[torch.Tensor] = []
        for block in list(self.down)[1:]:
            skips.append(features)
            features = block(self.pool(features))
        for gate, block in zip(self.gates, self.up, strict=True):
            skip = skips.pop()
            features = block(features, skip * gate(skip, features))
        logits: torch.Tensor = self.head(features)
        return logits


def _layers(
    before: int,
    after: int,
    count: int,
    options: GatedUnetOptions,
    dimensions: int,
    *,
    first: Mapping[int, type[nn.Module]] = CONVOLUTION,
) -> list[nn.Module]:
    """Return the layers of a block; ``first`` is the kind of its first convolution."""
    layers: list[nn.Module] = []
    for place, width in enumerate((before, *[after] * (count - 1))):
        convolution = CONVOLUTION[dimensions] if place else first[dimensions]
        layers += [convolution(width, after, 3, padding=1), nn.ReLU(inplace=True)]
        if options.norm == "batch":
            layers.append(BATCH_NORM[dimensions](after))
    return layers
